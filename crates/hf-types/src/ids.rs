use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} name {name:?} is not valid: use 1 to {max} letters, digits, '_', '-' or '.', beginning with a letter or a digit"
)]
pub struct BadName {
    /// What was being named.
    pub kind: &'static str,
    /// The text that was given.
    pub name: String,
    /// The longest name accepted, in characters.
    pub max: usize,
}

fn checked(kind: &'static str, name: &str, max: usize) -> Result<String, BadName> {
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= max
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if valid { Ok(name.to_owned()) } else { Err(BadName { kind, name: name.to_owned(), max }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text; it holds only letters, digits, `_`, `-` and `.`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(name: &str) -> Result<Self, BadName> {
                checked($kind, name, $max).map($type)
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(name: String) -> Result<Self, BadName> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A node's name, the same on every LAN (reference 004, 12.1.3).
    NodeName, "node", 64
);
name!(
    /// A module's name, `AM` in the reference; it is also a directory's name.
    ModuleName, "module", 64
);
name!(
    /// A LAN's logical name (reference 004, 12.1.3).
    LanName, "lan", 64
);

macro_rules! number {
    ($(#[$doc:meta])* $type:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $type(pub $inner);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

number!(
    /// One start of a process: drawn at random by the shell, so that a restart is never taken for the same process.
    Incarnation(u64), "{:016x}"
);
number!(
    /// One line of descent of the replicated data (guide P7): drawn at random when a copy goes on alone.
    GenerationId(u64), "{:016x}"
);
number!(
    /// Number of a permission to acknowledge; grows with every grant, on whichever node.
    Epoch(u64), "{}"
);
number!(
    /// Identity of a replicated file or directory, the same on both nodes; 1 is the root of the directory.
    FileId(u64), "{}"
);
number!(
    /// Place of an operation in the global order of one epoch's stream.
    Seq(u64), "{}"
);
number!(
    /// A command that waits for its answer.
    Ticket(u64), "{}"
);
number!(
    /// One run of a script.
    RunId(u64), "{}"
);
