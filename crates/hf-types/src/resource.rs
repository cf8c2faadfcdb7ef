use serde::{Deserialize, Serialize};
use std::fmt;

/// A named condition that failover rules and people read (reference 004, 7.9, 13.18.5), for example `heartbeat.flow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Class and identity, `heartbeat.default`, `rfs.uptodate`.
    pub name: String,
    pub value: ResourceValue,
    /// Who set it, as the log prints it: `heart`, `nfsadmin`.
    pub by: String,
}

/// The value of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceValue {
    Init,
    Up,
    Down,
    /// A setting or a measure.
    Text(String),
}

impl fmt::Display for ResourceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceValue::Init => f.write_str("init"),
            ResourceValue::Up => f.write_str("up"),
            ResourceValue::Down => f.write_str("down"),
            ResourceValue::Text(text) => f.write_str(text),
        }
    }
}
