use crate::bugs::Bug;
use crate::clock::{MS, SEC};
use crate::event::OnNode;
use crate::facts::Fact;
use crate::link::Frame;
use crate::world::World;
use hf_replica::engine::{EngineEvent, Gate, SyncCount};
use hf_types::{Epoch, Seq, SyncWish};
use std::rc::Rc;

/// What ends a synchronisation.
pub struct LastZone<'a> {
    pub epoch: Epoch,
    pub seq: u64,
    /// The whole copy of the sender.
    pub ops: &'a [u64],
    /// Of these files nothing was read or sent.
    pub known: u8,
    /// The state in common from here on.
    pub stream: u64,
}

impl World {
    /// Compares what isn't known to be equal, and sends what differs: some zones, the last of which makes the copies equal.
    pub(super) fn start_sync(&mut self, node: usize, wish: SyncWish) {
        let known = self.unread(node, wish);
        let run = self.fresh();
        let zones = self.dice.shell.range(1, 8) as u32;
        let state = &mut self.nodes[node];
        state.mount.out.floor = None;
        state.mount.out.ring.clear();
        let Some(engine) = &mut state.engine else {
            return;
        };
        engine.sync = Some(run);
        engine.known = known;
        engine.flowing = true;
        self.next_step(node, run, zones);
    }

    fn next_step(&mut self, node: usize, run: u64, left: u32) {
        let Some(rfs) = self.engine(node).map(|e| e.pid) else {
            return;
        };
        let after = self.dice.shell.range(5 * MS, 400 * MS);
        self.on_node(node, after, OnNode::SyncStep { rfs, run, left });
    }

    pub(crate) fn sync_step(&mut self, node: usize, run: u64, left: u32) {
        let Some((Some(current), Some(_))) = self.engine(node).map(|e| (e.sync, e.link)) else {
            return;
        };
        if current != run {
            return;
        }
        if left > 0 {
            self.send_frame(node, Frame::Zone);
            self.tell_core(node, EngineEvent::SyncProgress(SyncCount::default()));
            self.next_step(node, run, left - 1);
            return;
        }
        let state = &mut self.nodes[node];
        let ops = Rc::new(state.disk.data.ops().to_vec());
        let out = &mut state.mount.out;
        out.last += 1;
        out.floor = Some(out.last);
        out.ring.clear();
        let (epoch, seq) = (out.epoch, out.last);
        let stream = self.dice.shell.next() | 1;
        self.mark_all(node, stream, epoch, true);
        let known = self.engine(node).map_or(0, |e| e.known);
        self.with(node, |e| {
            e.sync = None;
            e.sync_seq = seq;
        });
        self.send_frame(node, Frame::LastZone { epoch, seq, ops, known, stream });
        self.watch_answer(node);
        let count = SyncCount::default();
        self.tell_core(node, EngineEvent::SyncSent { seq: Seq(seq), count });
    }

    fn is_secondary(&self, node: usize) -> bool {
        let engine = self.nodes[node].engine.as_ref();
        engine.is_some_and(|e| matches!(e.gate, Gate::ReadOnly | Gate::Closed))
    }

    pub(super) fn apply_zone(&mut self, node: usize) {
        if self.is_secondary(node) {
            // What a failed sync lost is written again, or fails again.
            self.with(node, |e| e.faulty = false);
            self.forget_marks(node);
            self.nodes[node].disk.data.begin_mixing();
            self.nodes[node].mount.overwritten = true;
        }
    }

    pub(super) fn apply_last_zone(&mut self, node: usize, last: &LastZone<'_>) {
        if !self.is_secondary(node) {
            return;
        }
        let (epoch, seq) = (last.epoch, last.seq);
        let ops = self.merged(node, last.ops, last.known);
        self.mark_all(node, last.stream, epoch, false);
        self.with(node, |e| e.faulty = false);
        let state = &mut self.nodes[node];
        state.disk.data.begin_mixing();
        state.disk.data.replace(&ops);
        state.mount.overwritten = false;
        state.mount.late = false;
        state.mount.applied = (epoch, seq);
        state.mount.applied_durable = 0;
        state.mount.applied_marks.clear();
        state.mount.applied_marks.push_back((seq, ops.len()));
        self.with(node, |e| e.told_durable = 0);
        self.fact(Fact::Synced { node });
        if self.setup.async_second {
            self.send_ack(node);
        }
        self.begin_fsync(node);
    }

    /// A planted bug: what the last zone holds reaches the disk long after the core heard that it did.
    pub(super) fn zone_is_late(&mut self, node: usize, link: u64, frame: &Frame) -> bool {
        let late = self.bug == Some(Bug::UpToDateEarly)
            && matches!(frame, Frame::LastZone { .. })
            && !std::mem::replace(&mut self.nodes[node].mount.late, true);
        if late {
            let frame = frame.clone();
            self.on_node(node, 3 * SEC / 2, OnNode::Frame { link, frame });
        }
        late
    }
}
