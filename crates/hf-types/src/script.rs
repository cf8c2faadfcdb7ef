use serde::{Deserialize, Serialize};
use std::fmt;

/// The user scripts of a module (reference 004, 14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    Prestart,
    StartBoth,
    StopBoth,
    StartPrim,
    StopPrim,
    StartSecond,
    StopSecond,
    StartSec,
    StopSec,
    Poststop,
    Transition,
    /// Of the command `config`.
    Config,
    /// Of the command `deconfig`.
    Deconfig,
    /// Of the command `confcheck`.
    Confcheck,
    /// Of the command `state -v`.
    State,
    /// Of the command `level`.
    Level,
}

impl Script {
    /// Those that follow the states of a module.
    pub const OF_STATES: [Script; 11] = [
        Script::Prestart,
        Script::StartBoth,
        Script::StopBoth,
        Script::StartPrim,
        Script::StopPrim,
        Script::StartSecond,
        Script::StopSecond,
        Script::StartSec,
        Script::StopSec,
        Script::Poststop,
        Script::Transition,
    ];

    /// Those that belong to a command (reference 004, 14.1.2).
    pub const OF_COMMANDS: [Script; 5] =
        [Script::Config, Script::Deconfig, Script::Confcheck, Script::State, Script::Level];

    /// The file's name in SAFEUSERBIN.
    pub fn as_str(self) -> &'static str {
        match self {
            Script::Prestart => "prestart",
            Script::StartBoth => "start_both",
            Script::StopBoth => "stop_both",
            Script::StartPrim => "start_prim",
            Script::StopPrim => "stop_prim",
            Script::StartSecond => "start_second",
            Script::StopSecond => "stop_second",
            Script::StartSec => "start_sec",
            Script::StopSec => "stop_sec",
            Script::Poststop => "poststop",
            Script::Transition => "transition",
            Script::Config => "config",
            Script::Deconfig => "deconfig",
            Script::Confcheck => "confcheck",
            Script::State => "state",
            Script::Level => "level",
        }
    }

    /// Whether it stops an application: called a second time with `force`, and bounded by a time-out.
    pub fn is_stop(self) -> bool {
        matches!(self, Script::StopBoth | Script::StopPrim | Script::StopSecond | Script::StopSec)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a script is that takes long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hang {
    /// The process that the others of the script wait for.
    pub pid: i32,
    /// Its program and arguments, control characters escaped.
    pub command: String,
    /// The letter of `/proc`: `S` sleeps, `R` runs, `D` waits in the kernel and can't be killed.
    pub state: char,
    /// The kernel's function that it waits in, if the kernel says it.
    pub waits_in: Option<String>,
    /// How long the script has been running.
    pub elapsed_s: u64,
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "has been running for {} s: process {} ({}) ", self.elapsed_s, self.pid, self.command)?;
        match (self.state, &self.waits_in) {
            ('R', _) => f.write_str("is busy"),
            ('T' | 't', _) => f.write_str("is stopped by a signal or a debugger"),
            ('D', Some(place)) => write!(f, "waits in the kernel, in {place}, and can't be killed"),
            ('D', None) => f.write_str("waits in the kernel and can't be killed"),
            (_, Some(place)) => write!(f, "waits in {place}"),
            (_, None) => f.write_str("waits"),
        }
    }
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ScriptOutcome {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    /// The module has no such script: nothing to do.
    Missing,
    /// Not run: the file or a directory above it can be written by others, or it could not be started.
    Refused(String),
}

impl ScriptOutcome {
    /// Whether the caller may go on as if all were well.
    pub fn is_success(&self) -> bool {
        matches!(self, ScriptOutcome::Exited(0) | ScriptOutcome::Missing)
    }
}
