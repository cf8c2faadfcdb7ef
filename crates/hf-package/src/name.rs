//! Which names may stand in a package.

/// The longest name of one file or directory, in bytes, as Linux file systems have it.
const MAX_PART: usize = 255;

/// The parts of an entry's name, without a directory's last slash, or why it is refused.
pub(crate) fn parts(name: &str, max_depth: usize) -> Result<Vec<&str>, &'static str> {
    if name.starts_with('/') {
        return Err("is absolute");
    }
    if name.contains('\\') {
        return Err("has a backslash");
    }
    if name.chars().any(char::is_control) {
        return Err("has a control character");
    }
    let parts: Vec<&str> = name.strip_suffix('/').unwrap_or(name).split('/').collect();
    if parts.contains(&"..") {
        return Err("climbs out of the package");
    }
    if parts.iter().any(|part| part.is_empty() || *part == ".") {
        return Err("has an empty part");
    }
    if parts.iter().any(|part| part.len() > MAX_PART) {
        return Err("is too long");
    }
    if parts.len() > max_depth {
        return Err("has too many directories in each other");
    }
    Ok(parts)
}

/// A name from a package in a form that is safe to print, cut to a length that fits a message.
pub(crate) fn shown(raw: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(raw).chars().take(100).collect();
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        assert_eq!(parts("conf/userconfig.xml", 8), Ok(vec!["conf", "userconfig.xml"]));
        assert_eq!(parts("bin/", 8), Ok(vec!["bin"]));
        assert_eq!(parts("bin/..hidden", 8), Ok(vec!["bin", "..hidden"]));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "..",
            "",
            "/",
            "a//b",
            "./a",
            "a/.",
            "C:\\x",
            "a\\..\\b",
            "a\0b",
            "a\nb",
            "a/b/c/d/e/f/g/h/i",
        ] {
            assert!(parts(name, 8).is_err(), "{name:?} passed");
        }
        assert!(parts(&"x".repeat(256), 8).is_err());
    }
}
