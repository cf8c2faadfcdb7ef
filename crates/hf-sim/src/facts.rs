//! What the world tells the invariants, and what they may look at.

use crate::clock::Time;
use crate::engine::Data;
use hf_replica::engine::Gate;
use hf_types::{Colour, Epoch, GenerationId, GrantReason, ModuleState, Record};
use hf_wire::bus::RfsRole;

/// Something that happened, as a god sees it.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The gate of a node's front end changed.
    Gate {
        node: usize,
        gate: Gate,
    },
    /// A client was told that its operation is safe.
    Acked {
        node: usize,
        epoch: Epoch,
        op: u64,
    },
    /// The heart told rfs its role.
    Role {
        node: usize,
        role: RfsRole,
    },
    /// The heart gave a permission to acknowledge alone.
    Granted {
        node: usize,
        epoch: Epoch,
        generation: GenerationId,
        why: GrantReason,
    },
    /// Rfs took a fence of its heart.
    Fenced {
        node: usize,
        epoch: Epoch,
    },
    /// The daemon was told that rfs acknowledges nothing any more.
    RfsFenced {
        node: usize,
    },
    /// The data plane of a primary in step said that everything accepted so far is at the other copy, too.
    Drained {
        node: usize,
    },
    /// A heart begins to run.
    HeartStarts {
        node: usize,
    },
    /// A heart whose disk is one of an earlier day heard that the other node serves.
    HeardServing {
        node: usize,
    },
    /// The heart logged its state.
    State {
        node: usize,
        state: ModuleState,
        colour: Colour,
    },
    /// The virtual address is on the node's interface, or not.
    Vip {
        node: usize,
        set: bool,
    },
    /// A record reached the disk.
    Record {
        node: usize,
        dir: usize,
        old: Box<Record>,
        new: Box<Record>,
    },
    /// The core of a secondary was told that a synchronisation begins.
    SyncBegins {
        node: usize,
    },
    /// This copy was put by as a whole.
    Kept {
        node: usize,
        generation: GenerationId,
    },
    /// The last zone of the other copy was written over this one.
    Synced {
        node: usize,
    },
    PowerCut {
        node: usize,
    },
    PowerOn {
        node: usize,
    },
    Frozen {
        node: usize,
    },
    Thawed {
        node: usize,
        stood_still: Time,
    },
    /// Records and data of this node are those of an earlier day.
    RolledBack {
        node: usize,
    },
    /// Faults are over, and the cluster is at rest again.
    AtRest,
}

/// The parts of the world that an invariant may look at.
pub struct View<'a> {
    pub at: Time,
    pub ledger: &'a crate::ledger::Ledger,
    pub data: [&'a Data; 2],
    pub records: [&'a [Record]; 2],
    pub boot_id: [&'a str; 2],
    /// Whether the network hides the other node from this one now.
    pub hidden: [bool; 2],
    /// Whether the node has power, stands still, has a heart.
    pub powered: [bool; 2],
    pub frozen: [bool; 2],
    pub heart: [bool; 2],
    /// There is a witness that only one node reaches while the network lies between them.
    pub witnessed: bool,
    /// When the newest heartbeat that the node's heart can count reached the machine.
    pub heard_at: [Option<crate::clock::Time>; 2],
    /// The heartbeats' time-out.
    pub timeout: crate::clock::Time,
}

/// Whether a front end with this gate may acknowledge.
pub fn acknowledges(gate: Gate) -> Option<Epoch> {
    match gate {
        Gate::Closed | Gate::ReadOnly | Gate::Released => None,
        Gate::Alone { epoch } | Gate::InStep { epoch } | Gate::Syncing { epoch } => Some(epoch),
    }
}
