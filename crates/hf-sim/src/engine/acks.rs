use super::Pending;
use super::marks::file_of;
use crate::bugs::Bug;
use crate::clock::{MS, SEC, Time, nanos};
use crate::event::OnNode;
use crate::facts::{Fact, acknowledges};
use crate::link::Frame;
use crate::world::World;
use hf_replica::engine::{EngineEvent, Gate};
use hf_types::RfsFault;

/// A client has so many operations under way at most.
const DEPTH: usize = 6;

impl World {
    /// A client's operation reaches the application of this node: a write and its barrier.
    pub(crate) fn submit(&mut self, node: usize) {
        let mount = &mut self.nodes[node].mount;
        if !mount.mounted || mount.parked.len() + mount.pending.len() >= DEPTH {
            return;
        }
        let op = self.next_op;
        self.next_op += 1;
        let engine = self.nodes[node].engine.as_ref();
        match engine.map(|e| (e.gate, e.faulty)) {
            Some((Gate::ReadOnly | Gate::Released, _)) => {}
            Some((gate, false)) if acknowledges(gate).is_some() => self.admit(node, op, self.now),
            _ => self.nodes[node].mount.parked.push_back((op, self.now)),
        }
    }

    pub(super) fn admit_parked(&mut self, node: usize) {
        while let Some((op, since)) = self.nodes[node].mount.parked.pop_front() {
            self.admit(node, op, since);
        }
        self.begin_fsync(node);
    }

    fn admit(&mut self, node: usize, op: u64, since: Time) {
        let count = self.nodes[node].disk.data.append(op);
        let seq = self.append(node, op);
        // Also one that goes into another stream than the one in common, between a synchronisation's gate and its beginning.
        if seq.is_none() || !self.nodes[node].mount.marks.is_live() {
            self.unmark(node, op);
        }
        // Here the last zone brings what happens during a synchronisation.
        self.with(node, |e| e.known &= !file_of(op));
        self.nodes[node].mount.pending.push(Pending { op, since, count, seq });
        self.begin_fsync(node);
    }

    /// Puts an operation into the stream, if the gate wants one.
    fn append(&mut self, node: usize, op: u64) -> Option<u64> {
        let state = &mut self.nodes[node];
        let engine = state.engine.as_ref()?;
        if !matches!(engine.gate, Gate::InStep { .. } | Gate::Syncing { .. }) {
            return None;
        }
        let out = &mut state.mount.out;
        out.last += 1;
        let (epoch, seq, flowing) = (out.epoch, out.last, engine.flowing);
        out.ring.push_back((seq, op));
        if flowing {
            self.send_frame(node, Frame::Op { epoch, seq, op });
        }
        self.watch_answer(node);
        Some(seq)
    }

    /// Nobody waits for what a secondary received if that is confirmed as received: it is made durable within a second (guide P1).
    pub(super) fn begin_fsync_of_received(&mut self, node: usize) {
        let lazy = if self.setup.async_second { self.dice.disk.below(SEC) } else { 0 };
        self.begin_fsync_in(node, lazy);
    }

    pub(super) fn begin_fsync(&mut self, node: usize) {
        self.begin_fsync_in(node, 0);
    }

    fn begin_fsync_in(&mut self, node: usize, lazy: Time) {
        let mark = self.nodes[node].disk.data.mark();
        let (bad, slow) = (self.nodes[node].disk.bad, self.nodes[node].disk.slow);
        let Some(engine) = self.engine(node) else {
            return;
        };
        if engine.fsync.is_some() || engine.faulty {
            return;
        }
        engine.fsync = Some(mark);
        let rfs = engine.pid;
        let dice = &mut self.dice.disk;
        let after = if slow && dice.chance(300) { dice.range(50 * MS, 2000 * MS) } else { dice.range(MS / 5, 5 * MS) };
        let failed = bad && dice.chance(500);
        self.on_node(node, lazy + after, OnNode::Fsynced { rfs, mark, failed });
    }

    pub(crate) fn fsynced(&mut self, node: usize, mark: (u64, usize), failed: bool) {
        self.with(node, |e| e.fsync = None);
        if failed {
            self.disk_failed(node);
            return;
        }
        self.nodes[node].disk.data.synced(mark);
        let now = self.nodes[node].disk.data.mark();
        if now != mark {
            self.begin_fsync(node);
        }
        self.confirm_durable(node);
        self.settle(node);
    }

    /// The first error of a disk is never tried again (guide P11): the application of a primary gets EIO for what was
    /// hit, a secondary confirms nothing more until it is synchronised again.
    fn disk_failed(&mut self, node: usize) {
        self.note(Some(node), || "disk: fsync failed".to_owned());
        self.forget_marks(node);
        let fault = RfsFault::LocalDisk("input/output error".to_owned());
        self.tell_core(node, EngineEvent::Fault(fault));
        let Some(engine) = self.engine(node) else {
            return;
        };
        if acknowledges(engine.gate).is_some() {
            self.nodes[node].mount.pending.clear();
        } else {
            engine.faulty = true;
            self.send_frame(node, Frame::Nack);
        }
    }

    /// The heart of the promise: what may be acknowledged under the gate is.
    pub(super) fn acknowledge(&mut self, node: usize) {
        let state = &self.nodes[node];
        let Some((gate, false)) = state.engine.as_ref().map(|e| (e.gate, e.faulty)) else {
            return;
        };
        let Some(epoch) = acknowledges(gate) else {
            return;
        };
        let answered = state.mount.out.answered(self.setup.async_second);
        let sync_seq = state.engine.as_ref().map_or(0, |e| e.sync_seq);
        let hasty = self.bug == Some(Bug::AckBeforePeer);
        let (acked, left): (Vec<Pending>, Vec<Pending>) = state.mount.pending.iter().cloned().partition(|p| {
            let there = match gate {
                Gate::InStep { .. } => p.seq.unwrap_or(sync_seq) <= answered || hasty,
                _ => true,
            };
            there && state.disk.data.is_durable(p.count)
        });
        self.nodes[node].mount.pending = left;
        for pending in acked {
            self.stats.acked += 1;
            self.stats.longest_wait = self.stats.longest_wait.max(self.now - pending.since);
            let op = pending.op;
            self.note(Some(node), || format!("client: operation {op} is safe (epoch {epoch})"));
            self.fact(Fact::Acked { node, epoch, op });
        }
    }

    /// The other copy owes an answer from now on, if it did not already.
    pub(super) fn watch_answer(&mut self, node: usize) {
        let now = self.now;
        let patience = nanos(self.setup.send_timeout);
        let Some(engine) = self.engine(node) else {
            return;
        };
        if engine.unanswered_since.is_none() {
            engine.unanswered_since = Some(now);
            let rfs = engine.pid;
            self.on_node(node, patience, OnNode::Unanswered { rfs });
        }
    }

    /// The other copy answered up to somewhere.
    pub(super) fn answer_came(&mut self, node: usize) {
        let now = self.now;
        let out = &self.nodes[node].mount.out;
        let all = out.answered(self.setup.async_second) >= out.last;
        self.with(node, |e| e.unanswered_since = if all { None } else { Some(now) });
    }

    pub(crate) fn check_unanswered(&mut self, node: usize) {
        let (now, patience) = (self.now, nanos(self.setup.send_timeout));
        let Some(engine) = self.engine(node) else {
            return;
        };
        let Some(since) = engine.unanswered_since else {
            return;
        };
        let (rfs, up) = (engine.pid, engine.link.is_some());
        let waited = now - since;
        if waited >= patience {
            engine.unanswered_since = Some(now);
            if up {
                let for_ms = waited / MS;
                self.tell_core(node, EngineEvent::Unanswered { for_ms });
            }
            self.on_node(node, patience, OnNode::Unanswered { rfs });
        } else {
            self.on_node(node, patience - waited, OnNode::Unanswered { rfs });
        }
    }
}
