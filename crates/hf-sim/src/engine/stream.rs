use super::synchronise::LastZone;
use crate::bugs::Bug;
use crate::clock::{MS, SEC};
use crate::event::OnNode;
use crate::facts::acknowledges;
use crate::link::{Frame, Link};
use crate::show;
use crate::world::World;
use hf_replica::engine::{EngineEvent, Gate};
use hf_types::{Epoch, RfsFault, Seq};

/// The lane that carries the link.
pub const LANE: usize = 0;

impl World {
    pub(crate) fn try_connect(&mut self, node: usize) {
        let Some((true, None)) = self.engine(node).map(|e| (e.connecting, e.link)) else {
            return;
        };
        let peer = 1 - node;
        let there = &self.nodes[peer];
        let listens = there.powered
            && !there.is_frozen()
            && there.engine.as_ref().is_some_and(|e| e.listening)
            && !self.net.stream_blocked(LANE);
        if !listens {
            self.connect_soon(node);
            return;
        }
        if let Some(old) = self.engine(peer).and_then(|e| e.link) {
            self.link_gone(peer, old, "replaced by a new connection");
        }
        let id = self.fresh();
        self.links.insert(id, Link::default());
        self.note(None, || format!("link {id}: node{} connected to node{}", node + 1, peer + 1));
        for end in [node, peer] {
            self.with(end, |e| {
                e.link = Some(id);
                e.flowing = false;
                e.position = None;
                e.unanswered_since = None;
            });
            self.tell_core(end, EngineEvent::LinkUp);
        }
        for end in [node, peer] {
            let (epoch, applied) = self.nodes[end].mount.applied;
            self.send_frame(end, Frame::Position { epoch, applied });
            // What was confirmed on a connection that broke may not have arrived.
            self.send_ack(end);
        }
    }

    /// Sends a frame over the node's link; without one it is dropped.
    pub(crate) fn send_frame(&mut self, node: usize, frame: Frame) {
        let Some(id) = self.engine(node).and_then(|e| e.link) else {
            return;
        };
        self.put(id, 1 - node, Some(frame));
    }

    /// This side closed: the other sees the end of the stream after what was sent.
    pub(crate) fn end_of_stream(&mut self, id: u64, to: usize) {
        self.put(id, to, None);
    }

    fn put(&mut self, id: u64, to: usize, frame: Option<Frame>) {
        let blocked = self.net.lanes[LANE][1 - to].blocked > 0;
        let delay = self.net.stream_delay(&mut self.dice.net, LANE, 1 - to);
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if blocked || !link.held[to].is_empty() {
            link.held[to].push_back(frame);
            return;
        }
        let at = (now + delay).max(link.last[to]);
        link.last[to] = at;
        self.deliver(id, to, at - now, frame);
    }

    fn deliver(&mut self, link: u64, to: usize, after: u64, frame: Option<Frame>) {
        let what = match frame {
            Some(frame) => OnNode::Frame { link, frame },
            None => OnNode::LinkGone { link, why: "closed by the other side" },
        };
        self.on_node(to, after, what);
    }

    /// A lane opened again: what was held back is repeated.
    pub(crate) fn flush_held(&mut self) {
        let ids: Vec<u64> = self.links.keys().copied().collect();
        for id in ids {
            for to in 0..2 {
                if self.net.lanes[LANE][1 - to].blocked > 0 {
                    continue;
                }
                let pause = self.dice.net.range(MS, SEC);
                let now = self.now;
                let Some(link) = self.links.get_mut(&id) else {
                    continue;
                };
                let held = std::mem::take(&mut link.held[to]);
                let at = (now + pause).max(link.last[to]);
                link.last[to] = at;
                for frame in held {
                    self.deliver(id, to, at - now, frame);
                }
            }
        }
    }

    /// This end of the link is over.
    pub(crate) fn link_gone(&mut self, node: usize, id: u64, why: &'static str) {
        let Some(engine) = self.engine(node).filter(|e| e.link == Some(id)) else {
            return;
        };
        engine.link = None;
        engine.flowing = false;
        engine.position = None;
        engine.sync = None;
        let connecting = engine.connecting;
        self.note(Some(node), || format!("link {id}: down, {why}"));
        self.tell_core(node, EngineEvent::LinkDown { why: why.to_owned() });
        if connecting {
            self.connect_soon(node);
        }
    }

    pub(crate) fn frame_in(&mut self, node: usize, link: u64, frame: Frame) {
        if self.engine(node).and_then(|e| e.link) != Some(link) {
            return;
        }
        if self.zone_is_late(node, link, &frame) {
            return;
        }
        self.note(Some(node), || format!("link < {}", show::frame(&frame)));
        match frame {
            Frame::Position { epoch, applied } => self.resume(node, epoch, applied),
            Frame::Op { epoch, seq, op } => self.apply(node, epoch, seq, op),
            Frame::Zone => self.apply_zone(node),
            Frame::LastZone { epoch, seq, ops, known, stream } => {
                self.apply_last_zone(node, &LastZone { epoch, seq, ops: &ops, known, stream });
            }
            Frame::Ack { epoch, received, durable } => self.ack_in(node, epoch, received, durable),
            Frame::Nack => {
                self.with(node, |e| e.flowing = false);
                let fault = RfsFault::RemoteDisk("input/output error".to_owned());
                self.tell_core(node, EngineEvent::Fault(fault));
            }
            Frame::Core(message) => self.tell_core(node, EngineEvent::Received(message)),
        }
    }

    /// The other copy says where it is: if the ring goes back that far, the stream goes on from there.
    fn resume(&mut self, node: usize, epoch: Epoch, applied: u64) {
        self.with(node, |e| e.position = Some((epoch, applied)));
        let out = &mut self.nodes[node].mount.out;
        let fits = out.epoch == epoch && out.floor.is_some_and(|floor| floor <= applied) && applied <= out.last;
        if !fits || epoch == Epoch(0) {
            return;
        }
        let tail: Vec<(u64, u64)> = out.ring.iter().filter(|(seq, _)| *seq > applied).copied().collect();
        self.note(Some(node), || format!("data plane: the stream {epoch} goes on after {applied}"));
        self.with(node, |e| e.flowing = true);
        for (seq, op) in tail {
            self.send_frame(node, Frame::Op { epoch, seq, op });
        }
        let out = &self.nodes[node].mount.out;
        if out.answered(self.setup.async_second) < out.last {
            self.watch_answer(node);
        }
    }

    fn apply(&mut self, node: usize, epoch: Epoch, seq: u64, op: u64) {
        let state = &mut self.nodes[node];
        let follows =
            state.engine.as_ref().is_some_and(|e| matches!(e.gate, Gate::ReadOnly | Gate::Closed) && !e.faulty);
        if !follows {
            return;
        }
        if state.mount.overwritten {
            // The last zone will hold it.
            return;
        }
        let next = (epoch, seq) == (state.mount.applied.0, state.mount.applied.1 + 1);
        if !next {
            return;
        }
        let left_out = self.bug == Some(Bug::OperationSkipped) && op.is_multiple_of(20);
        let count = if left_out { state.disk.data.mark().1 } else { state.disk.data.append(op) };
        state.mount.applied = (epoch, seq);
        state.mount.applied_marks.push_back((seq, count));
        if self.setup.async_second {
            self.send_ack(node);
        }
        self.begin_fsync_of_received(node);
    }

    pub(super) fn send_ack(&mut self, node: usize) {
        let mount = &self.nodes[node].mount;
        let frame = Frame::Ack { epoch: mount.applied.0, received: mount.applied.1, durable: mount.applied_durable };
        self.send_frame(node, frame);
    }

    fn ack_in(&mut self, node: usize, epoch: Epoch, received: u64, durable: u64) {
        if self.nodes[node].mount.out.epoch != epoch {
            return;
        }
        let before = self.nodes[node].mount.out.durable;
        self.nodes[node].mount.out.confirm(received, durable);
        self.answer_came(node);
        if durable > before + 50 {
            let seq = Seq(durable);
            self.tell_core(node, EngineEvent::Watermark { seq });
        }
        self.settle(node);
    }

    /// An fsync ended: what it covers of the applied stream is confirmed, at once or with the next watermark.
    pub(super) fn confirm_durable(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        while let Some((seq, count)) = state.mount.applied_marks.front().copied() {
            if !state.disk.data.is_durable(count) {
                break;
            }
            state.mount.applied_durable = seq;
            state.mount.applied_marks.pop_front();
        }
        let (durable, async_second) = (state.mount.applied_durable, self.setup.async_second);
        let Some(engine) = self.engine(node).filter(|e| acknowledges(e.gate).is_none()) else {
            return;
        };
        if durable == engine.told_durable || engine.link.is_none() {
            return;
        }
        engine.told_durable = durable;
        let rfs = engine.pid;
        if async_second {
            self.on_node(node, SEC, OnNode::Watermark { rfs });
        } else {
            self.send_ack(node);
        }
    }

    pub(crate) fn send_watermark(&mut self, node: usize) {
        self.send_ack(node);
    }
}
