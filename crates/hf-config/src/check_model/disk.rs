//! What `<disk>` says.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CheckAction, When};

/// `<disk>`, which the reference doesn't have: a directory's file system with room, that takes writes in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskCheck {
    /// `ident`: the resource is `disk.<ident>`.
    pub ident: String,
    pub when: When,
    /// `action`; none: the rules decide. No default rule is for disks.
    pub action: Option<CheckAction>,
    /// `dir`: an absolute path.
    pub dir: String,
    /// `free`: less is too little, default 5 %.
    pub free: Room,
    /// `write`: a little is written and brought to the disk at each look, default on.
    pub write: bool,
    /// `interval` between two looks, bare numbers in seconds, default 10 s (1 s with `reaction="fast"`).
    pub interval_ms: u64,
    /// `timeout` of a look, bare numbers in seconds, default 5 s (1 s with `reaction="fast"`).
    pub timeout_ms: u64,
}

/// How much room there has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// Of the whole file system, 0 to 99.
    Percent(u8),
    Bytes(u64),
}

impl Room {
    /// In bytes, of a file system with `total` bytes.
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Room::Percent(percent) => total / 100 * u64::from(percent),
            Room::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Room::Percent(percent) => write!(f, "{percent}%"),
            Room::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}
