use crate::{BadResource, ResourceName, one_line};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A named condition that failover rules and people read (reference 004, 7.9, 13.18.5), for example `heartbeat.flow`.
/// [`crate::catalogue`] says which there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Class and identity, `heartbeat.default`, `rfs.uptodate`.
    pub name: String,
    pub value: ResourceValue,
    /// Who set it, as the log prints it: `heart`, `nfsadmin`.
    pub by: String,
    /// When it took this value: wall clock, microseconds since 1970 UTC; 0 where only the order counts (nothing decides by
    /// it, so the state machines leave it at 0 and the shell fills it in).
    #[serde(default)]
    pub at_us: i64,
}

impl Resource {
    /// One line for a history; `time` is `at_us` in the reader's time zone.
    pub fn shown(&self, time: &str) -> String {
        format!("{time} | {} | {} | {}\n", one_line(&self.name), one_line(&self.value.to_string()), one_line(&self.by))
    }
}

/// The value of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceValue {
    /// Not measured yet. Neither up nor down: a rule that compares with either is false.
    Init,
    Up,
    Down,
    /// Whoever measured it is gone.
    Unknown,
    /// Not measured in this state of the module, or with this configuration.
    Inactive,
    /// A setting or a measure.
    Text(String),
}

/// Longest value in bytes.
pub const VALUE_MAX: usize = 255;

impl ResourceValue {
    /// A value as somebody writes it on a command line.
    ///
    /// # Errors
    /// When it is empty, longer than [`VALUE_MAX`], or holds a control character.
    pub fn parse(text: &str) -> Result<ResourceValue, BadResource> {
        if text.is_empty() || text.len() > VALUE_MAX || text.chars().any(char::is_control) {
            return Err(BadResource::Value { value: text.to_owned() });
        }
        Ok(match text {
            "init" => ResourceValue::Init,
            "up" => ResourceValue::Up,
            "down" => ResourceValue::Down,
            "unknown" => ResourceValue::Unknown,
            "inactive" => ResourceValue::Inactive,
            other => ResourceValue::Text(other.to_owned()),
        })
    }
}

impl fmt::Display for ResourceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceValue::Init => f.write_str("init"),
            ResourceValue::Up => f.write_str("up"),
            ResourceValue::Down => f.write_str("down"),
            ResourceValue::Unknown => f.write_str("unknown"),
            ResourceValue::Inactive => f.write_str("inactive"),
            ResourceValue::Text(text) => f.write_str(text),
        }
    }
}

/// `set -r RES -v VALUE` (reference 004, 13.18.4): what somebody wants a resource to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub name: ResourceName,
    pub value: ResourceValue,
    /// Who sets it: the identity given with `-i`, or the user.
    pub by: String,
    #[serde(default)]
    pub history: History,
}

/// Whether an assignment is kept in the history of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// When the value is another one than before; of measures at most one a minute.
    #[default]
    Changes,
    /// Not this time (`-n`).
    Never,
    /// Also when it is the value that it had (`-l`).
    Always,
}
