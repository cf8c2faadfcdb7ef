//! Two nodes without faults in between: hearts and rfs actors, joined by a network and disks that always work unless a test
//! says otherwise. The simulator (hf-sim) is the one that looks for trouble.
#![allow(dead_code)] // each test file uses its own part

use hf_node::heart::{HeartActor, HeartConfig, HeartEffect, HeartInput, Lane, LoopLimits, Vip};
use hf_node::rfs::{RfsActor, RfsConfig, RfsEffect, RfsInput};
use hf_replica::engine::{EngineCommand, EngineEvent, Gate, PeerMessage, SyncCount};
use hf_types::{
    Caller, Colour, Command, Incarnation, Instant, ModuleState, NodeName, Record, Script, ScriptOutcome, Seq, Ticket,
};
use hf_wire::bus::{DaemonToHeart, Fenced, HeartToDaemon, PeerModule};
use std::collections::BTreeMap;
use std::time::Duration;

pub const MS: u64 = 1_000_000;

pub enum Event {
    Heart(usize, u64, HeartInput),
    Rfs(usize, u64, RfsInput),
}

#[derive(Default)]
pub struct Engine {
    mounted: bool,
    pub gate: Option<Gate>,
    listening: bool,
    connecting: bool,
    linked: bool,
    /// The stream that this copy follows or sends; outlives rfs, not the machine.
    pub stream: u64,
}

pub struct Node {
    pub config: HeartConfig,
    pub heart: Option<HeartActor>,
    pub rfs: Option<RfsActor>,
    /// Numbers of the processes, so that nothing reaches a successor by mistake.
    heart_life: u64,
    rfs_life: u64,
    pub engine: Engine,
    pub disk: Vec<Record>,
    /// Generations whose copy was put by, as often as it was asked for.
    pub kept: Vec<hf_types::GenerationId>,
    /// Why no copy can be put by.
    pub no_room: Option<String>,
    /// Why its directory can't be mounted.
    pub no_mount: Option<String>,
    boot: u64,
    pub log: Vec<String>,
    /// Scripts as they were called, and between them "check" or "uncheck" with a resource.
    pub scripts: Vec<String>,
    /// Checkers that run, with the number of the run.
    pub checkers: BTreeMap<String, u64>,
    /// What `checker on|off` wanted kept.
    pub kept_checking: Option<bool>,
    /// Scripts that were to be ended.
    pub killed: usize,
    pub vip: bool,
    /// When the address was to be set, when the LAN was asked for it ahead, and when it was announced, in ms.
    pub tried: Vec<u64>,
    pub asked: Vec<u64>,
    /// Why its heart stopped by itself.
    pub ended: Option<String>,
    pub announced: Vec<u64>,
    pub resources: BTreeMap<String, String>,
    pub answers: Vec<Result<(), String>>,
    /// The loop counter on its disk; whether the disk takes it, and whether it answers at all.
    pub loops: Option<hf_node::heart::KeptLoops>,
    pub full: bool,
    pub mute: bool,
    /// Its daemon was asked to reboot the machine.
    pub rebooted: bool,
    /// How many processes of each `<proc>` run, and the look that is told when they end.
    pub processes: BTreeMap<String, u32>,
    look: Option<(u64, Vec<String>)>,
    /// Programs of a `<proc>` that run.
    pub handlers: Vec<(hf_types::RunId, String)>,
    /// What `errd off` left on the disk.
    pub errd_off: bool,
    /// How often what `rfssync` chose was taken from the disk.
    pub policies_forgotten: u32,
    pub listed: Vec<String>,
    /// What each synchronisation was begun with.
    pub wishes: Vec<hf_types::SyncWish>,
    pub epoch: hf_types::Epoch,
    pub incarnation: Incarnation,
    restart: Option<Command>,
    fenced: Option<Fenced>,
}

pub struct Lab {
    pub now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    pub nodes: [Node; 2],
    /// Heartbeats and link of the pair pass.
    pub net: bool,
    /// Only the heartbeats.
    pub beats: bool,
    pub start_prim_ms: u64,
    pub start_both_ms: u64,
    pub start_second_ms: u64,
    pub prim_fails: bool,
    /// Nodes that stand still, with what waits for them.
    frozen: [bool; 2],
    /// Nodes whose heart alone stands still.
    heart_frozen: [bool; 2],
    waiting: Vec<Event>,
    /// A moment, and how much happened in it.
    busy: (u64, u32),
    /// Another machine has the virtual address: what a heart that wants to set it is told.
    pub stranger: Option<String>,
}

fn name(node: usize) -> NodeName {
    format!("node{}", node + 1).parse().unwrap()
}

pub fn config(node: usize, timeout_ms: u64) -> HeartConfig {
    let lane = |ident: &str| Lane {
        lan: ident.parse().unwrap(),
        ident: ident.to_owned(),
        pulse: Duration::from_millis(200),
        timeout: Duration::from_millis(timeout_ms),
    };
    HeartConfig {
        module: "mirror".parse().unwrap(),
        mode: hf_types::Mode::Mirror,
        me: name(node),
        peer: Some(name(1 - node)),
        me_first: node == 0,
        lanes: vec![lane("default"), lane("flow")],
        replicates: true,
        encrypted: true,
        failover: true,
        defaultprim: None,
        lastprim: false,
        vips: vec![Vip {
            address: "10.0.0.100".parse().unwrap(),
            arp_interval: Duration::from_secs(60),
            arp_elapse: Duration::from_secs(1200),
            arp_reroute: true,
            check: true,
            connections: false,
        }],
        scripts: [Script::Prestart, Script::StartPrim, Script::StopPrim, Script::Poststop, Script::Transition].into(),
        nice_stop_timeout: Duration::from_secs(300),
        force_stop_timeout: Duration::from_secs(300),
        loops: LoopLimits::OFF,
        syncdelta_min: 0,
        scheduled: false,
        sync_policy: hf_types::SyncPolicy::Default,
        rules: hf_rules::RuleSet::default(),
        told: Vec::new(),
        checkers: Vec::new(),
        checking: true,
        errd: None,
        errd_off: false,
    }
}

impl Lab {
    pub fn new() -> Lab {
        Lab::with(|_| {})
    }

    pub fn with(change: impl Fn(&mut HeartConfig)) -> Lab {
        let node = |number: usize| {
            let mut config = config(number, 5000);
            change(&mut config);
            Node {
                config,
                heart: None,
                rfs: None,
                heart_life: 0,
                rfs_life: 0,
                engine: Engine::default(),
                disk: vec![Record::new(number as u64 + 1)],
                kept: Vec::new(),
                no_room: None,
                no_mount: None,
                boot: 1,
                log: Vec::new(),
                scripts: Vec::new(),
                checkers: BTreeMap::new(),
                kept_checking: None,
                killed: 0,
                vip: false,
                tried: Vec::new(),
                asked: Vec::new(),
                ended: None,
                announced: Vec::new(),
                resources: BTreeMap::new(),
                answers: Vec::new(),
                loops: None,
                full: false,
                mute: false,
                rebooted: false,
                processes: BTreeMap::new(),
                look: None,
                handlers: Vec::new(),
                errd_off: false,
                policies_forgotten: 0,
                listed: Vec::new(),
                wishes: Vec::new(),
                epoch: hf_types::Epoch(0),
                incarnation: Incarnation(0),
                restart: None,
                fenced: None,
            }
        };
        Lab {
            now: 1000 * MS,
            queue: BTreeMap::new(),
            number: 0,
            nodes: [node(0), node(1)],
            net: true,
            beats: true,
            start_prim_ms: 100,
            start_both_ms: 10,
            start_second_ms: 10,
            prim_fails: false,
            frozen: [false; 2],
            heart_frozen: [false; 2],
            waiting: Vec::new(),
            busy: (0, 0),
            stranger: None,
        }
    }

    /// What the node's kernel or network tells its heart.
    pub fn hear(&mut self, node: usize, input: HeartInput) {
        self.tell_heart(node, 0, input);
    }

    /// What the data plane there counted.
    pub fn counted(&mut self, node: usize, traffic: hf_replica::engine::Traffic) {
        self.tell_rfs(node, 0, RfsInput::Engine(EngineEvent::Traffic(traffic)));
    }

    /// From now on so many processes of a `<proc>` run there; who watches them is told at once if some of them ended.
    pub fn processes(&mut self, node: usize, name: &str, count: u32) {
        let before = self.nodes[node].processes.insert(name.to_owned(), count);
        if before.is_some_and(|before| before > count) {
            self.tell_processes(node, 1);
        }
    }

    fn tell_processes(&mut self, node: usize, ms: u64) {
        let at = &self.nodes[node];
        let Some((look, names)) = at.look.clone() else { return };
        let count = |name: String| {
            let count = at.processes.get(&name).copied().unwrap_or(0);
            hf_types::ProcCount { name, count, unsure: 0 }
        };
        let counts = names.into_iter().map(count).collect();
        self.tell_heart(node, ms, HeartInput::Processes { look, counts });
    }

    /// A random number that is never the same.
    fn random(&mut self) -> u64 {
        self.number += 1;
        self.number * 7919 + 1_000_000
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.number += 1;
        self.queue.insert((self.now + ms * MS, self.number), event);
    }

    fn tell_heart(&mut self, node: usize, ms: u64, input: HeartInput) {
        let life = self.nodes[node].heart_life;
        self.at(ms, Event::Heart(node, life, input));
    }

    fn tell_rfs(&mut self, node: usize, ms: u64, input: RfsInput) {
        let life = self.nodes[node].rfs_life;
        self.at(ms, Event::Rfs(node, life, input));
    }

    // ---- what a test does ------------------------------------------------------------------------------------------

    pub fn command(&mut self, node: usize, command: Command) {
        self.command_by(node, command, Caller("SYSTEM/root".to_owned()));
    }

    pub fn command_by(&mut self, node: usize, command: Command, by: Caller) {
        if self.nodes[node].heart.is_some() {
            let control = DaemonToHeart::Control { ticket: Ticket(1), command, by };
            self.tell_heart(node, 0, HeartInput::Daemon(control));
            return;
        }
        let incarnation = Incarnation(self.random());
        let target = &mut self.nodes[node];
        target.heart = Some(HeartActor::new(target.config.clone()));
        target.heart_life += 1;
        target.incarnation = incarnation;
        target.fenced = None;
        let loops = target.loops;
        self.tell_heart(node, 0, HeartInput::Started { incarnation, first: command, by, loops });
        self.daemons_say(None);
    }

    pub fn run(&mut self, ms: u64) {
        let end = self.now + ms * MS;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    /// Runs until both nodes are where the test wants them; fails with their logs if they don't come there.
    pub fn until(&mut self, ms: u64, places: [&str; 2]) {
        let end = self.now + ms * MS;
        while self.places() != places {
            let Some(at) = self.next().filter(|at| *at <= end) else {
                panic!("{:?} instead of {places:?}\n{}", self.places(), self.logs());
            };
            self.now = self.now.max(at);
            self.step();
        }
    }

    /// Runs event by event until this node logs a line with `text`, and stops in that moment.
    pub fn until_logged(&mut self, ms: u64, node: usize, text: &str) {
        let end = self.now + ms * MS;
        while !self.nodes[node].log.iter().any(|line| line.contains(text)) {
            let Some(at) = self.next().filter(|at| *at <= end) else {
                panic!("nothing of {text:?}\n{}", self.logs());
            };
            self.now = self.now.max(at);
            self.step();
        }
    }

    pub fn places(&self) -> [String; 2] {
        [0, 1].map(|node| match &self.nodes[node].heart {
            Some(heart) => format!("{} {}", heart.status().state, heart.status().colour),
            None => "STOP red".to_owned(),
        })
    }

    pub fn logs(&self) -> String {
        let all = self.nodes.iter().enumerate();
        all.flat_map(|(node, n)| n.log.iter().map(move |line| format!("{}: {line}\n", node + 1))).collect()
    }

    /// Everything of this node is gone; its disk stays.
    pub fn power_off(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.heart = None;
        n.rfs = None;
        n.heart_life += 1;
        n.rfs_life += 1;
        n.vip = false;
        n.boot += 1;
        n.checkers.clear();
        self.unlink(node, false);
        self.nodes[node].engine = Engine::default();
        self.daemons_say(Some(node));
    }

    pub fn kill_rfs(&mut self, node: usize) {
        self.rfs_ends(node);
        self.tell_heart(node, 1, HeartInput::RfsGone);
    }

    /// The disk fails under a write: nothing can be stored there any more.
    pub fn fail_disk(&mut self, node: usize) {
        let fault = hf_types::RfsFault::LocalDisk("Input/output error".to_owned());
        self.tell_rfs(node, 0, RfsInput::Engine(EngineEvent::Fault(fault)));
    }

    /// The heart dies; its daemon fences what it left, and says so to the other node.
    pub fn kill_heart(&mut self, node: usize) {
        let fenced = Fenced { heart: self.nodes[node].incarnation, epoch: self.nodes[node].epoch };
        self.nodes[node].heart = None;
        self.nodes[node].heart_life += 1;
        self.nodes[node].checkers.clear();
        self.rfs_ends(node);
        self.nodes[node].vip = false;
        self.nodes[node].fenced = Some(fenced);
        self.daemons_say(None);
    }

    pub fn stall(&mut self, node: usize, for_ms: u64) {
        self.tell_heart(node, 0, HeartInput::Stalled { for_ms });
        self.tell_rfs(node, 0, RfsInput::Stalled { for_ms });
    }

    /// Nothing of this node runs for so long; its address goes by its kernel lifetime.
    pub fn freeze(&mut self, node: usize, ms: u64) {
        self.frozen[node] = true;
        self.nodes[node].vip = false;
        self.run(ms);
    }

    /// The heart of this node stands still, all else goes on.
    pub fn freeze_heart(&mut self, node: usize) {
        self.heart_frozen[node] = true;
    }

    pub fn thaw_heart(&mut self, node: usize, for_ms: u64) {
        self.heart_frozen[node] = false;
        self.tell_heart(node, 0, HeartInput::Stalled { for_ms });
        self.hand_over();
    }

    pub fn thaw(&mut self, node: usize, for_ms: u64) {
        self.frozen[node] = false;
        self.stall(node, for_ms);
        self.hand_over();
    }

    /// What waited, heartbeats first, as the heart's loop does.
    fn hand_over(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|event| !matches!(event, Event::Heart(_, _, HeartInput::Heartbeat { .. })));
        for event in waiting {
            self.at(0, event);
        }
    }

    pub fn break_link(&mut self) {
        self.unlink(0, true);
        self.try_link();
    }

    pub fn cut(&mut self) {
        self.net = false;
        self.unlink(0, true);
        self.daemons_say(None);
    }

    pub fn heal(&mut self) {
        self.net = true;
        self.beats = true;
        self.try_link();
    }

    /// What the daemons tell the hearts of the other node.
    fn daemons_say(&mut self, dead: Option<usize>) {
        for node in 0..2 {
            let other = 1 - node;
            let state = self.nodes[other].heart.as_ref().map_or(ModuleState::Stop, |heart| heart.status().state);
            let fenced = self.nodes[other].fenced;
            let peer = PeerModule { heard: self.net && dead != Some(other), state, fenced };
            if self.nodes[node].heart.is_some() {
                self.tell_heart(node, 3, HeartInput::Daemon(DaemonToHeart::Peer(peer)));
            }
        }
    }

    // ---- time ------------------------------------------------------------------------------------------------------

    fn next(&self) -> Option<u64> {
        let running =
            (0..2).filter(|node| !self.frozen[*node]).map(|node| (&self.nodes[node], self.heart_frozen[node]));
        let timers = running.flat_map(|(node, still)| {
            let heart = node.heart.as_ref().filter(|_| !still).and_then(HeartActor::next_deadline);
            let rfs = node.rfs.as_ref().and_then(RfsActor::next_deadline);
            [heart, rfs].into_iter().flatten().map(|(at, _)| at.0)
        });
        timers.chain(self.queue.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self) {
        self.busy = if self.busy.0 == self.now { (self.now, self.busy.1 + 1) } else { (self.now, 1) };
        assert!(self.busy.1 < 10_000, "two actors answer each other for ever\n{}", self.logs());
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                event @ (Event::Heart(node, ..) | Event::Rfs(node, ..)) if self.frozen[node] => {
                    self.waiting.push(event)
                }
                event @ Event::Heart(node, ..) if self.heart_frozen[node] => self.waiting.push(event),
                Event::Heart(node, life, input) if life == self.nodes[node].heart_life => self.heart(node, input),
                Event::Rfs(node, life, input) if life == self.nodes[node].rfs_life => self.rfs(node, input),
                Event::Heart(..) | Event::Rfs(..) => {}
            }
            return;
        }
        for node in (0..2).filter(|node| !self.frozen[*node]).collect::<Vec<_>>() {
            let due = |at: Option<(Instant, &str)>| at.is_some_and(|(at, _)| at.0 <= self.now);
            if !self.heart_frozen[node] && due(self.nodes[node].heart.as_ref().and_then(HeartActor::next_deadline)) {
                self.heart(node, HeartInput::Timer);
                return;
            }
            if due(self.nodes[node].rfs.as_ref().and_then(RfsActor::next_deadline)) {
                self.rfs(node, RfsInput::Timer);
                return;
            }
        }
    }

    // ---- the heart's shell -----------------------------------------------------------------------------------------

    fn heart(&mut self, node: usize, input: HeartInput) {
        let now = Instant(self.now);
        let Some(heart) = &mut self.nodes[node].heart else {
            return;
        };
        for effect in heart.handle(now, input) {
            self.heart_effect(node, effect);
        }
    }

    fn heart_effect(&mut self, node: usize, effect: HeartEffect) {
        match effect {
            HeartEffect::SendHeartbeat { lane, body } => {
                for lane in lane.map_or(vec![0, 1], |lane| vec![lane]) {
                    if self.net && self.beats {
                        self.tell_heart(1 - node, 1, HeartInput::Heartbeat { lane, body: body.clone() });
                    }
                }
            }
            HeartEffect::ToDaemon(HeartToDaemon::Status { epoch, .. }) => {
                self.nodes[node].epoch = epoch;
                self.daemons_say(None);
            }
            HeartEffect::ToDaemon(HeartToDaemon::Stopped { restart, why, reboot }) => {
                self.nodes[node].rebooted = reboot;
                self.nodes[node].restart = restart;
                self.nodes[node].ended = why;
            }
            HeartEffect::ToDaemon(HeartToDaemon::Answer { result, .. }) => self.nodes[node].answers.push(result),
            HeartEffect::ToDaemon(_) => {}
            HeartEffect::Answer { result, .. } => self.nodes[node].answers.push(result),
            HeartEffect::LookAtProcesses { look, names } => {
                self.nodes[node].look = Some((look, names));
                self.tell_processes(node, 2);
            }
            HeartEffect::RunHandler { run, handler } => self.nodes[node].handlers.push((run, handler)),
            HeartEffect::ListProcesses { lines, .. } => {
                self.nodes[node].listed = lines.into_iter().map(|(name, text)| format!("{name} {text}")).collect();
            }
            HeartEffect::ForgetSyncPolicy => {
                self.nodes[node].policies_forgotten += 1;
                self.nodes[node].config.sync_policy = hf_types::SyncPolicy::Default;
            }
            HeartEffect::KeepErrdOff { off, .. } => {
                self.nodes[node].errd_off = off;
                self.nodes[node].answers.push(Ok(()));
            }
            HeartEffect::ToRfs(message) => self.tell_rfs(node, 0, RfsInput::Heart(message)),
            HeartEffect::SpawnRfs => self.spawn_rfs(node),
            HeartEffect::KillRfs { .. } => {
                self.rfs_ends(node);
                self.tell_heart(node, 1, HeartInput::RfsGone);
            }
            HeartEffect::RunScript { run, script, args, .. } => {
                self.nodes[node].scripts.push(format!("{script} {}", args.join(" ")));
                let ms = match script {
                    Script::StartPrim => self.start_prim_ms,
                    Script::StartSecond => self.start_second_ms,
                    Script::StartBoth => self.start_both_ms,
                    _ => 10,
                };
                let code = i32::from(self.prim_fails && matches!(script, Script::StartPrim | Script::StartBoth));
                self.tell_heart(
                    node,
                    ms,
                    HeartInput::ScriptEnded { run, script, outcome: ScriptOutcome::Exited(code) },
                );
            }
            HeartEffect::KillScript { .. } => self.nodes[node].killed += 1,
            HeartEffect::SetVip { address, .. } => {
                let other = &self.nodes[1 - node];
                assert!(!self.net || !other.vip, "two nodes with the address\n{}", self.logs());
                let error = self.stranger.clone();
                self.nodes[node].vip = error.is_none();
                self.nodes[node].tried.push(self.now / MS);
                self.tell_heart(node, 1, HeartInput::VipSet { address, error });
            }
            HeartEffect::ClearVip { address } => {
                self.nodes[node].vip = false;
                self.tell_heart(node, 1, HeartInput::VipCleared { address, error: None });
            }
            HeartEffect::StartChecker { run, checker } => {
                self.nodes[node].scripts.push(format!("check {}", checker.resource()));
                self.nodes[node].checkers.insert(checker.resource(), run);
            }
            HeartEffect::StopChecker { resource } => {
                self.nodes[node].scripts.push(format!("uncheck {resource}"));
                assert!(self.nodes[node].checkers.remove(&resource).is_some(), "{resource} didn't run");
            }
            HeartEffect::KeepChecking { on } => self.nodes[node].kept_checking = Some(on),
            HeartEffect::AskVip { .. } => self.nodes[node].asked.push(self.now / MS),
            HeartEffect::AnnounceVip { .. } => self.nodes[node].announced.push(self.now / MS),
            HeartEffect::CountConnections { address } => {
                self.tell_heart(node, 1, HeartInput::VipConnections { address, count: 7 });
            }
            HeartEffect::RenewVip { .. } | HeartEffect::KillApplication | HeartEffect::LookAtLanes => {}
            HeartEffect::Log(event) => {
                let line = event.to_string();
                assert!(!line.starts_with("Internal fault"), "{line}\n{}", self.logs());
                self.nodes[node].log.push(line);
            }
            HeartEffect::SetResource { resource, .. } => {
                self.nodes[node].resources.insert(resource.name, resource.value.to_string());
            }
            HeartEffect::KeepLoops(kept) => {
                let error = self.nodes[node].full.then(|| "no space left".to_owned());
                if error.is_none() {
                    self.nodes[node].loops = kept;
                }
                if !self.nodes[node].mute {
                    self.tell_heart(node, 5, HeartInput::LoopsKept { kept, error });
                }
            }
            HeartEffect::Random => {
                let value = self.random();
                self.tell_heart(node, 0, HeartInput::Random { value });
            }
            HeartEffect::Exit => {
                self.nodes[node].heart = None;
                self.nodes[node].heart_life += 1;
                self.daemons_say(None);
                if let Some(command) = self.nodes[node].restart.take() {
                    self.command(node, command);
                }
            }
        }
    }

    // ---- the data plane --------------------------------------------------------------------------------------------

    fn spawn_rfs(&mut self, node: usize) {
        if self.nodes[node].rfs.is_some() {
            return;
        }
        let incarnation = Incarnation(self.random());
        let n = &mut self.nodes[node];
        let config = RfsConfig {
            dirs: vec!["/replicated".to_owned()],
            async_second: true,
            send_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(100),
            notes_synced: n.config.syncdelta_min > 1,
            zero_s: 0,
        };
        n.rfs = Some(RfsActor::new(config));
        n.rfs_life += 1;
        n.engine = Engine { stream: n.engine.stream, ..Engine::default() };
        let started =
            EngineEvent::Started { records: n.disk.clone(), boot_id: format!("boot{}", n.boot), takeover: false };
        self.tell_rfs(node, 5, RfsInput::Started { incarnation });
        self.tell_rfs(node, 5, RfsInput::Engine(started));
    }

    fn rfs_ends(&mut self, node: usize) {
        self.nodes[node].rfs = None;
        self.nodes[node].rfs_life += 1;
        self.unlink(node, false);
        let stream = self.nodes[node].engine.stream;
        self.nodes[node].engine = Engine { stream, ..Engine::default() };
    }

    fn rfs(&mut self, node: usize, input: RfsInput) {
        let now = Instant(self.now);
        let Some(rfs) = &mut self.nodes[node].rfs else {
            return;
        };
        for effect in rfs.handle(now, input) {
            match effect {
                RfsEffect::ToHeart(message) => self.tell_heart(node, 0, HeartInput::Rfs(message)),
                RfsEffect::Engine(command) => self.engine(node, command),
                RfsEffect::Log(event) => self.nodes[node].log.push(event.to_string()),
                RfsEffect::Exit => {
                    self.rfs_ends(node);
                    self.tell_heart(node, 2, HeartInput::RfsGone);
                }
            }
        }
    }

    fn engine(&mut self, node: usize, command: EngineCommand) {
        let answer = |lab: &mut Lab, event| lab.tell_rfs(node, 1, RfsInput::Engine(event));
        match command {
            EngineCommand::Mount if self.nodes[node].no_mount.is_some() => {
                let why = self.nodes[node].no_mount.clone().unwrap_or_default();
                answer(self, EngineEvent::MountFailed { why });
            }
            EngineCommand::Mount => {
                self.nodes[node].engine.mounted = true;
                answer(self, EngineEvent::Mounted);
            }
            EngineCommand::Unmount => {
                self.nodes[node].engine.mounted = false;
                answer(self, EngineEvent::Unmounted);
            }
            EngineCommand::SetGate(gate) => self.nodes[node].engine.gate = Some(gate),
            EngineCommand::Listen => {
                self.nodes[node].engine.listening = true;
                self.nodes[node].engine.connecting = false;
                self.try_link();
            }
            EngineCommand::Connect => {
                self.nodes[node].engine.connecting = true;
                self.nodes[node].engine.listening = false;
                self.try_link();
            }
            EngineCommand::Hangup => {
                self.nodes[node].engine.listening = false;
                self.nodes[node].engine.connecting = false;
                self.unlink(node, true);
            }
            EngineCommand::Send(mut message) => {
                let streams = [0, 1].map(|node| self.nodes[node].engine.stream);
                if let PeerMessage::Hello { applied, .. } = &mut message
                    && (streams[0] != streams[1] || streams[0] == 0)
                {
                    *applied = Seq(0);
                }
                if self.nodes[node].engine.linked {
                    self.tell_rfs(1 - node, 1, RfsInput::Engine(EngineEvent::Received(message)));
                }
            }
            EngineCommand::StartSync(wish) => {
                self.nodes[node].wishes.push(wish);
                let stream = self.random();
                for node in &mut self.nodes {
                    node.engine.stream = stream;
                }
                let count = SyncCount { files_done: 3, bytes_sent: 2048, elapsed_ms: 20, ..SyncCount::default() };
                self.tell_rfs(node, 20, RfsInput::Engine(EngineEvent::SyncSent { seq: Seq(9), count }));
            }
            EngineCommand::StopSync => {}
            EngineCommand::Drain => answer(self, EngineEvent::Drained { seq: Seq(9) }),
            EngineCommand::KeepCopy { generation } => {
                self.nodes[node].kept.push(generation);
                answer(
                    self,
                    match self.nodes[node].no_room.clone() {
                        Some(why) => EngineEvent::CopyNotKept { generation, why },
                        None => EngineEvent::CopyKept { generation, files: 3 },
                    },
                );
            }
            EngineCommand::WriteRecords { token, records } => {
                self.nodes[node].disk = records;
                answer(self, EngineEvent::RecordsWritten { token });
            }
        }
    }

    fn try_link(&mut self) {
        let [a, b] = &self.nodes;
        let fits = |a: &Engine, b: &Engine| a.connecting && b.listening && !a.linked && !b.linked;
        if self.net && (fits(&a.engine, &b.engine) || fits(&b.engine, &a.engine)) {
            for node in 0..2 {
                self.nodes[node].engine.linked = true;
                self.tell_rfs(node, 1, RfsInput::Engine(EngineEvent::LinkUp));
            }
        }
    }

    fn unlink(&mut self, node: usize, tell_me: bool) {
        if !self.nodes[node].engine.linked {
            return;
        }
        for who in 0..2 {
            self.nodes[who].engine.linked = false;
            if who != node || tell_me {
                let down = EngineEvent::LinkDown { why: "cut".to_owned() };
                self.tell_rfs(who, 1, RfsInput::Engine(down));
            }
        }
    }

    // ---- questions -------------------------------------------------------------------------------------------------

    /// The node's log holds these lines in this order; others may lie in between.
    pub fn has_in_order(&self, node: usize, lines: &[&str]) {
        let mut rest = self.nodes[node].log.iter();
        for line in lines {
            assert!(rest.any(|has| has == line), "node{}: {line:?} is missing or too early\n{}", node + 1, self.logs());
        }
    }

    pub fn clear_logs(&mut self) {
        for node in &mut self.nodes {
            node.log.clear();
            node.scripts.clear();
        }
    }

    pub fn colour(&self, node: usize) -> Colour {
        self.nodes[node].heart.as_ref().map_or(Colour::Red, |heart| heart.status().colour)
    }

    /// PRIM on node1 and SECOND on node2, from nothing (reference 004, 5.3).
    pub fn paired() -> Lab {
        Lab::new().pair_up()
    }

    pub fn pair_up(mut self) -> Lab {
        self.command(0, Command::Prim);
        self.until(20_000, ["ALONE green", "STOP red"]);
        self.command(1, Command::Second);
        self.until(20_000, ["PRIM green", "SECOND green"]);
        self.run(1000);
        self
    }
}
