use crate::bugs::Bug;
use crate::clock::{MS, SEC, Time, nanos};
use crate::engine::{Engine, LANE, TIMED_OUT};
use crate::event::{Due, Event, Input, OnNode, Part, Pid};
use crate::facts::{Fact, View};
use crate::faults::Fault;
use crate::invariants::{self, Invariant};
use crate::ledger::{Beside, Ledger};
use crate::link::Link;
use crate::net::Net;
use crate::node::{Node, Queue};
use crate::rng::Rng;
use crate::setup::Setup;
use crate::trace::Trace;
use crate::transitions::Transitions;
use hf_types::{ModuleState, Record};
use std::collections::{BTreeMap, BinaryHeap};

/// A sentence that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
    pub at: Time,
}

/// What happened in a run, for the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub events: u64,
    pub acked: u64,
    /// The longest that a client waited for an operation that became safe.
    pub longest_wait: Time,
    pub failovers: u64,
    /// Synchronisations that read everything, and those that left something unread.
    pub syncs: [u64; 2],
    pub faults: u64,
    pub end: Time,
    /// Changes of state that a heart logged.
    pub transitions: Transitions,
}

/// Generators, one a subject.
#[derive(Debug)]
pub struct Dice {
    pub net: Rng,
    pub shell: Rng,
    pub disk: Rng,
    pub client: Rng,
    pub admin: Rng,
}

/// The whole of a run.
pub struct World {
    pub now: Time,
    pub setup: Setup,
    pub nodes: [Node; 2],
    pub net: Net,
    pub links: BTreeMap<u64, Link>,
    pub dice: Dice,
    pub ledger: Ledger,
    pub trace: Trace,
    pub stats: Stats,
    pub bug: Option<Bug>,
    pub faults: Vec<Fault>,
    /// Faults are over: everything works from now on.
    pub calm: bool,
    pub clients_stopped: bool,
    pub next_op: u64,
    pub violation: Option<Violation>,
    pub admin: crate::people::Administrator,
    invariants: Vec<Box<dyn Invariant>>,
    queue: BinaryHeap<Due>,
    serial: u64,
}

impl World {
    pub fn new(seed: u64, trace: Trace, bug: Option<Bug>) -> World {
        let mut draw = Rng::new(seed, 1);
        let setup = Setup::draw(&mut draw);
        let records = |node: u64, draw: &mut Rng| -> Vec<Record> {
            (0..setup.dirs).map(|_| Record::new((draw.next() << 1) | node)).collect()
        };
        World {
            now: 0,
            nodes: [Node::new(records(0, &mut draw)), Node::new(records(1, &mut draw))],
            net: Net::new(setup.lans.len()),
            links: BTreeMap::new(),
            dice: Dice {
                net: Rng::new(seed, 2),
                shell: Rng::new(seed, 3),
                disk: Rng::new(seed, 4),
                client: Rng::new(seed, 5),
                admin: Rng::new(seed, 6),
            },
            ledger: Ledger::default(),
            trace,
            stats: Stats::default(),
            bug,
            faults: Vec::new(),
            calm: false,
            clients_stopped: false,
            next_op: 1,
            violation: None,
            admin: Default::default(),
            invariants: invariants::all(),
            queue: BinaryHeap::new(),
            serial: 1,
            setup,
        }
    }

    /// A number never given before: process ids, links, scripts.
    pub fn fresh(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn schedule(&mut self, after: Time, event: Event) {
        let serial = self.fresh();
        self.queue.push(Due { at: self.now + after, serial, event });
    }

    pub fn on_node(&mut self, node: usize, after: Time, what: OnNode) {
        self.schedule(after, Event::Node { node, what: Box::new(what) });
    }

    /// Sends an input to a process through one of the node's queues: late, but in order.
    pub fn send(&mut self, node: usize, queue: Queue, pid: Pid, input: Input) {
        let delay = self.queue_delay(node, queue);
        let at = (self.now + delay).max(self.nodes[node].queues[queue as usize]);
        self.nodes[node].queues[queue as usize] = at;
        self.on_node(node, at - self.now, OnNode::Input { pid, input });
    }

    fn queue_delay(&mut self, node: usize, queue: Queue) -> Time {
        let dice = &mut self.dice.shell;
        if queue == Queue::EngineToRfs {
            return dice.range(MS / 100, MS / 5);
        }
        if self.nodes[node].slow_bus && dice.chance(200) {
            return dice.range(10 * MS, 1500 * MS);
        }
        dice.range(MS / 50, MS)
    }

    /// An answer of the node itself (kernel, file system, a child process) to an actor.
    pub fn tell(&mut self, node: usize, pid: Pid, input: Input) {
        let delay = self.dice.shell.range(MS / 50, MS / 2);
        self.on_node(node, delay, OnNode::Input { pid, input });
    }

    /// Notes something for the history, if it is worth a word.
    pub fn note_if(&mut self, node: Option<usize>, text: impl FnOnce() -> Option<String>) {
        if let Some(text) = self.trace.is_on().then(text).flatten() {
            self.note(node, || text);
        }
    }

    /// Notes something for the history.
    pub fn note(&mut self, node: Option<usize>, text: impl FnOnce() -> String) {
        self.trace.note(self.now, node, text);
    }

    /// Something happened: the ledger and the invariants learn it.
    pub fn fact(&mut self, fact: Fact) {
        let hidden = [self.net.hides_peer_of(0), self.net.hides_peer_of(1)];
        let frozen = [self.nodes[0].is_frozen(), self.nodes[1].is_frozen()];
        let beside = Beside {
            at: self.now,
            copies: [self.nodes[0].disk.data.ops(), self.nodes[1].disk.data.ops()],
            hidden,
            frozen,
            resigned: self.nodes.each_ref().map(|node| node.disk.resigned()),
        };
        self.ledger.learn(&fact, &beside);
        let view = View {
            at: self.now,
            ledger: &self.ledger,
            data: [&self.nodes[0].disk.data, &self.nodes[1].disk.data],
            records: [&self.nodes[0].disk.records, &self.nodes[1].disk.records],
            boot_id: [&self.nodes[0].boot_id, &self.nodes[1].boot_id],
            hidden,
            powered: [self.nodes[0].powered, self.nodes[1].powered],
            frozen,
            heart: [self.nodes[0].heart.is_some(), self.nodes[1].heart.is_some()],
            witnessed: self.setup.witness.is_some(),
            heard_at: self.nodes.each_ref().map(|node| node.heard_at),
            timeout: nanos(self.setup.timeout),
        };
        for invariant in &mut self.invariants {
            if let Err(what) = invariant.see(&fact, &view) {
                let found = Violation { invariant: invariant.name(), what, at: self.now };
                self.violation.get_or_insert(found);
            }
        }
    }

    /// A violation that the world itself sees.
    pub fn violate(&mut self, invariant: &'static str, what: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, what, at });
    }

    /// Runs until `until` or a violation.
    pub fn run_until(&mut self, until: Time) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(due) if due.at <= until => {}
                _ => break,
            }
            let Some(due) = self.queue.pop() else { break };
            self.now = due.at;
            self.stats.events += 1;
            self.happen(due.event);
        }
        self.now = self.now.max(until.min(self.now.max(until)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Node { node, what } => self.on(node, *what),
            Event::Arrives { to, lane, sent_at, body } => {
                self.counts(to, sent_at);
                self.net.heartbeat_arrived(1 - to, sent_at);
                self.on(to, OnNode::Heartbeat { lane, sent_at, body });
            }
            Event::VipExpires { node } => self.vip_expires(node),
            Event::Client => self.client(),
            Event::Watch => self.watch(),
            Event::FaultBegins(n) => self.fault_begins(n),
            Event::FaultEnds(n) => self.fault_ends(n),
            Event::PowerOn { node } => self.power_on(node),
        }
    }

    /// A heartbeat of a heart that runs its module, newer than any before, for a heart that lives; one that has stopped isn't missed.
    fn counts(&mut self, to: usize, sent_at: Time) {
        let since = self.nodes[to].heart.as_ref().map(|heart| heart.since);
        if self.ledger.nodes[1 - to].state == ModuleState::Stop {
            self.nodes[to].heard_at = None;
        } else if since.is_some_and(|since| sent_at >= since) && !self.net.is_old(1 - to, sent_at) {
            self.nodes[to].heard_at = Some(self.now);
        }
    }

    fn on(&mut self, node: usize, what: OnNode) {
        if !self.nodes[node].powered {
            return;
        }
        if self.nodes[node].is_frozen() {
            if self.nodes[node].has_room_for(&what) {
                self.nodes[node].waiting.push(what);
            }
            return;
        }
        self.run_on(node, what);
    }

    fn run_on(&mut self, node: usize, what: OnNode) {
        match what {
            OnNode::Input { pid, input } => self.input(node, pid, input),
            OnNode::Timer { part, pid, at } => self.timer(node, part, pid, at),
            OnNode::Heartbeat { lane, sent_at, body } => self.heartbeat_in(node, lane, sent_at, body),
            OnNode::Membership { lan, body } => self.membership_in(node, lan, body),
            OnNode::SpawnDaemon => self.spawn_daemon(node),
            OnNode::AskWitness { run } => self.ask_witness(node, run),
            OnNode::SpawnHeart { first, by } => self.spawn_heart(node, first, by),
            OnNode::SpawnRfs { heart } => self.spawn_rfs(node, heart),
            OnNode::ScriptEnd { serial, outcome } => self.script_ends(node, serial, outcome),
            OnNode::VipSet { heart } => self.vip_is_set(node, heart),
            OnNode::VipCleared { by, pid } => self.vip_is_cleared(node, by, pid),
            OnNode::ModuleKilled { daemon } => self.module_is_killed(node, daemon),
            OnNode::Submit => self.submit(node),
            OnNode::Command { command, to } => self.command(node, command, to),
            data_plane => self.run_engine(node, data_plane),
        }
    }

    fn run_engine(&mut self, node: usize, what: OnNode) {
        match what {
            OnNode::Frame { link, frame } => self.frame_in(node, link, frame),
            // A connection times out only if the lane is still shut.
            OnNode::LinkGone { why: TIMED_OUT, .. } if !self.net.stream_blocked(LANE) => {}
            OnNode::LinkGone { link, why } => self.link_gone(node, link, why),
            OnNode::Connect { rfs } if self.runs(node, rfs) => self.try_connect(node),
            OnNode::Fsynced { rfs, mark, failed } if self.runs(node, rfs) => {
                self.fsynced(node, mark, failed);
            }
            OnNode::RecordStored { rfs, dir, record } if self.runs(node, rfs) => {
                self.record_stored(node, dir, *record);
            }
            OnNode::RecordsDone { rfs, token, failed } if self.runs(node, rfs) => {
                self.records_done(node, token, failed);
            }
            OnNode::SyncStep { rfs, run, left } if self.runs(node, rfs) => {
                self.sync_step(node, run, left);
            }
            OnNode::CopyKept { rfs, generation, failed } if self.runs(node, rfs) => {
                self.copy_kept(node, generation, failed);
            }
            OnNode::Unanswered { rfs } if self.runs(node, rfs) => self.check_unanswered(node),
            OnNode::Watermark { rfs } if self.runs(node, rfs) => self.send_watermark(node),
            // Work of a process that died.
            _ => {}
        }
    }

    fn runs(&self, node: usize, rfs: Pid) -> bool {
        self.nodes[node].engine.as_ref().is_some_and(|e| e.pid == rfs)
    }

    /// The data plane of a node, if its process lives.
    pub fn engine(&mut self, node: usize) -> Option<&mut Engine> {
        self.nodes[node].engine.as_mut()
    }

    /// The pid of a node's process, if it lives.
    pub fn pid(&self, node: usize, part: Part) -> Option<Pid> {
        let node = &self.nodes[node];
        match part {
            Part::Daemon => node.daemon.as_ref().map(|p| p.pid),
            Part::Heart => node.heart.as_ref().map(|p| p.pid),
            Part::Rfs => node.rfs.as_ref().map(|p| p.pid),
        }
    }

    /// The longest that anything but a fault may take.
    pub fn patience(&self) -> Time {
        self.setup.patience() + 10 * SEC
    }
}
