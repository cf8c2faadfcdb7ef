//! Who calls, for the logs.

/// The user that calls, as the log prints it: root, mostly.
pub(crate) fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    if uid == 0 {
        return "root".to_owned();
    }
    // A machine without this file has users all the same.
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("uid {uid}"))
}

fn name_of(uid: u32, users: &str) -> Option<String> {
    let uid = uid.to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_its_number() {
        let users = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000:,,,:/home/ada:/bin/bash\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("ada"));
        assert_eq!(name_of(1001, users), None);
    }
}
