//! FUSE connections of this mount namespace, as the kernel numbers them.

/// Number of the FUSE connection mounted at exactly `dir`: the minor number of its device, and the name of its directory below
/// `/sys/fs/fuse/connections`.
pub fn connection(dir: &str) -> Option<u64> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    // The last one lies on top.
    mounts.lines().rev().find_map(|line| minor(line, dir))
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS ... - TYPE SOURCE ...`
fn minor(line: &str, dir: &str) -> Option<u64> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut words = mount.split(' ');
    let device = words.nth(2)?;
    let point = words.nth(1)?;
    let is_fuse = filesystem.starts_with("fuse ") || filesystem.starts_with("fuse.");
    if !is_fuse || unescape(point) != dir {
        return None;
    }
    device.split_once(':')?.1.parse().ok()
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn the_mount_at_exactly_this_place_counts() {
        let line = "52 29 0:48 / /a/my\\040dir rw,nosuid,nodev - fuse.holdfast holdfast rw";
        assert_eq!(minor(line, "/a/my dir"), Some(48));
        assert_eq!(minor(line, "/a"), None);
        assert_eq!(minor("52 29 8:1 / /a/my\\040dir rw - ext4 /dev/sda1 rw", "/a/my dir"), None);
    }
}
