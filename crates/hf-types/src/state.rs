use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// State of a module on one node (reference 004, 5.2 and 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ModuleState {
    /// Module stopped.
    Stop,
    /// Starting (magenta), or held back by a resource (red).
    Wait,
    /// Primary without secondary.
    Alone,
    /// Primary with secondary.
    Prim,
    /// Secondary with primary; magenta while data is reintegrated.
    Second,
    /// Farm and light modules: the application runs.
    Up,
    /// Of another node: nothing is heard.
    Unknown,
}

impl ModuleState {
    /// The reference's word, as logs, scripts and commands use it.
    pub fn as_str(self) -> &'static str {
        match self {
            ModuleState::Stop => "STOP",
            ModuleState::Wait => "WAIT",
            ModuleState::Alone => "ALONE",
            ModuleState::Prim => "PRIM",
            ModuleState::Second => "SECOND",
            ModuleState::Up => "UP",
            ModuleState::Unknown => "UNKNOWN",
        }
    }

    /// Whether this node is a mirror's primary.
    pub fn is_primary(self) -> bool {
        matches!(self, ModuleState::Alone | ModuleState::Prim)
    }

    /// Whether the application runs in this state on this node: on a primary, and wherever a module of another kind is UP.
    pub fn runs_application(self) -> bool {
        self.is_primary() || self == ModuleState::Up
    }
}

impl fmt::Display for ModuleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ModuleState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Stop, Self::Wait, Self::Alone, Self::Prim, Self::Second, Self::Up, Self::Unknown]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no state: use STOP, WAIT, ALONE, PRIM, SECOND or UP"))
    }
}

/// How settled a state is (reference 004, 5.2); newer versions say NotReady, Transient, Ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Stopped or held back.
    Red,
    /// On its way: scripts or a reintegration run.
    Magenta,
    /// Stable.
    Green,
    /// Not known.
    Grey,
}

impl Colour {
    /// The word that logs print after the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Colour::Red => "red",
            Colour::Magenta => "magenta",
            Colour::Green => "green",
            Colour::Grey => "grey",
        }
    }

    /// The word of newer versions for the same .
    pub fn readiness(self) -> &'static str {
        match self {
            Colour::Red => "NotReady",
            Colour::Magenta => "Transient",
            Colour::Green => "Ready",
            Colour::Grey => "Unknown",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
