//! The simulated data plane: a client's operations, the link's stream, records, the course of a synchronisation.
//!
//! It keeps to the border of `hf_replica::engine`, and is as unkind as that border allows: threads of the data plane do not
//! wait for the core, an acknowledgement can leave at any moment between two inputs of the core.

mod acks;
mod commands;
mod data;
mod marks;
mod records;
mod stream;
mod synchronise;
#[cfg(test)]
mod tests;

pub use data::Data;
pub use marks::{Manifest, Marks};
pub use stream::LANE;

/// Why a connection ends that a partition held for too long.
pub const TIMED_OUT: &str = "timed out";

use crate::clock::Time;
use crate::event::Pid;
use hf_replica::engine::Gate;
use hf_types::{Epoch, Record};
use std::collections::VecDeque;

/// What lives as long as the rfs process.
#[derive(Clone, Debug)]
pub struct Engine {
    pub pid: Pid,
    pub gate: Gate,
    pub listening: bool,
    pub connecting: bool,
    pub link: Option<u64>,
    /// Operations go out as they come: the other copy is at a known position of this stream.
    pub flowing: bool,
    /// Where the other copy said that it is, on this link.
    pub position: Option<(Epoch, u64)>,
    /// A synchronisation that this side runs: its number, and where it ends once everything was sent.
    pub sync: Option<u64>,
    /// Files that it leaves unread.
    pub known: u8,
    /// Where the last synchronisation ended in the stream.
    pub sync_seq: u64,
    /// Operations to be durable before `Drained`.
    pub drain: Option<usize>,
    pub fsync: Option<(u64, usize)>,
    pub records: VecDeque<(u64, Vec<Record>)>,
    /// Since when the other copy owes an answer.
    pub unanswered_since: Option<Time>,
    pub told_durable: u64,
    /// This disk failed: nothing is acknowledged any more by this process.
    pub faulty: bool,
}

impl Engine {
    pub fn new(pid: Pid) -> Engine {
        Engine {
            pid,
            gate: Gate::Closed,
            listening: false,
            connecting: false,
            link: None,
            flowing: false,
            position: None,
            sync: None,
            known: 0,
            sync_seq: 0,
            drain: None,
            fsync: None,
            records: VecDeque::new(),
            unanswered_since: None,
            told_durable: 0,
            faulty: false,
        }
    }
}

/// What outlives rfs: the kernel's requests, the ring of unacknowledged frames, the position of the applied stream.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    pub mounted: bool,
    /// A keeper holds the mount: the next rfs takes over.
    pub kept: bool,
    /// Operations that wait for the gate.
    pub parked: VecDeque<(u64, Time)>,
    /// Applied here, not acknowledged yet.
    pub pending: Vec<Pending>,
    pub out: Stream,
    /// Secondary: up to where which stream is applied, and how many operations of `data` that is.
    pub applied: (Epoch, u64),
    /// A synchronisation overwrites this copy.
    pub overwritten: bool,
    /// What is known to be equal on both copies.
    pub marks: Marks,
    /// The last gate that was not shut was a primary's.
    pub serves: bool,
    /// For a planted bug: the last zone waits.
    pub late: bool,
    /// Up to which sequence the applied stream is durable: (sequence, operations in the copy) still to sync.
    pub applied_durable: u64,
    pub applied_marks: VecDeque<(u64, usize)>,
}

/// An operation that a client waits for.
#[derive(Clone, Debug)]
pub struct Pending {
    pub op: u64,
    /// When the client gave it.
    pub since: Time,
    /// Durable here once so many operations are.
    pub count: usize,
    /// Place in the stream; none if it was applied without one.
    pub seq: Option<u64>,
}

/// The outgoing stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub epoch: Epoch,
    pub last: u64,
    /// Everything above is in the ring; none: the other copy can't go on from any position.
    pub floor: Option<u64>,
    pub ring: VecDeque<(u64, u64)>,
    pub received: u64,
    pub durable: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Stream { epoch: Epoch(0), last: 0, floor: None, ring: VecDeque::new(), received: 0, durable: 0 }
    }
}

impl Stream {
    /// A stream of `epoch` whose receiver is at its beginning.
    pub fn begin(epoch: Epoch) -> Stream {
        Stream { epoch, floor: Some(0), ..Stream::default() }
    }

    /// The other copy confirmed this much.
    pub fn confirm(&mut self, received: u64, durable: u64) {
        self.received = self.received.max(received).min(self.last);
        self.durable = self.durable.max(durable).min(self.last);
        while self.ring.front().is_some_and(|(seq, _)| *seq <= self.received) {
            self.floor = self.ring.pop_front().map(|(seq, _)| seq);
        }
    }

    /// How far the other copy's answer reaches: what it has received, or what is durable there.
    pub fn answered(&self, async_second: bool) -> u64 {
        if async_second { self.received } else { self.durable }
    }
}
