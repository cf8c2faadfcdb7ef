use serde::{Deserialize, Serialize};
use std::fmt;

/// The user scripts of a mirror module that are served (reference 004, 14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    Prestart,
    StartPrim,
    StopPrim,
    Poststop,
    Transition,
}

impl Script {
    /// The file's name in SAFEUSERBIN.
    pub fn as_str(self) -> &'static str {
        match self {
            Script::Prestart => "prestart",
            Script::StartPrim => "start_prim",
            Script::StopPrim => "stop_prim",
            Script::Poststop => "poststop",
            Script::Transition => "transition",
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
