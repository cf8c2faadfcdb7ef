use super::marks::{hands_over, serves};
use super::{Engine, Stream};
use crate::bugs::Bug;
use crate::clock::MS;
use crate::event::{Input, OnNode};
use crate::facts::{Fact, acknowledges};
use crate::link::Frame;
use crate::node::Queue;
use crate::world::World;
use hf_node::rfs::RfsInput;
use hf_replica::engine::{EngineCommand, EngineEvent, Gate, PeerMessage};
use hf_types::{GenerationId, Seq};

impl World {
    /// Tells the core of a node's rfs what its data plane saw.
    pub(crate) fn tell_core(&mut self, node: usize, event: EngineEvent) {
        if let Some(rfs) = self.nodes[node].rfs.as_ref().map(|p| p.pid) {
            self.send(node, Queue::EngineToRfs, rfs, Input::Rfs(RfsInput::Engine(event)));
        }
    }

    pub(crate) fn engine_command(&mut self, node: usize, command: EngineCommand) {
        if self.nodes[node].engine.is_none() {
            return;
        }
        match command {
            EngineCommand::Mount => self.mount(node),
            EngineCommand::Unmount => self.unmount(node),
            EngineCommand::SetGate(gate) => self.set_gate(node, gate),
            EngineCommand::Listen => self.with(node, |e| e.listening = true),
            EngineCommand::Connect => {
                self.with(node, |e| e.connecting = true);
                self.connect_soon(node);
            }
            EngineCommand::Hangup => self.hang_up(node),
            EngineCommand::Send(message) => self.send_message(node, message),
            EngineCommand::StartSync(wish) => self.start_sync(node, wish),
            EngineCommand::StopSync => self.with(node, |e| e.sync = None),
            EngineCommand::Drain => self.drain(node),
            EngineCommand::KeepCopy { generation } => self.keep_copy(node, generation),
            EngineCommand::WriteRecords { token, records } => self.write_records(node, token, records),
        }
    }

    pub(super) fn with(&mut self, node: usize, change: impl FnOnce(&mut Engine)) {
        if let Some(engine) = self.engine(node) {
            change(engine);
        }
    }

    fn mount(&mut self, node: usize) {
        let full = self.nodes[node].full && !self.calm;
        if full && !self.nodes[node].mount.mounted && self.dice.disk.chance(500) {
            return self.tell_core(node, EngineEvent::MountFailed { why: "a fault".to_owned() });
        }
        if !std::mem::replace(&mut self.nodes[node].mount.mounted, true) {
            self.read_manifest(node);
        }
        self.tell_core(node, EngineEvent::Mounted);
    }

    /// The whole copy is put by: that takes its time, and a process that dies meanwhile has kept nothing.
    fn keep_copy(&mut self, node: usize, generation: GenerationId) {
        let Some(rfs) = self.engine(node).map(|e| e.pid) else {
            return;
        };
        let failed = self.nodes[node].full && self.dice.disk.chance(800);
        let after = self.dice.disk.range(MS, 800 * MS);
        self.on_node(node, after, OnNode::CopyKept { rfs, generation, failed });
    }

    pub(crate) fn copy_kept(&mut self, node: usize, generation: GenerationId, failed: bool) {
        if failed {
            let why = "no space left on device".to_owned();
            return self.tell_core(node, EngineEvent::CopyNotKept { generation, why });
        }
        if self.bug != Some(Bug::KeptNowhere) {
            self.fact(Fact::Kept { node, generation });
        }
        self.tell_core(node, EngineEvent::CopyKept { generation, files: 1 });
    }

    fn unmount(&mut self, node: usize) {
        if self.nodes[node].mount.mounted {
            self.write_manifest(node);
        }
        let mount = &mut self.nodes[node].mount;
        mount.mounted = false;
        mount.parked.clear();
        mount.pending.clear();
        let mark = self.nodes[node].disk.data.mark();
        self.nodes[node].disk.data.synced(mark);
        self.tell_core(node, EngineEvent::Unmounted);
    }

    fn hang_up(&mut self, node: usize) {
        self.with(node, |e| {
            e.listening = false;
            e.connecting = false;
        });
        let Some(link) = self.engine(node).and_then(|e| e.link) else {
            return;
        };
        self.end_of_stream(link, 1 - node);
        self.link_gone(node, link, "hung up here");
    }

    fn send_message(&mut self, node: usize, message: PeerMessage) {
        let mount = &self.nodes[node].mount;
        let message = match message {
            PeerMessage::Hello { version, incarnation, primary, epoch, records, wish, common, .. } => {
                PeerMessage::Hello {
                    version,
                    incarnation,
                    primary,
                    epoch,
                    records,
                    wish,
                    common,
                    applied: if mount.applied.0 == epoch { Seq(mount.applied.1) } else { Seq(0) },
                }
            }
            other => other,
        };
        if let Some(epoch) = hands_over(&message) {
            self.turn_stream(node, epoch, false);
            // From here on this side receives the stream of that epoch, from its beginning.
            let mount = &mut self.nodes[node].mount;
            mount.applied = (epoch, 0);
            mount.applied_durable = 0;
            mount.applied_marks.clear();
            self.with(node, |e| e.told_durable = 0);
        }
        self.send_frame(node, Frame::Core(message));
    }

    fn set_gate(&mut self, node: usize, gate: Gate) {
        let Some(engine) = self.engine(node) else {
            return;
        };
        if engine.gate == gate {
            return;
        }
        engine.gate = gate;
        // A primary fails what a disk error hits, and goes on; only a secondary confirms nothing more.
        engine.faulty &= acknowledges(gate).is_none();
        self.note(Some(node), || format!("data plane: gate is {gate:?}"));
        self.begin_stream(node, gate);
        if gate != Gate::Closed {
            self.nodes[node].mount.serves = serves(gate);
        }
        self.fact(Fact::Gate { node, gate });
        match gate {
            Gate::ReadOnly | Gate::Released => {
                self.nodes[node].mount.parked.clear();
                self.nodes[node].mount.pending.clear();
            }
            Gate::Closed => {}
            Gate::Alone { .. } | Gate::InStep { .. } | Gate::Syncing { .. } => self.admit_parked(node),
        }
        self.settle(node);
    }

    fn begin_stream(&mut self, node: usize, gate: Gate) {
        let Some(epoch) = acknowledges(gate) else {
            return;
        };
        let alone = matches!(gate, Gate::Alone { .. });
        if alone {
            self.leave_stream(node);
        } else if self.nodes[node].mount.out.epoch != epoch {
            self.turn_stream(node, epoch, true);
        }
        let state = &mut self.nodes[node];
        let Some(engine) = &mut state.engine else {
            return;
        };
        if state.mount.out.epoch != epoch {
            state.mount.out = Stream::begin(epoch);
            // Numbers begin anew here (the real ring goes on counting): a place in the former stream is none in this one. What
            // waited then reaches the other copy with the synchronisation.
            state.mount.pending.iter_mut().for_each(|pending| pending.seq = None);
            // A stream that begins where the other copy says it is (a swap) flows at once.
            engine.flowing = engine.link.is_some() && engine.position == Some((epoch, 0));
        }
        if alone {
            state.mount.out.floor = None;
            state.mount.out.ring.clear();
            engine.flowing = false;
            engine.unanswered_since = None;
        }
    }

    fn drain(&mut self, node: usize) {
        let count = self.nodes[node].disk.data.mark().1;
        self.with(node, |e| {
            e.drain = Some(count);
            // Not after the one that takes its time.
            e.fsync = None;
        });
        self.begin_fsync(node);
        self.settle(node);
    }

    /// Looks again at everything that waits: acknowledgements, a drain.
    pub(crate) fn settle(&mut self, node: usize) {
        self.acknowledge(node);
        self.check_drained(node);
    }

    fn check_drained(&mut self, node: usize) {
        let state = &self.nodes[node];
        let Some(engine) = &state.engine else {
            return;
        };
        let Some(count) = engine.drain else {
            return;
        };
        let durable = state.disk.data.is_durable(count) || state.disk.data.is_mixed();
        let follows = matches!(engine.gate, Gate::InStep { .. } | Gate::Syncing { .. });
        let applied = state.mount.out.answered(self.setup.async_second) >= state.mount.out.last;
        if (!durable || (follows && !applied)) && self.bug != Some(Bug::DrainEarly) {
            return;
        }
        let seq = match engine.gate {
            Gate::ReadOnly => state.mount.applied.1,
            _ => state.mount.out.last,
        };
        let in_step = matches!(engine.gate, Gate::InStep { .. });
        self.with(node, |e| e.drain = None);
        if in_step {
            self.fact(Fact::Drained { node });
        }
        self.tell_core(node, EngineEvent::Drained { seq: Seq(seq) });
    }

    /// Tries to connect in a while.
    pub(super) fn connect_soon(&mut self, node: usize) {
        let Some(rfs) = self.engine(node).map(|e| e.pid) else {
            return;
        };
        let after = self.dice.net.range(2 * MS, 200 * MS);
        self.on_node(node, after, OnNode::Connect { rfs });
    }
}
