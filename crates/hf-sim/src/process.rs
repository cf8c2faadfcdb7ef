//! Processes: start, inputs, timers, death.

use crate::bugs::Altered;
use crate::clock::{MS, SEC, Time};
use crate::engine::Engine;
use crate::event::{Input, OnNode, Part, Pid};
use crate::facts::Fact;
use crate::node::{Process, Queue, STOPPED};
use crate::world::World;
use hf_node::daemon::{DaemonActor, DaemonInput, HeartExit};
use hf_node::heart::{HeartActor, HeartInput};
use hf_node::rfs::{RfsActor, RfsInput};
use hf_replica::engine::{EngineEvent, Gate};
use hf_types::{Caller, Command, Incarnation, Instant, LanName};
use hf_wire::bus::RfsRole;
use hf_wire::heartbeat::Heartbeat;

/// More deadlines than this in one moment are a loop.
const SPINS: u32 = 1000;
/// More inputs in a second than any course needs (a thawed process reads what waited).
const BUSY: u32 = 2000;

impl World {
    pub(crate) fn spawn_daemon(&mut self, node: usize) {
        if self.nodes[node].daemon.is_some() {
            return;
        }
        let pid = self.fresh();
        let actor = DaemonActor::new(self.setup.daemon(node));
        self.nodes[node].daemon = Some(Process::new(pid, self.now, actor));
        self.note(Some(node), || "daemon starts".to_owned());
        let alive = self.nodes[node].heart.is_some();
        let left_over = !alive && (self.nodes[node].rfs.is_some() || self.nodes[node].mount.kept);
        let adopted = if alive || left_over { vec![self.setup.module.clone()] } else { Vec::new() };
        let incarnation = Incarnation(self.dice.shell.next());
        let started = DaemonInput::Started { incarnation, adopted };
        self.send(node, Queue::HeartToDaemon, pid, Input::Daemon(started));
        if left_over {
            self.heart_gone(node, pid, HeartExit::Died);
        } else if let Some(message) = self.nodes[node].last_status.clone().filter(|_| alive) {
            self.tell_daemon(node, message);
        }
    }

    fn heart_gone(&mut self, node: usize, daemon: Pid, exit: HeartExit) {
        let gone = DaemonInput::HeartGone { module: self.setup.module.clone(), exit };
        self.send(node, Queue::HeartToDaemon, daemon, Input::Daemon(gone));
    }

    pub(crate) fn spawn_heart(&mut self, node: usize, first: Command, by: Caller) {
        self.nodes[node].heart_starting = false;
        if self.nodes[node].heart.is_some() {
            return;
        }
        let pid = self.fresh();
        let actor = HeartActor::new(self.setup.heart(node));
        self.nodes[node].logged = STOPPED;
        self.fact(Fact::HeartStarts { node });
        self.nodes[node].checkers.clear();
        self.nodes[node].heart = Some(Process::new(pid, self.now, actor));
        self.note(Some(node), || format!("heart starts for {first}"));
        let started = HeartInput::Started { incarnation: Incarnation(self.dice.shell.next()), first, by, loops: None };
        self.send(node, Queue::DaemonToHeart, pid, Input::Heart(started));
    }

    pub(crate) fn spawn_rfs(&mut self, node: usize, heart: Pid) {
        self.nodes[node].rfs_starting = false;
        if self.nodes[node].rfs.is_some() || self.pid(node, Part::Heart) != Some(heart) {
            return;
        }
        let pid = self.fresh();
        let takeover = self.nodes[node].mount.kept;
        self.nodes[node].mount.kept = true;
        if takeover {
            self.succeed(node);
        }
        self.nodes[node].rfs = Some(Process::new(pid, self.now, RfsActor::new(self.setup.rfs())));
        self.nodes[node].engine = Some(Engine::new(pid));
        self.note(Some(node), || format!("rfs starts, takeover {takeover}"));
        let incarnation = Incarnation(self.dice.shell.next());
        self.send(node, Queue::HeartToRfs, pid, Input::Rfs(RfsInput::Started { incarnation }));
        let event = EngineEvent::Started {
            records: self.nodes[node].disk.records.clone(),
            boot_id: self.nodes[node].boot_id.clone(),
            takeover,
        };
        self.tell_core(node, event);
    }

    /// Gives an input to the process that it was meant for, if that still lives, and does what it wants done.
    pub(crate) fn input(&mut self, node: usize, pid: Pid, input: Input) {
        let part = input.part();
        if self.pid(node, part) != Some(pid) {
            return;
        }
        let resumes_at = self.resumes_at(node, part);
        if resumes_at > self.now {
            // A loop takes all that waits for it before it looks at its deadlines.
            let last = Time::from(input.is_timer());
            self.on_node(node, resumes_at - self.now + last, OnNode::Input { pid, input });
            return;
        }
        match self.alter_input(node, input) {
            Altered::Dropped => {}
            Altered::As(input) => self.handle(node, *input),
        }
        self.arm(node, part);
    }

    fn handle(&mut self, node: usize, input: Input) {
        self.note(Some(node), || crate::show::input(&input));
        self.observe_input(node, &input);
        self.count(node, input.part());
        let now = self.nodes[node].local(self.now);
        match input {
            Input::Daemon(input) => {
                let effects = match &mut self.nodes[node].daemon {
                    Some(daemon) => daemon.actor.handle(now, input),
                    None => return,
                };
                effects.into_iter().for_each(|e| self.daemon_effect(node, e));
            }
            Input::Heart(input) => {
                let effects = match &mut self.nodes[node].heart {
                    Some(heart) => heart.actor.handle(now, input),
                    None => return,
                };
                effects.into_iter().for_each(|e| self.heart_effect(node, e));
            }
            Input::Rfs(input) => {
                let effects = match &mut self.nodes[node].rfs {
                    Some(rfs) => rfs.actor.handle(now, input),
                    None => return,
                };
                effects.into_iter().for_each(|e| self.rfs_effect(node, e));
            }
        }
    }

    /// Two actors that answer each other for ever keep the machine busy without an end.
    fn count(&mut self, node: usize, part: Part) {
        let second = self.now / SEC;
        let state = &mut self.nodes[node];
        let busy = match part {
            Part::Daemon => state.daemon.as_mut().map(|p| &mut p.busy),
            Part::Heart => state.heart.as_mut().map(|p| &mut p.busy),
            Part::Rfs => state.rfs.as_mut().map(|p| &mut p.busy),
        };
        let Some(busy) = busy else {
            return;
        };
        *busy = if busy.0 == second { (second, busy.1 + 1) } else { (second, 1) };
        if busy.1 > BUSY {
            let what = format!("{part:?} of node{} took more than {BUSY} inputs in a second", node + 1);
            self.violate("no_actor_spins", what);
        }
    }

    fn observe_input(&mut self, node: usize, input: &Input) {
        use hf_replica::engine::PeerMessage;
        use hf_wire::bus::HeartToRfs;
        match input {
            Input::Rfs(RfsInput::Heart(HeartToRfs::Fence { epoch })) => {
                let epoch = *epoch;
                self.fact(Fact::Fenced { node, epoch });
            }
            Input::Rfs(RfsInput::Engine(EngineEvent::Received(PeerMessage::SyncBegin { .. }))) => {
                self.fact(Fact::SyncBegins { node });
            }
            Input::Daemon(DaemonInput::RfsFenced { .. }) => self.fact(Fact::RfsFenced { node }),
            _ => {}
        }
    }

    pub(crate) fn resumes_at(&self, node: usize, part: Part) -> Time {
        let node = &self.nodes[node];
        let at = match part {
            Part::Daemon => node.daemon.as_ref().map(|p| p.resumes_at),
            Part::Heart => node.heart.as_ref().map(|p| p.resumes_at),
            Part::Rfs => node.rfs.as_ref().map(|p| p.resumes_at),
        };
        at.unwrap_or(0)
    }

    fn deadline(&self, node: usize, part: Part) -> Option<(Instant, &'static str)> {
        let node = &self.nodes[node];
        match part {
            Part::Daemon => node.daemon.as_ref().and_then(|p| p.actor.next_deadline()),
            Part::Heart => node.heart.as_ref().and_then(|p| p.actor.next_deadline()),
            Part::Rfs => node.rfs.as_ref().and_then(|p| p.actor.next_deadline()),
        }
    }

    fn armed(&mut self, node: usize, part: Part) -> Option<(&mut Option<Instant>, &mut u32)> {
        let node = &mut self.nodes[node];
        match part {
            Part::Daemon => node.daemon.as_mut().map(|p| (&mut p.armed, &mut p.spins)),
            Part::Heart => node.heart.as_mut().map(|p| (&mut p.armed, &mut p.spins)),
            Part::Rfs => node.rfs.as_mut().map(|p| (&mut p.armed, &mut p.spins)),
        }
    }

    /// Sees to it that the process is woken at its next deadline.
    pub(crate) fn arm(&mut self, node: usize, part: Part) {
        let next = self.deadline(node, part).map(|(at, _)| at);
        let now = self.nodes[node].local(self.now);
        let Some((armed, spins)) = self.armed(node, part) else {
            return;
        };
        if *armed == next {
            return;
        }
        *armed = next;
        *spins = if next.is_some_and(|at| at <= now) { *spins + 1 } else { 0 };
        if *spins > SPINS {
            let name = self.deadline(node, part).map_or("", |(_, name)| name);
            self.violate("no_actor_spins", format!("{part:?} of node {node} wants timer {name} again and again"));
            return;
        }
        let (Some(at), Some(pid)) = (next, self.pid(node, part)) else {
            return;
        };
        let late = if self.dice.shell.chance(10) { self.dice.shell.below(30 * MS) } else { self.dice.shell.below(MS) };
        let after = self.nodes[node].global(at).saturating_sub(self.now) + late;
        self.on_node(node, after, OnNode::Timer { part, pid, at });
    }

    pub(crate) fn timer(&mut self, node: usize, part: Part, pid: Pid, at: Instant) {
        if self.pid(node, part) != Some(pid) {
            return;
        }
        match self.armed(node, part) {
            Some((armed, _)) if *armed == Some(at) => *armed = None,
            _ => return,
        }
        let input = match part {
            Part::Daemon => Input::Daemon(DaemonInput::Timer),
            Part::Heart => Input::Heart(HeartInput::Timer),
            Part::Rfs => Input::Rfs(RfsInput::Timer),
        };
        self.input(node, pid, input);
    }

    /// A seal is good only between two hearts that answered each other's challenge: what was sent before this one began is not.
    pub(crate) fn heartbeat_in(&mut self, node: usize, lane: usize, sent_at: Time, body: Vec<u8>) {
        if self.nodes[node].heart.as_ref().is_none_or(|heart| sent_at < heart.since) {
            return;
        }
        let seen = &self.ledger.nodes[node];
        if seen.rolled_back && !seen.heard_serving && Heartbeat::decode(&body).is_ok_and(|said| said.state.is_primary())
        {
            self.fact(Fact::HeardServing { node });
        }
        if let Some(pid) = self.pid(node, Part::Heart) {
            self.input(node, pid, Input::Heart(HeartInput::Heartbeat { lane, body }));
        }
    }

    pub(crate) fn membership_in(&mut self, node: usize, lan: LanName, body: Vec<u8>) {
        let from = self.setup.names[1 - node].clone();
        if let Some(pid) = self.pid(node, Part::Daemon) {
            let input = DaemonInput::Membership { from, lan, body };
            self.input(node, pid, Input::Daemon(input));
        }
    }

    /// Ends a process at once, as kill -9 does.
    pub(crate) fn kill(&mut self, node: usize, part: Part) {
        match part {
            Part::Daemon => self.nodes[node].daemon = None,
            Part::Heart => self.heart_ends(node, HeartExit::Died),
            Part::Rfs => self.rfs_ends(node, true),
        }
    }

    /// The heart's process is gone: daemon and rfs see it by themselves.
    pub(crate) fn heart_ends(&mut self, node: usize, exit: HeartExit) {
        if self.nodes[node].heart.take().is_none() {
            return;
        }
        self.nodes[node].last_status = None;
        self.note(Some(node), || format!("heart is gone: {exit:?}"));
        if let Some(daemon) = self.pid(node, Part::Daemon) {
            self.heart_gone(node, daemon, exit);
        }
        if let Some(rfs) = self.pid(node, Part::Rfs) {
            for input in [RfsInput::HeartGone, RfsInput::HeartDead] {
                self.send(node, Queue::HeartToRfs, rfs, Input::Rfs(input));
            }
        }
    }

    /// The rfs process is gone, and the data plane with it; `told`: its heart sees a death.
    pub(crate) fn rfs_ends(&mut self, node: usize, told: bool) {
        let Some(rfs) = self.nodes[node].rfs.take() else {
            return;
        };
        self.note(Some(node), || "rfs is gone".to_owned());
        let role = RfsRole::Idle;
        self.fact(Fact::Role { node, role });
        self.engine_ends(node);
        let told = told && !rfs.orderly;
        if let Some(heart) = self.pid(node, Part::Heart).filter(|_| told) {
            self.send(node, Queue::RfsToHeart, heart, Input::Heart(HeartInput::RfsGone));
        }
    }

    fn engine_ends(&mut self, node: usize) {
        let Some(engine) = self.nodes[node].engine.take() else {
            return;
        };
        self.finish_records_of_the_dead(node, &engine);
        if let Some(link) = engine.link {
            self.end_of_stream(link, 1 - node);
        }
        self.fact(Fact::Gate { node, gate: Gate::Closed });
    }

    /// Aborts the mount: everything that waits in it fails, and the keeper's memory is gone.
    pub(crate) fn abort_mount(&mut self, node: usize) {
        self.nodes[node].mount = Default::default();
    }
}
