use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of a module: `<service mode>` (reference 004, 13.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Primary and secondary on two nodes.
    Mirror,
    /// The application runs on every node, and the traffic is shared among them.
    Farm,
    /// One node by itself: its application is watched and started again there.
    Light,
}

impl Mode {
    /// The word in userconfig.xml.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Mirror => "mirror",
            Mode::Farm => "farm",
            Mode::Light => "light",
        }
    }

    /// Whether two nodes hear each other's hearts, and one is primary.
    pub fn has_pair(self) -> bool {
        self == Mode::Mirror
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
