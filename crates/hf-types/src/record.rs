use crate::{Epoch, GenerationId, Seq};
use serde::{Deserialize, Serialize};

/// What a replicated directory durably knows of itself and of the other copy (guide, P4 to P7).
///
/// It lives in a preallocated two-slot file beside the backing directory, is written whole, and is synced before anything
/// that follows from it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Drawn at random when the directory is first prepared: a replaced disk has another one.
    pub identity: u64,
    /// The line of descent that this copy is on; 0 when it never had data of the module.
    pub generation: GenerationId,
    /// Earlier generations, newest first, at most [`Record::HISTORY_MAX`].
    pub history: Vec<GenerationId>,
    /// The latest grant that this copy knows of.
    pub epoch: Epoch,
    /// What is known of the other copy.
    pub standing: Standing,
    /// False from the first change of a synchronisation until its end: half of the old, half of the new.
    pub consistent: bool,
    /// Whether this copy holds everything that was acknowledged in `generation`.
    pub up_to_date: UpToDate,
    /// This copy was the primary when the record was written.
    pub was_primary: bool,
    /// The module was stopped in good order on this node.
    pub orderly: bool,
    /// The highest sequence of `epoch` that the other copy confirmed as durable.
    pub peer_seq: Seq,
    /// When this copy was last known to be in step: seconds since 1970 UTC, by this node's clock. For `syncdelta` only.
    #[serde(default)]
    pub synced_s: Option<i64>,
}

impl Record {
    /// Ancestors kept in a record.
    pub const HISTORY_MAX: usize = 32;

    /// The record of a directory that no module ever used.
    pub fn new(identity: u64) -> Record {
        Record {
            identity,
            generation: GenerationId(0),
            history: Vec::new(),
            epoch: Epoch(0),
            standing: Standing::New,
            consistent: true,
            up_to_date: UpToDate::No,
            was_primary: false,
            orderly: true,
            peer_seq: Seq(0),
            synced_s: None,
        }
    }
}

/// What a copy durably knows of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// Nothing yet.
    New,
    /// Both are in step: neither may go on without asking.
    Connected,
    /// This copy goes on alone, and the other wrote durably that it is outdated: it may start with nobody to ask.
    AloneConfirmed,
    /// This copy went on alone after silence: the other may have done the same.
    AloneUnconfirmed,
    /// The other copy went on without this one, since this generation.
    Outdated { since: GenerationId },
}

/// Whether a copy holds everything acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UpToDate {
    No,
    Yes,
    /// `async="second"`: true while the kernel with this boot id runs (guide P5).
    WhileBooted(String),
}

/// A module's copy as a whole: the worst of its directories' records, as durable (what heartbeats carry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyState {
    pub generation: GenerationId,
    /// Newest first.
    pub history: Vec<GenerationId>,
    pub epoch: Epoch,
    pub standing: Standing,
    pub consistent: bool,
    pub up_to_date: bool,
    pub was_primary: bool,
    pub orderly: bool,
}
