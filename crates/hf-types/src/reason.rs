use crate::{Epoch, Mode, ModuleState};
use serde::{Deserialize, Serialize};

/// Why a node became ALONE: the same enum feeds the log, the console, alerts and `holdfast why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum FailoverReason {
    /// The other node stopped its module in good order (reference 004, 4.2.2).
    #[error("remote stop")]
    RemoteStop,
    /// Every heartbeat was silent for its time-out (reference 004, 4.2.9).
    #[error("no heartbeat")]
    NoHeartbeat,
    /// The other node's heart died and its daemon confirmed that the module is fenced there.
    #[error("remote heart dead, module fenced there")]
    RemoteFenced,
    /// The other node's copy can't follow (its disk, its replication process).
    #[error("remote copy not up to date")]
    RemoteOutdated,
}

/// On what ground a permission to acknowledge alone was given (guide P4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum GrantReason {
    /// (a) The other copy wrote durably that it is outdated, and said so.
    #[error("the other copy confirmed that it is outdated")]
    OutdatedConfirmed,
    /// (b) A quorum witness recorded this node as the only one in step.
    #[error("the quorum witness recorded this copy as the only one in step")]
    Witness,
    /// (c) Every lane was silent for the time-out; at risk, because the other may run too.
    #[error("every heartbeat was silent: outdating of the other copy is unconfirmed")]
    Silence,
    /// The other copy can't write that it is outdated (its disk failed, its rfs is dead), but its heart promised that it
    /// won't take over; at risk, because the promise is not durable.
    #[error("the other node promised not to take over, but could not write it down")]
    Promised,
    /// There is nothing to ask: both copies follow each other in step.
    #[error("both copies are in step")]
    Connected,
    /// An administrator said `prim` or `primforce`.
    #[error("an administrator said so")]
    Administrator,
    /// `syncdelta`: the promise P5 is given up, because an administrator said so in the configuration. At risk.
    #[error("syncdelta lets it start: its data was in step {minutes} min ago, and the other node doesn't answer")]
    SyncDelta { minutes: u64 },
    /// The module replicates no directory.
    #[error("nothing is replicated")]
    NoData,
}

/// Why this node does not become primary by itself (guide P5), shown in `state -v` and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum NotPrimary {
    #[error("this copy was never synchronised")]
    New,
    #[error("a synchronisation of this copy was interrupted")]
    Inconsistent,
    #[error("the other copy went on without this one")]
    Outdated,
    #[error("the other copy may be newer; it must be compared first")]
    PeerUnknown,
    #[error("this copy was up to date only until the machine lost power")]
    RebootedWhileAsync,
    #[error("the copy is older than the other node had seen it (restored from a snapshot?)")]
    RolledBack,
    #[error("the other node's copy is newer")]
    PeerNewer,
    #[error("the other node goes on alone with a disk that failed")]
    PeerDegraded,
    /// Reference 004, 13.6.4.10.
    #[error("waits for the next scheduled synchronisation (syncat)")]
    Scheduled,
    #[error("this node is frozen out after a stall until it has heard the other")]
    Stalled,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum RefusedAction {
    #[error("the module is {0} on this node; this command needs another state")]
    WrongState(ModuleState),
    #[error("the other node is already primary ({0})")]
    PeerPrimary(ModuleState),
    #[error("the other node is not primary ({0})")]
    PeerNotPrimary(ModuleState),
    #[error("the data may be inconsistent: a synchronisation was interrupted")]
    Inconsistent,
    #[error("another command is being carried out")]
    Busy,
    #[error("the secondary is not up to date")]
    NotInStep,
    #[error("this is a {0} module: only mirror modules have a primary and a secondary")]
    OnlyMirror(Mode),
}

/// A fault of the replication process that the state machine reacts to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum RfsFault {
    #[error("local disk error: {0}")]
    LocalDisk(String),
    #[error("the replicated directory can't be mounted: {0}")]
    NotMounted(String),
    #[error("the other node's disk failed or is full: {0}")]
    RemoteDisk(String),
    #[error("an operation gave a different answer on the other node: {0}")]
    Diverged(String),
    #[error("the other node does not answer on the replication link")]
    Stalled,
    #[error("the replication link is down")]
    LinkDown,
    #[error("grant {0} is over")]
    Fenced(Epoch),
}
