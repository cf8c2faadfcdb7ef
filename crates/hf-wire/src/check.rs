//! Verification of the two copies (reference 004, 13.6.4.5) and what changed since they were equal (13.6.4.6): what commands ask of rfs,
//! what it reports, and what both ends of the link say to each other.

use serde::{Deserialize, Serialize};

/// Asked of rfs on its own socket, by the daemon for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum RfsOrder {
    /// `rfsverify`: compare both copies while the application writes.
    Verify,
    /// `rfsdiff`: what changed here since the other copy followed.
    Diff,
}

/// In what a file differs. The side that is meant is the other copy, seen from the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// There is no such name on the secondary.
    Missing,
    /// The secondary has a name that the primary doesn't have.
    Extra,
    /// Another file of the same or another kind is under the name there: it was put in the place of the replicated one.
    Replaced,
    /// Target of a symbolic link, number of a device.
    Target,
    Size,
    Content,
    Mode,
    Owner,
    /// Time of the last change.
    Time,
    /// Extended attributes, access control lists.
    Attributes,
}

impl Differs {
    /// For a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Differs::Missing => "missing on the secondary",
            Differs::Extra => "only on the secondary",
            Differs::Replaced => "another file on the secondary",
            Differs::Target => "another target",
            Differs::Size => "another size",
            Differs::Content => "another content",
            Differs::Mode => "another mode",
            Differs::Owner => "another owner",
            Differs::Time => "another time of the last change",
            Differs::Attributes => "other extended attributes",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Index of the replicated directory.
    pub dir: u16,
    /// Below it; bytes that are no UTF-8 are replaced.
    pub path: String,
    pub differs: Differs,
    /// `primary 644, secondary 600`, `zone 5 (5242880 to 6291455)`; empty where there is nothing more to say.
    pub detail: String,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCount {
    /// Files of every kind, directories too.
    pub files: u64,
    /// Bytes whose digests were compared.
    pub bytes: u64,
    pub differences: u64,
    /// Zones that were being written when they were compared first, and were compared again at one place of the stream.
    pub again: u64,
    pub elapsed_ms: u64,
}

/// What a verification says; the last one is `Ended` or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum CheckReport {
    Progress(CheckCount),
    Found(Difference),
    Ended(CheckCount),
    Failed { why: String },
}

/// What changed since the copies were equal (`rfsdiff`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Since when, seconds since 1970 UTC; none when the copies never were equal: then everything counts.
    pub since_s: Option<i64>,
    /// Regular files, and bytes in them.
    pub files_total: u64,
    pub bytes_total: u64,
    /// Those that changed since then. At most so many bytes travel: of a file that changed only the zones that differ do.
    pub files_changed: u64,
    pub bytes_changed: u64,
    pub elapsed_ms: u64,
    /// How long a synchronisation takes, about, in seconds.
    pub estimate_s: u64,
}

/// One difference as the secondary found it, at the check with sequence `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In a listing: the name.
    pub name: Option<String>,
    pub differs: Differs,
    pub detail: String,
}

/// What the two ends say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum CheckMessage {
    /// Secondary: a command here wants a verification.
    Ask { token: u64 },
    /// Secondary: nobody wants it any more.
    Cancel { token: u64 },
    /// Primary: to who asked.
    Report { token: u64, report: CheckReport },
    /// Secondary: the check with this sequence found something.
    Found { seq: u64, findings: Vec<Finding> },
    /// Secondary: everything up to this sequence was compared.
    Done { seq: u64 },
}
