//! The machine itself: restarting it.

use std::io;
use std::process::Command;

/// Why the machine was not restarted; it goes on as before.
#[derive(Debug, thiserror::Error)]
pub enum RebootError {
    #[error("nothing here can restart the machine: its first process is {first}, neither systemd nor a lab's")]
    NobodyDoes { first: String },
    #[error("'systemctl reboot' failed")]
    Systemctl(#[source] io::Error),
    #[error("can't signal the machine's first process")]
    Signal(#[source] io::Error),
}

/// Who restarts this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarter {
    /// systemd is the first process.
    Systemd,
    /// The first process is our own: a node of the lab.
    Lab,
}

impl Restarter {
    /// Looks at the first process of this process' namespace.
    ///
    /// # Errors
    /// When it is neither systemd nor a lab's: a container, mostly.
    pub fn find() -> Result<Restarter, RebootError> {
        let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
        let systemd = std::path::Path::new("/run/systemd/system").is_dir();
        Restarter::of(first.trim(), systemd)
    }

    /// As `sd_booted` does, and the first process is systemd itself.
    fn of(first: &str, systemd: bool) -> Result<Restarter, RebootError> {
        match first {
            "systemd" if systemd => Ok(Restarter::Systemd),
            "holdfast" => Ok(Restarter::Lab),
            other => Err(RebootError::NobodyDoes { first: other.to_owned() }),
        }
    }

    /// Asks for the restart: everything is stopped in good order before, this process too. Comes back at once.
    ///
    /// # Errors
    /// When nobody takes the request; nothing was done.
    pub fn reboot(self) -> Result<(), RebootError> {
        match self {
            Restarter::Systemd => match Command::new("/usr/bin/systemctl").arg("reboot").status() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(RebootError::Systemctl(io::Error::other(status.to_string()))),
                Err(source) => Err(RebootError::Systemctl(source)),
            },
            // What a kernel sends its first process for Ctrl-Alt-Del.
            Restarter::Lab => rustix::process::kill_process(rustix::process::Pid::INIT, rustix::process::Signal::INT)
                .map_err(|error| RebootError::Signal(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_systemd_and_a_lab_restart_a_machine() {
        assert_eq!(Restarter::of("systemd", true).ok(), Some(Restarter::Systemd));
        assert_eq!(Restarter::of("holdfast", false).ok(), Some(Restarter::Lab));
        // systemd of the host, seen from a container; a shell as first process.
        assert!(Restarter::of("systemd", false).is_err() && Restarter::of("bash", true).is_err());
    }
}
