//! What systemd's words mean.

/// How names of units end (systemd.unit(5)).
const SUFFIXES: [&str; 11] =
    ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];

/// The unit of a name, as systemctl completes it.
pub fn unit(name: &str) -> String {
    let complete = name.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix));
    if complete { name.to_owned() } else { format!("{name}.service") }
}

/// Whether a service in this `ActiveState` runs: how many certainly do, and how many may. What systemd itself is about to start (also again, by
/// `Restart=`) or to stop is neither there nor missing: it comes to one of the others by itself.
pub fn count(active_state: &str) -> (u32, u32) {
    match active_state {
        "active" | "reloading" | "refreshing" => (1, 0),
        "activating" | "deactivating" | "maintenance" => (0, 1),
        // inactive, failed
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_systemctl_does() {
        for (name, meant) in
            [("ntpd", "ntpd.service"), ("a.socket", "a.socket"), ("postgresql@15-main", "postgresql@15-main.service")]
        {
            assert_eq!(unit(name), meant);
        }
        assert_eq!(unit("my.app"), "my.app.service");
    }

    #[test]
    fn a_service_that_systemd_restarts_is_no_fault_and_one_that_failed_is() {
        assert_eq!((count("active"), count("activating"), count("failed")), ((1, 0), (0, 1), (0, 0)));
        assert_eq!((count("reloading"), count("deactivating"), count("inactive")), ((1, 0), (0, 1), (0, 0)));
    }
}
