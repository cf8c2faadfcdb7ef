//! What is said about the watching of processes (reference 004, 9.4 and 13.9.4).

use serde::{Deserialize, Serialize};
use std::fmt;

/// One `errd` command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrdOrder {
    /// Nothing is watched until `resume`, or until the module has stopped.
    Suspend,
    /// Ends `suspend` and `off`.
    Resume,
    /// As `resume`.
    On,
    /// Nothing is watched until `on`, also after a stop and a start.
    Off,
    /// The processes of a class are watched.
    Enable(String),
    /// They aren't any more.
    Disable(String),
    /// Writes SAFEVAR/modules/AM/errdlist.
    List,
}

impl ErrdOrder {
    /// Whether it holds over a stop.
    pub fn is_kept(&self) -> bool {
        self.off().is_some()
    }

    /// What is kept over a stop: that nothing is watched, or that it is; none if nothing is kept.
    pub fn off(&self) -> Option<bool> {
        match self {
            ErrdOrder::Off => Some(true),
            ErrdOrder::On | ErrdOrder::Resume => Some(false),
            ErrdOrder::Suspend | ErrdOrder::Enable(_) | ErrdOrder::Disable(_) | ErrdOrder::List => None,
        }
    }
}

impl fmt::Display for ErrdOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrdOrder::Suspend => f.write_str("errd suspend"),
            ErrdOrder::Resume => f.write_str("errd resume"),
            ErrdOrder::On => f.write_str("errd on"),
            ErrdOrder::Off => f.write_str("errd off"),
            ErrdOrder::Enable(class) => write!(f, "errd enable {class}"),
            ErrdOrder::Disable(class) => write!(f, "errd disable {class}"),
            ErrdOrder::List => f.write_str("errd list"),
        }
    }
}

/// What is wrong with the processes of a `<proc>` (reference 004, 13.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcFault {
    /// Fewer run than have to.
    AtLeast,
    /// More run than may.
    AtMax,
}

impl fmt::Display for ProcFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProcFault::AtLeast => "atleast",
            ProcFault::AtMax => "atmax",
        })
    }
}

/// How many processes of a `<proc>` run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcCount {
    /// `name` of the `<proc>`.
    pub name: String,
    /// Those that are certainly meant.
    pub count: u32,
    /// Those whose command line could not be read: they may be meant.
    pub unsure: u32,
}
