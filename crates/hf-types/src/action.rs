use crate::Mode;
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
    /// Stop and start the application where it is; the module keeps its state.
    Restart,
    /// Leave the state, without poststop and prestart, and stay in WAIT until somebody says `start`.
    Stopwait,
    /// `swap nosync`: a swap never synchronises anything here, so this is a swap.
    SwapNosync,
    /// `prim fullsync`: as `prim`; the other copy is compared in full afterwards.
    PrimFullsync,
    /// `second fullsync`: as `second`; everything is compared, whatever is known of the copies.
    SecondFullsync,
    /// `secondforce -d DATE`: as `second`; files that were last changed before that moment (seconds since 1970 UTC) need not be compared
    /// by content.
    Secondforce(i64),
    /// `failover on|off`: whether the secondary takes over by itself.
    FailoverOn,
    FailoverOff,
    /// `checker on|off`: whether checkers run; kept over a stop.
    CheckerOn,
    CheckerOff,
}

impl Command {
    /// Every command; `secondforce` without a meaningful date.
    const ALL: [Command; 22] = [
        Command::Start,
        Command::Stop,
        Command::Forcestop,
        Command::Stopstart,
        Command::Prim,
        Command::Primforce,
        Command::Second,
        Command::Swap,
        Command::Shutdown,
        Command::Restart,
        Command::Stopwait,
        Command::SwapNosync,
        Command::PrimFullsync,
        Command::SecondFullsync,
        Command::Secondforce(0),
        Command::FailoverOn,
        Command::FailoverOff,
        Command::CheckerOn,
        Command::CheckerOff,
        Command::Incloop,
        Command::Checkloop,
        Command::Resetloop,
    ];

    /// Whether it brings a stopped module out of STOP.
    pub fn starts(self) -> bool {
        matches!(self, Command::Start | Command::Prim | Command::PrimFullsync | Command::Primforce)
            || self.starts_second()
    }

    /// Whether it starts a module as secondary.
    pub fn starts_second(self) -> bool {
        matches!(self, Command::Second | Command::SecondFullsync | Command::Secondforce(_))
    }

    /// Whether modules of this kind know it: those about primary and secondary are for mirror modules (reference 004, 9.4).
    pub fn is_for(self, mode: Mode) -> bool {
        let of_all = [
            Command::Start,
            Command::Stop,
            Command::Forcestop,
            Command::Stopstart,
            Command::Shutdown,
            Command::Restart,
            Command::Stopwait,
            Command::Incloop,
            Command::Checkloop,
            Command::Resetloop,
        ];
        mode == Mode::Mirror || of_all.contains(&self)
    }

    /// One word for a command line of ours; [`Command::from_argument`] reads it.
    pub fn argument(self) -> String {
        match self {
            Command::Secondforce(newer_than_s) => format!("secondforce={newer_than_s}"),
            other => other.as_str().replace(' ', "-"),
        }
    }

    /// The command of an [`argument`](Command::argument).
    pub fn from_argument(text: &str) -> Option<Command> {
        if let Some(date) = text.strip_prefix("secondforce=") {
            return date.parse().ok().map(Command::Secondforce);
        }
        let dated = |command: &Command| matches!(command, Command::Secondforce(_));
        Command::ALL.into_iter().find(|command| !dated(command) && command.argument() == text)
    }
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
            Command::Restart => "restart",
            Command::Stopwait => "stopwait",
            Command::SwapNosync => "swap nosync",
            Command::PrimFullsync => "prim fullsync",
            Command::SecondFullsync => "second fullsync",
            Command::Secondforce(_) => "secondforce",
            Command::FailoverOn => "failover on",
            Command::FailoverOff => "failover off",
            Command::CheckerOn => "checker on",
            Command::CheckerOff => "checker off",
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
/// Before the label of a failover rule.
const RULE: &str = "rule:";

impl Caller {
    /// Ourselves.
    pub fn system() -> Caller {
        Caller("SYSTEM".to_owned())
    }

    /// A detector, by its identity (`-i`): its restarts count towards maxloop. No user's name has a colon.
    pub fn detector(identity: &str) -> Caller {
        Caller(format!("{DETECTOR}{identity}"))
    }

    /// A failover rule, by its label: a detector like others.
    pub fn rule(label: &str) -> Caller {
        Caller(format!("{RULE}{label}"))
    }

    /// The label of the failover rule that calls.
    pub fn as_rule(&self) -> Option<&str> {
        self.0.strip_prefix(RULE)
    }

    /// Whether a detector calls, or a failover rule.
    pub fn is_detector(&self) -> bool {
        self.0.starts_with(DETECTOR) || self.as_rule().is_some()
    }

    /// Whether a person calls, and not a part of ours.
    pub fn is_person(&self) -> bool {
        !self.is_detector() && ![Caller::boot(), Caller::system(), Caller::automatic()].contains(self)
    }

    /// The daemon at boot; its message reads "Action start called at boot time" (reference 004, 4.2.8).
    pub fn boot() -> Caller {
        Caller("boot".to_owned())
    }

    /// Nobody: what begins after a stop that was part of a restart. "Action start called automatically" (reference 004, 4.4.1).
    pub fn automatic() -> Caller {
        Caller("automatic".to_owned())
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_rule() {
            Some(label) => write!(f, "failover rule {label}"),
            None => f.write_str(self.0.strip_prefix(DETECTOR).unwrap_or(&self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_survives_its_argument() {
        for command in Command::ALL.into_iter().chain([Command::Secondforce(1_456_790_400), Command::Secondforce(-5)]) {
            assert!(!command.argument().contains(' '));
            assert_eq!(Command::from_argument(&command.argument()), Some(command));
        }
        assert_eq!(Command::from_argument("secondforce"), None);
        assert_eq!(Command::from_argument("swap nosync"), None);
    }
}
