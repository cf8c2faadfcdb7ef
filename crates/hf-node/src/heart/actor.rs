use super::advice::Advice;
use super::checkers::Checkers;
use super::errd::Errd;
use super::loops::Loops;
use super::others::Others;
use super::reboot::Reboot;
use super::refuted::OtherCopy;
use super::resources::Resources;
use super::rfs::Rfs;
use super::rules::Rules;
use super::scripts::Scripts;
use super::splitbrain::Splitbrain;
use super::vips::Vips;
use super::{HeartConfig, HeartEffect, HeartInput};
use hf_membership::{LaneConfig, Pair};
use hf_module::{Door, Passage, Place, Plan, Step};
use hf_replica::grant::Grant;
use hf_types::{
    Caller, Colour, Command, Epoch, Event, GenerationId, GrantReason, Incarnation, Instant, ModuleState, NotPrimary,
    ResourceValue, RfsFault, SyncPolicy, SyncWish,
};
use hf_wire::bus::{Fenced, HeartToDaemon, ModuleStatus, PeerModule, SyncProgress};
use hf_wire::heartbeat::{Former, Heartbeat, Outdating, SwapPhase};
use serde::Serialize;
use std::time::Duration;

/// Between two heartbeats while the peer's answer is waited for.
const URGENT: Duration = Duration::from_millis(50);
/// More rounds than any chain of decisions is long; above it, something goes in circles and waits for the next input.
const ROUNDS_MAX: usize = 64;

/// The heart of one module on one node.
///
/// [`HeartActor::handle`] first takes the input into what is known (lanes, peer, rfs, scripts, addresses), then lets the rules
/// look at all of it, again and again until nothing changes. Rules ask for conditions, not for events: an answer that was
/// lost and repeated, late or doubled makes no difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeartActor {
    pub(super) config: HeartConfig,
    pub(super) incarnation: Incarnation,
    pub(super) started: bool,
    pub(super) now: Instant,
    pub(super) pair: Pair,
    pub(super) door: Door,
    /// The state before this one.
    pub(super) came_from: ModuleState,
    /// What the module was started for; [`Command::Start`] after the first decision.
    pub(super) intent: Command,
    pub(super) plan: Option<Plan>,
    pub(super) step: Option<RunningStep>,
    /// A plan that begins when the script that runs has ended.
    pub(super) next_plan: Option<Plan>,
    /// When the module came to WAIT: listening counts from here.
    pub(super) waiting_since: Instant,
    /// The newest heartbeat of the peer, heard or not any more.
    pub(super) peer: Option<Heartbeat>,
    pub(super) other_copy: Option<OtherCopy>,
    /// The incarnation of the peer's heart that was last heard as primary.
    pub(super) primary_peer: Option<Incarnation>,
    pub(super) remote: (ModuleState, Colour),
    pub(super) daemon_peer: Option<PeerModule>,
    pub(super) rfs: Rfs,
    pub(super) grant: Option<Grant>,
    pub(super) epoch: Epoch,
    /// A role that waits for its grant's random generation.
    pub(super) role_wanted: Option<GrantReason>,
    /// Rfs asks to go alone, for this reason, since then.
    pub(super) ask: Option<(RfsFault, Instant)>,
    pub(super) random: Option<u64>,
    pub(super) random_asked: bool,
    /// What the other copy's rfs said over the link.
    pub(super) peer_outdated: Option<GenerationId>,
    /// Why the last heartbeat could not be read; it was told.
    pub(super) dropped: Option<String>,
    pub(super) asking: Option<Outdating>,
    /// Since when this copy should have written that it is outdated.
    pub(super) consenting: Option<Instant>,
    /// The generation in which this heart won't take over, whatever becomes of the record.
    pub(super) promised: Option<GenerationId>,
    pub(super) former: Former,
    pub(super) swap: SwapPhase,
    pub(super) swap_until: Option<Instant>,
    /// This secondary is to become primary by a swap that has begun.
    pub(super) swapping: bool,
    pub(super) default_swap_done: bool,
    /// `stopwait` was said, by this caller: WAIT until `start`.
    pub(super) staying: Option<Caller>,
    /// How often `failover on|off` was said to this pair: the larger number says what holds.
    pub(super) failover_version: u64,
    /// What was asked of the next synchronisation.
    pub(super) wish: SyncWish,
    /// What `rfssync` chose, until one has succeeded.
    pub(super) sync_policy: SyncPolicy,
    /// Since when both nodes are secondaries in step.
    pub(super) two_since: Option<Instant>,
    /// The split brain that was already decided: the peer's generation.
    pub(super) stayed: Option<(Incarnation, GenerationId)>,
    /// The heartbeat that the other primary has to hear before this one makes way for it, and until when.
    pub(super) meeting: Option<(u64, Instant)>,
    pub(super) scripts: Scripts,
    pub(super) vips: Vips,
    pub(super) resources: Resources,
    pub(super) loops: Loops,
    pub(super) reboot: Option<Reboot>,
    pub(super) advice: Advice,
    pub(super) rules: Rules,
    pub(super) checkers: Checkers,
    pub(super) others: Others,
    pub(super) splitbrain: Splitbrain,
    /// How often the application was started here.
    pub(super) runs: u64,
    /// The generation in which this heart was alone without the other copy's word for it.
    pub(super) alone_in: Option<GenerationId>,
    pub(super) errd: Errd,
    pub(super) held: Option<NotPrimary>,
    pub(super) hold_until: Option<Instant>,
    pub(super) was_primary: bool,
    pub(super) why: Option<String>,
    /// Why it stops by itself, with the way back.
    pub(super) because: Option<String>,
    pub(super) sync: Option<SyncProgress>,
    /// The first heartbeat that said STOP, and until when it is repeated.
    pub(super) farewell: Option<(u64, Instant)>,
    /// What the last heartbeat said, without its counters.
    pub(super) beaten: Option<Heartbeat>,
    pub(super) next_urgent: Option<Instant>,
    pub(super) said: Option<HeartToDaemon>,
    pub(super) gone: bool,
    /// A command to start that came while the last words were said.
    pub(super) restart: Option<Command>,
}

/// A step that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct RunningStep {
    pub(super) step: Step,
    pub(super) deadline: Option<Instant>,
    /// Its answer came.
    pub(super) done: bool,
    pub(super) failed: bool,
}

pub(super) type Out = Vec<HeartEffect>;

impl HeartActor {
    /// A heart that was not started yet: [`HeartInput::Started`] must come first.
    pub fn new(config: HeartConfig) -> HeartActor {
        HeartActor {
            vips: Vips::new(&config),
            pair: Pair::new(Instant(0), Incarnation(0), []),
            door: Door::new(config.mode),
            config,
            incarnation: Incarnation(0),
            started: false,
            now: Instant(0),
            came_from: ModuleState::Stop,
            intent: Command::Start,
            plan: None,
            step: None,
            next_plan: None,
            waiting_since: Instant(0),
            peer: None,
            other_copy: None,
            primary_peer: None,
            remote: (ModuleState::Unknown, Colour::Grey),
            daemon_peer: None,
            rfs: Rfs::default(),
            grant: None,
            epoch: Epoch(0),
            role_wanted: None,
            ask: None,
            random: None,
            random_asked: false,
            peer_outdated: None,
            dropped: None,
            asking: None,
            consenting: None,
            promised: None,
            former: Former::None,
            swap: SwapPhase::None,
            swap_until: None,
            swapping: false,
            default_swap_done: false,
            staying: None,
            failover_version: 0,
            wish: SyncWish::default(),
            sync_policy: SyncPolicy::Default,
            two_since: None,
            stayed: None,
            meeting: None,
            scripts: Scripts::default(),
            resources: Resources::default(),
            loops: Loops::default(),
            reboot: None,
            advice: Advice::default(),
            rules: Rules::default(),
            checkers: Checkers::default(),
            others: Others::default(),
            splitbrain: Splitbrain::default(),
            runs: 0,
            alone_in: None,
            errd: Errd::default(),
            held: None,
            hold_until: None,
            was_primary: false,
            why: None,
            because: None,
            sync: None,
            farewell: None,
            beaten: None,
            next_urgent: None,
            said: None,
            gone: false,
            restart: None,
        }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, now: Instant, input: HeartInput) -> Vec<HeartEffect> {
        let mut out = Vec::new();
        self.now = self.now.max(now);
        // A silence is judged only when what waited meanwhile has been handed over, too; a stall comes before it.
        let to_come = matches!(input, HeartInput::Stalled { for_ms } if self.is_short(for_ms));
        self.take(input, &mut out);
        if self.started && !self.gone && !to_come {
            self.settle(&mut out);
        }
        out
    }

    fn take(&mut self, input: HeartInput, out: &mut Out) {
        match input {
            HeartInput::Started { incarnation, first, by, loops } => {
                self.on_started(incarnation, first, &by, out);
                self.take_over_loops(loops, &by, out);
            }
            HeartInput::LoopsKept { kept, error } => self.on_loops_kept(kept, error, out),
            HeartInput::Heartbeat { lane, body } => self.on_heartbeat(lane, &body, out),
            HeartInput::Daemon(message) => self.on_daemon(message, out),
            HeartInput::Control { ticket, command, by } => {
                let result = self.on_command(command, by, out);
                if let Command::CheckerOn | Command::CheckerOff = command {
                    out.push(HeartEffect::KeepChecking { on: command == Command::CheckerOn });
                }
                out.push(HeartEffect::Answer { ticket, result });
            }
            HeartInput::Set { ticket, assignment } => {
                let result = self.on_set(assignment, out);
                out.push(HeartEffect::Answer { ticket, result });
            }
            HeartInput::Errd { ticket, order, by } => self.on_errd(ticket, order, by, out),
            HeartInput::Processes { look, counts } => self.on_processes(look, &counts),
            HeartInput::HandlerEnded { run, outcome } => self.on_handler_ended(run, &outcome, out),
            HeartInput::Rfs(message) => self.on_rfs(message, out),
            HeartInput::RfsGone => self.on_rfs_gone(out),
            HeartInput::ScriptEnded { run, script, outcome } => self.on_script_ended(run, script, outcome, out),
            HeartInput::ScriptHangs { run, script, hang } => self.on_script_hangs(run, script, hang, out),
            HeartInput::ScriptNotLogged { script, why } => log(out, Event::ScriptNotLogged(script, why)),
            HeartInput::VipSet { address, error } => self.on_vip_set(address, error, out),
            HeartInput::VipCleared { address, error } => self.on_vip_cleared(address, error, out),
            HeartInput::VipLost { address, why } => self.on_vip_lost(address, why, out),
            HeartInput::VipRemoved { address } => self.on_vip_removed(address, out),
            HeartInput::VipClaimed { address, by } => self.on_vip_claimed(address, by, out),
            HeartInput::VipLinkBack { address } => self.on_vip_link_back(address),
            HeartInput::VipConnections { address, count } => self.on_vip_connections(address, count, out),
            HeartInput::LanesSeen(sights) => self.on_lanes_seen(&sights, out),
            HeartInput::Checked { resource, run, value, why, seen } => {
                self.on_checked(&resource, run, value, why, seen, out);
            }
            HeartInput::CheckerEnded { resource, run, outcome } => self.on_checker_ended(&resource, run, &outcome, out),
            HeartInput::Scheduled => self.on_scheduled(out),
            HeartInput::Configured(config) => self.on_configured(*config, out),
            HeartInput::Random { value } => {
                self.random = Some(value);
                self.random_asked = false;
            }
            HeartInput::Timer => {}
            HeartInput::Stalled { for_ms } => self.on_stall(for_ms, out),
        }
    }

    fn on_started(&mut self, incarnation: Incarnation, first: Command, by: &Caller, out: &mut Out) {
        self.incarnation = incarnation;
        self.started = true;
        let lanes: Vec<LaneConfig> =
            self.config.lanes.iter().map(|lane| LaneConfig { pulse: lane.pulse, timeout: lane.timeout }).collect();
        self.pair = Pair::new(self.now, incarnation, lanes);
        for lane in 0..self.config.lanes.len() {
            let name = format!("heartbeat.{}", self.config.lanes[lane].ident);
            self.set_resource(&name, ResourceValue::Init, "heart", false, out);
        }
        log(out, Event::ActionCalled { command: first, by: by.clone() });
        self.intent = if first.starts() { first } else { Command::Start };
        self.sync_policy = self.config.sync_policy.clone();
        self.wish = wish_of(first).with(self.sync_policy.wish());
        self.begin_errd();
        self.begin_start(hf_types::Action::Start, out);
    }

    /// From STOP, or from the end of a restart, to WAIT: everything begins anew.
    pub(super) fn begin_start(&mut self, action: hf_types::Action, out: &mut Out) {
        let from = self.state();
        self.go(Place::STARTING, action, out);
        self.waiting_since = self.now;
        self.held = None;
        self.former = Former::None;
        self.swapping = false;
        self.swap = SwapPhase::None;
        self.default_swap_done = false;
        self.grant = None;
        self.ask = None;
        self.asking = None;
        self.meeting = None;
        self.role_wanted = None;
        self.scripts.forget_parts();
        if self.config.replicates && !self.rfs.alive {
            self.spawn_rfs(out);
        }
        self.begin_plan(Plan::start(from, action), out);
    }

    /// Looks at everything that is known until nothing more follows from it.
    fn settle(&mut self, out: &mut Out) {
        self.want_random(out);
        self.look_at_lanes(out);
        self.tend_loops(out);
        self.tend_reboot(out);
        self.look_at_remote(out);
        self.follow_failover(out);
        self.rounds(out);
        self.note_alone();
        if self.gone {
            return;
        }
        self.ask_vips_ahead(out);
        self.tend_vips(out);
        self.tend_transitions(out);
        self.tend_advice(out);
        self.publish_resources(out);
        self.say_status(out);
        self.beat(out);
        if self.farewell_wanted() && !self.pair.heard() {
            // Nobody to say it to.
            self.rounds(out);
        }
    }

    fn rounds(&mut self, out: &mut Out) {
        for _ in 0..ROUNDS_MAX {
            if self.gone || !self.round(out) {
                return;
            }
        }
        log(out, Event::Text(format!("Internal fault: decisions in {} go in circles", self.door.place())));
    }

    /// One look of every rule; true if anything changed.
    fn round(&mut self, out: &mut Out) -> bool {
        let mut changed = self.tend_rfs(out);
        changed |= self.advance(out);
        self.tend_checkers(out);
        changed |= self.look_at_witnesses(out);
        changed |= self.decide_grant(out);
        changed |= self.consent(out);
        changed |= self.look_at_rules(out);
        changed |= self.follow_others(out);
        changed |= self.tend_errd(out);
        if self.next_plan.is_none() {
            changed |= match self.state() {
                ModuleState::Wait => self.in_wait(out),
                ModuleState::Alone | ModuleState::Prim => self.as_primary(out),
                ModuleState::Second => self.as_secondary(out),
                // Light and farm modules wait for commands and for their rules.
                ModuleState::Stop | ModuleState::Up | ModuleState::Unknown => false,
            };
        }
        changed
    }

    fn want_random(&mut self, out: &mut Out) {
        if self.random.is_none() && !self.random_asked {
            self.random_asked = true;
            out.push(HeartEffect::Random);
        }
    }

    // ---- where the module is ---------------------------------------------------------------------------------------

    pub(super) fn state(&self) -> ModuleState {
        self.door.place().state
    }

    pub(super) fn colour(&self) -> Colour {
        self.door.place().colour
    }

    /// The one door: logs the new place, runs `transition` if the state changed.
    pub(super) fn go(&mut self, to: Place, action: hf_types::Action, out: &mut Out) {
        match self.door.pass(to) {
            Ok(None) => {}
            Ok(Some(Passage { from, to, .. })) => {
                log(out, Event::LocalState(to.state, to.colour));
                if from.state != to.state {
                    self.came_from = from.state;
                    self.queue_transition(from.state, to.state, action);
                }
            }
            Err(illegal) => log(out, Event::Text(format!("Internal fault, nothing was changed: {illegal}"))),
        }
    }

    /// The same state in another colour.
    pub(super) fn paint(&mut self, colour: Colour, out: &mut Out) {
        let to = Place::of(self.state(), colour);
        self.go(to, hf_types::Action::Start, out);
    }

    /// The module as this node sees it (`id` is 0: the daemon knows it).
    pub fn status(&self) -> ModuleStatus {
        ModuleStatus {
            node: self.config.me.clone(),
            module: self.config.module.clone(),
            id: 0,
            state: self.state(),
            colour: self.colour(),
            resources: self.resources.now.values().cloned().collect(),
            why: self.why_so(),
            sync: self.sync.clone(),
        }
    }

    fn why_with_advice(&self) -> Option<String> {
        match (self.why.clone(), self.advice.text()) {
            (Some(why), Some(advice)) => Some(format!("{why}; {advice}")),
            (why, advice) => why.or(advice),
        }
    }

    /// Whether the daemon was told all of this already. Asked after every input: nothing is built for it.
    fn is_said(&self) -> bool {
        let Some(HeartToDaemon::Status { incarnation, epoch, status }) = &self.said else {
            return false;
        };
        let ModuleStatus { node, module, id: _, state, colour, resources, why, sync } = status;
        (*incarnation, *epoch, *state, *colour) == (self.incarnation, self.epoch, self.state(), self.colour())
            && (node, module, sync) == (&self.config.me, &self.config.module, &self.sync)
            && resources.iter().eq(self.resources.now.values())
            && *why == self.why_so()
    }

    fn why_so(&self) -> Option<String> {
        self.scripts.hangs().or_else(|| self.why_with_advice())
    }

    fn say(&self) -> HeartToDaemon {
        HeartToDaemon::Status { incarnation: self.incarnation, epoch: self.epoch, status: self.status() }
    }

    pub(super) fn say_status(&mut self, out: &mut Out) {
        let said = self.is_said();
        debug_assert_eq!(said, self.said.as_ref() == Some(&self.say()), "one says otherwise than the other");
        if said {
            return;
        }
        let status = self.say();
        self.said = Some(status.clone());
        out.push(HeartEffect::ToDaemon(status));
    }

    // ---- time ------------------------------------------------------------------------------------------------------

    fn on_stall(&mut self, for_ms: u64, out: &mut Out) {
        if self.is_short(for_ms) {
            return;
        }
        log(out, Event::Stalled { ms: for_ms });
        self.pair.restart_silence(self.now);
        self.vips.stood_still(Duration::from_millis(for_ms));
        self.rules.stood_still();
    }

    /// Too short for what the other node said meanwhile to be old.
    fn is_short(&self, for_ms: u64) -> bool {
        Duration::from_millis(for_ms) < self.stall_limit()
    }

    /// A standstill of the loop for so long is told: what wasn't heard meanwhile says nothing about the other node.
    pub fn stall_limit(&self) -> Duration {
        self.shortest_timeout() / 3
    }

    pub(super) fn shortest_timeout(&self) -> Duration {
        let timeouts = self.config.lanes.iter().map(|lane| lane.timeout);
        timeouts.min().unwrap_or(Duration::from_secs(30))
    }

    /// How long a start listens before "nobody answers" means anything: three pulses.
    pub(super) fn settle_time(&self) -> Duration {
        let pulses = self.config.lanes.iter().map(|lane| lane.pulse);
        pulses.max().unwrap_or(Duration::from_millis(700)) * 3
    }

    /// When [`HeartInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        if !self.started || self.gone {
            return None;
        }
        let candidates = [
            (self.pair.next_pulse(), "pulse"),
            (self.pair.next_timeout(), "lane time-out"),
            (self.pair.silent_at(Duration::ZERO), "silence"),
            (self.pair.silent_at(self.takeover_silence()), "takeover"),
            (self.ask_vips_at(), "question for the virtual addresses"),
            (self.pair.listening_until(), "listening after a stall"),
            (self.next_urgent, "urgent heartbeat"),
            (self.step.and_then(|step| step.deadline), "step"),
            (self.farewell.map(|(_, until)| until), "farewell"),
            (Some(self.waiting_since + self.settle_time()), "listening"),
            (Some(self.waiting_since + self.shortest_timeout()), "waiting for a primary"),
            (self.swap_until, "swap"),
            (self.meeting.map(|(_, until)| until), "meeting"),
            (self.hold_until, "hold"),
            (self.rfs.deadline, "rfs"),
            (self.patience_ends(), "link"),
            (self.two_since.map(|since| since + super::secondary::TWO_LIMIT), "two secondaries"),
            (self.rfs.outdate.map(|(_, since)| since + super::secondary::RESIGNING_LIMIT), "resignation"),
            (self.synced_until(), "syncdelta"),
            (self.consenting.map(|since| since + super::secondary::CONSENT_LIMIT), "consent"),
            (self.scripts.deadline(), "transition"),
            (self.vips.next_deadline(), "virtual address"),
            (self.advice.next_deadline(), "advice"),
            (self.rules.next, "failover rule"),
            (self.checkers.next_deadline(), "checker"),
            (self.loops.next_deadline(self.config.loops.interval), "age of the loop counter"),
            (self.reboot.and_then(Reboot::deadline), "reboot"),
            (self.errd_due(), "look at processes"),
        ];
        // What lies behind was looked at: only a later moment can bring something new.
        let later = candidates.into_iter().filter_map(|(at, name)| at.filter(|at| *at > self.now).map(|at| (at, name)));
        later.min_by_key(|(at, _)| *at)
    }

    /// Sends heartbeats: in turn on each lane, and at once on all when something changed or an answer is waited for.
    fn beat(&mut self, out: &mut Out) {
        if !self.config.mode.has_pair() {
            return;
        }
        let present = self.heartbeat();
        let changed = self.beaten.as_ref() != Some(&present);
        let urgent = self.is_urgent();
        let due = self.next_urgent.is_none_or(|at| at <= self.now);
        let prolonged = std::mem::take(&mut self.vips.prolonged);
        if changed || prolonged || (urgent && due) {
            self.pair.sent_on_all(self.now);
            self.beaten = Some(present.clone());
            self.send(None, present, out);
            self.next_urgent = urgent.then_some(self.now + URGENT);
            return;
        }
        if !urgent {
            self.next_urgent = None;
        }
        let lanes = self.pair.due(self.now);
        if lanes.len() == self.pair.lanes() && !lanes.is_empty() {
            self.send(None, present, out);
        } else {
            for lane in lanes {
                self.send(Some(lane), present.clone(), out);
            }
        }
    }

    fn send(&mut self, lane: Option<usize>, mut heartbeat: Heartbeat, out: &mut Out) {
        heartbeat.counter = self.pair.count();
        heartbeat.heard = self.pair.heard_counters();
        if self.farewell_wanted() && self.farewell.is_none() {
            self.farewell = Some((heartbeat.counter, self.now + super::steps::FAREWELL));
        }
        out.push(HeartEffect::SendHeartbeat { lane, body: heartbeat.encode() });
    }
}

/// What a command that starts the module asks of the synchronisation.
fn wish_of(first: Command) -> SyncWish {
    match first {
        Command::Primforce | Command::PrimFullsync | Command::SecondFullsync => SyncWish::FULL,
        Command::Secondforce(newer_than_s) => SyncWish { full: false, newer_than_s: Some(newer_than_s) },
        _ => SyncWish::default(),
    }
}

pub(super) fn log(out: &mut Out, event: Event) {
    out.push(HeartEffect::Log(event));
}

/// Whether the other node's daemon says that this heart there is dead and fenced.
pub(super) fn fences(fenced: Option<Fenced>, heart: Option<Incarnation>, epoch: Epoch) -> bool {
    fenced.is_some_and(|fenced| Some(fenced.heart) == heart && fenced.epoch == epoch)
}
