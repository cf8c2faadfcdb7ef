use serde::{Deserialize, Serialize};
use std::fmt;

/// What an administrator (or a part of ours) asks of a module (reference 004, 9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Start; the records decide who becomes primary.
    Start,
    /// Stop in good order.
    Stop,
    /// Stop at once, also what hangs.
    Forcestop,
    /// Stop, then start: a primary hands over.
    Stopstart,
    /// Start as primary (refused if the other is primary, or the data is inconsistent).
    Prim,
    /// Start as primary whatever the records say; the other copy is compared in full afterwards.
    Primforce,
    /// Start as secondary (refused if the other is not primary).
    Second,
    /// Exchange primary and secondary.
    Swap,
    /// Orderly stop because the machine shuts down.
    Shutdown,
    /// Count one restart more (reference 004, 14.4.2.3); refused with what is said when `maxloop` is reached.
    Incloop,
    /// Ask whether `maxloop` is reached; refused if so.
    Checkloop,
    /// Begin the counting anew.
    Resetloop,
}

impl Command {
    /// The word on the command line and in "Action ... called by ...".
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Start => "start",
            Command::Stop => "stop",
            Command::Forcestop => "forcestop",
            Command::Stopstart => "stopstart",
            Command::Prim => "prim",
            Command::Primforce => "primforce",
            Command::Second => "second",
            Command::Swap => "swap",
            Command::Shutdown => "shutdown",
            Command::Incloop => "incloop",
            Command::Checkloop => "checkloop",
            Command::Resetloop => "resetloop",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The third argument of every script: what kind of change is under way (reference 004, 14.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Start,
    Stop,
    Stopstart,
    Stopwait,
}

impl Action {
    /// The word that the script gets.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Stopstart => "stopstart",
            Action::Stopwait => "stopwait",
        }
    }
}

/// Who called a command, as logs print it: `SYSTEM`, a user, `web@<IP>/...`, `boot`, or a detector's identity (`-i`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller(pub String);

/// Before the identity of a detector.
const DETECTOR: &str = "detector:";

impl Caller {
    /// Ourselves.
    pub fn system() -> Caller {
        Caller("SYSTEM".to_owned())
    }

    /// A detector, by its identity (`-i`): its restarts count towards maxloop. No user's name has a colon.
    pub fn detector(identity: &str) -> Caller {
        Caller(format!("{DETECTOR}{identity}"))
    }

    /// Whether a detector calls.
    pub fn is_detector(&self) -> bool {
        self.0.starts_with(DETECTOR)
    }

    /// The daemon at boot; its message reads "Action start called at boot time" (reference 004, 4.2.8).
    pub fn boot() -> Caller {
        Caller("boot".to_owned())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.strip_prefix(DETECTOR).unwrap_or(&self.0))
    }
}
