//! The border between the replication core (pure) and the data plane (FUSE front, link, synchronisation).
//!
//! The hot path never comes here: the front end reads the [`Gate`] from one atomic, and the link's own threads acknowledge.
//! What comes here is rare: roles, grants, records, the course of a synchronisation, faults.
//!
//! One engine serves one module: all its replicated directories share one link, one gate and one sequence.

use crate::ladder::{Common, Step};
use hf_types::{Epoch, GenerationId, Incarnation, Record, RfsFault, Seq, SyncWish};
use serde::{Deserialize, Serialize};

/// What the front end may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gate {
    /// Everything that modifies waits; barriers that are under way wait too. Reads go on.
    Closed,
    /// Every modification fails with EROFS (secondary).
    ReadOnly,
    /// Every modification fails with EIO, who waits too: nothing is acknowledged by this process any more. Reads go on.
    Released,
    /// Acknowledge when durable here (this node holds a grant to go alone).
    Alone { epoch: Epoch },
    /// Acknowledge when durable here and received (or durable) there.
    InStep { epoch: Epoch },
    /// Acknowledge when durable here, and send everything to the other copy too, which is being synchronised.
    Syncing { epoch: Epoch },
}

/// Core to data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EngineCommand {
    /// Mount (or, after a takeover, serve again) all directories; the gate starts closed or read-only. Answered by
    /// `Mounted`, also when everything is mounted already.
    Mount,
    /// Write the mount's dirty pages back, unmount, put the links back. Answered by `Unmounted`.
    Unmount,
    /// Takes effect before the command returns: after `Closed` or a smaller epoch no acknowledgement leaves any more.
    SetGate(Gate),
    /// Secondary: accept one authenticated connection from the primary, also after a link went down. Idempotent.
    Listen,
    /// Primary: keep trying to connect to the other node, also after a link went down. Idempotent.
    Connect,
    /// End listening, connecting and any connection. Nothing that was not received yet is received after it; `LinkDown`
    /// follows if a link stood.
    Hangup,
    /// A core message to the other core, in the order of the stream: it is received there ([`EngineEvent::Received`]) after
    /// everything that was appended before it has been applied. Dropped without a word when no link stands.
    Send(PeerMessage),
    /// Primary: compare and send what differs, while writes flow. Gate is `Syncing`. Answered by `SyncStep` first.
    StartSync(SyncWish),
    /// Ends a synchronisation that runs; the link stays.
    StopSync,
    /// Primary: write the mount's dirty pages back and wait until everything appended so far is applied there (or, alone,
    /// durable here). If the gate changes meanwhile (in step to alone) the wait goes on under the new rule. Secondary: wait
    /// until everything received so far is applied and durable here. Answered by `Drained`.
    Drain,
    /// Secondary, following nobody: put this copy by as a whole, under its generation, before it is overwritten (guide P7). Answered by
    /// `CopyKept` or `CopyNotKept`; at once where it was kept before.
    KeepCopy { generation: GenerationId },
    /// Write the records durably (one a directory, in the directories' order). Answered by `RecordsWritten { token }`.
    WriteRecords { token: u64, records: Vec<Record> },
}

/// Data plane to core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EngineEvent {
    /// First: the records found on disk (new ones where there was none), and this kernel's boot id.
    Started {
        records: Vec<Record>,
        boot_id: String,
        takeover: bool,
    },
    Mounted,
    /// Mounting, unmounting, preparing failed; what state was left is in the text.
    MountFailed {
        why: String,
    },
    Unmounted,
    /// The authenticated link to the other node stands; a `PeerMessage::Hello` goes out first.
    LinkUp,
    LinkDown {
        why: String,
    },
    /// The other node was reached, and what it speaks is not understood here: said once, until there is a link.
    LinkRefused {
        why: String,
    },
    Received(PeerMessage),
    /// Primary: nothing was acknowledged by the other copy for `sendtimeout`/`locktimeout`, though something was sent.
    Unanswered {
        for_ms: u64,
    },
    /// Everything appended before the drain is applied there (or durable here).
    Drained {
        seq: Seq,
    },
    /// A synchronisation begins with this step of the ladder.
    SyncStep(Step),
    /// A file was compared by content ([`SYNC_NAMED`] of them are named).
    SyncRead {
        /// Relative to its replicated directory.
        path: String,
        why: Unknown,
        /// Bytes that differed.
        sent: u64,
    },
    SyncProgress(SyncCount),
    /// `reidetail`: of this file so many bytes were copied.
    SyncFile {
        /// Index of the replicated directory.
        dir: u16,
        /// Below it.
        path: String,
        bytes: u64,
    },
    /// Everything that differed was sent; when the other copy has applied `seq`, both are equal.
    SyncSent {
        seq: Seq,
        count: SyncCount,
    },
    /// The synchronisation can't go on.
    SyncFailed {
        why: String,
    },
    /// What travels, when it has changed.
    Traffic(Traffic),
    /// Whether the replicated directories answer, first and when it has changed.
    Responding(bool),
    /// The other copy confirmed as durable everything up to `seq` (at least once a second while there is something).
    Watermark {
        seq: Seq,
    },
    CopyKept {
        generation: GenerationId,
        /// 0: it was given up by an administrator.
        files: u64,
    },
    /// Nothing may be overwritten; `why` says what the administrator can do.
    CopyNotKept {
        generation: GenerationId,
        why: String,
    },
    RecordsWritten {
        token: u64,
    },
    /// A record could not be written: this disk can't be trusted (guide P11).
    RecordsFailed {
        token: u64,
        why: String,
    },
    /// A fault of either disk, a divergence. Acknowledging has stopped for what it hit.
    Fault(RfsFault),
}

/// What two cores say to each other over the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// First in both directions.
    Hello {
        version: u16,
        incarnation: Incarnation,
        /// The sender's role when it connected.
        primary: bool,
        epoch: Epoch,
        records: Vec<Record>,
        /// Secondary: not 0 if the stream can go on from where this copy stands (after a broken link, a death of rfs on
        /// either side). The core says whether the record allows it; the data plane makes it 0 if its memory doesn't.
        applied: Seq,
        /// Secondary: what an administrator asked of the synchronisation.
        #[serde(default)]
        wish: SyncWish,
        /// What the sender's marks of unchanged files are about. The core leaves it empty; the data plane fills it in and takes it out.
        #[serde(default)]
        common: Option<Common>,
    },
    /// Primary: I'm going to synchronise you; write "not consistent, not up to date" durably, then say `SyncReady`.
    SyncBegin {
        epoch: Epoch,
        generation: GenerationId,
    },
    SyncReady,
    /// Primary: everything was sent up to `seq`, acknowledgements wait for you from now on, and my record says "connected":
    /// once `seq` is applied write "up to date in `generation`" durably, then say `InStep`.
    SyncEnd {
        epoch: Epoch,
        generation: GenerationId,
        history: Vec<GenerationId>,
        seq: Seq,
        /// For the log of the reintegrated node ("Copied ...").
        #[serde(default)]
        count: SyncCount,
    },
    InStep {
        epoch: Epoch,
    },
    /// Primary, drained, at a swap: the role is yours from `epoch` on; I'm read-only already.
    Handover {
        epoch: Epoch,
        seq: Seq,
    },
    HandoverTaken {
        epoch: Epoch,
    },
    /// This copy goes: it wrote "outdated since" durably.
    Outdated {
        since: GenerationId,
    },
    /// Refused: the reason is logged on both sides, the link is closed.
    Refuse {
        why: String,
    },
}

/// Means of the last three seconds, in KB (1000 bytes) a second (reference 004, 13.6.4.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// What applications changed.
    pub replication: u64,
    /// What a synchronisation said and sent.
    pub reintegration: u64,
    /// All that went to the other node, and all that came from it.
    pub net_out: u64,
    pub net_in: u64,
}

/// How many files a synchronisation names at most.
pub const SYNC_NAMED: u64 = 50;

/// Why a file was compared by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// It is not known to be as it was on the primary.
    Here,
    /// Nor on the secondary.
    There,
    /// All files are compared, and this one differs.
    Differs,
}

impl std::fmt::Display for Unknown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unknown::Here => "changed on this node, or new",
            Unknown::There => "changed on the other node, or new there",
            Unknown::Differs => "its content differed",
        })
    }
}

/// Counters of a synchronisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCount {
    pub files_done: u64,
    pub files_total: u64,
    pub bytes_done: u64,
    pub bytes_total: u64,
    pub bytes_sent: u64,
    pub elapsed_ms: u64,
    /// Of `files_done` and `bytes_done`: what was not read, because it is known to be equal.
    #[serde(default)]
    pub files_known: u64,
    #[serde(default)]
    pub bytes_known: u64,
}
