//! What the daemon tells administrators of modules (reference 004, 9.6, 9.7).

use hf_types::ModuleName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An installed module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleEntry {
    pub module: ModuleName,
    /// None before the first `config` or `install` that gave it one.
    pub id: Option<u32>,
    /// A configuration was applied.
    pub configured: bool,
    /// Its heart lives on this node.
    #[serde(default)]
    pub running: bool,
}

/// What `confinfo -m` and `module getinfo` show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleInfo {
    pub entry: ModuleEntry,
    /// `mirror`; none while nothing is applied.
    pub mode: Option<String>,
    /// The configuration that was applied last.
    pub active: Option<ConfigStamp>,
    /// The one that is being edited.
    pub current: Option<ConfigStamp>,
    /// Packages of the configurations that were applied last, the oldest first.
    pub kept: Vec<String>,
}

/// Tells configurations apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStamp {
    /// Hex digest of names, contents and executable bits.
    pub signature: String,
    /// Last change of any of its files, seconds since 1970 UTC.
    pub changed_s: i64,
}

/// A port that other nodes reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Which part of ours listens: `heart`.
    pub process: String,
    /// The reference's name for it: `safenfs_port`.
    pub name: String,
    /// `UDP` or `TCP`.
    pub protocol: String,
    pub port: u16,
}

impl Port {
    /// A port of one of our parts.
    pub fn new(process: &str, name: &str, protocol: &str, port: u16) -> Port {
        Port { process: process.to_owned(), name: name.to_owned(), protocol: protocol.to_owned(), port }
    }
}

/// What `clean` removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanWhat {
    #[default]
    All,
    Log,
    Process,
    Resource,
}

impl CleanWhat {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            CleanWhat::All => "all",
            CleanWhat::Log => "log",
            CleanWhat::Process => "process",
            CleanWhat::Resource => "resource",
        }
    }
}

impl fmt::Display for CleanWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
