use crate::clock::Time;
use hf_replica::engine::PeerMessage;
use hf_types::Epoch;
use std::collections::VecDeque;
use std::rc::Rc;

/// What travels on the replication link.
#[derive(Clone, Debug)]
pub enum Frame {
    /// First of the data plane: up to where this copy has applied which stream.
    Position {
        epoch: Epoch,
        applied: u64,
    },
    Op {
        epoch: Epoch,
        seq: u64,
        op: u64,
    },
    /// A zone that differs.
    Zone,
    /// The last zone: from here on the copies are equal.
    LastZone {
        epoch: Epoch,
        seq: u64,
        ops: Rc<Vec<u64>>,
        known: u8,
        stream: u64,
    },
    /// The receiver has these.
    Ack {
        epoch: Epoch,
        received: u64,
        durable: u64,
    },
    /// The receiver could not apply: its disk.
    Nack,
    Core(PeerMessage),
}

/// A connection. Ordered both ways; what a partition holds back arrives when it heals, unless the connection broke before.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// When the last frame to this node arrives.
    pub last: [Time; 2],
    /// What waits for a lane to open, to this node; `None` is the end of the stream.
    pub held: [VecDeque<Option<Frame>>; 2],
}
