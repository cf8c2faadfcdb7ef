//! The daemon's loop: one place waits, one place changes anything.

use crate::admin::{self, Admin};
use crate::event::{Event, Events, HeartEvent, Loaded, Snapshot};
use crate::heart::own_program;
use crate::hearts::Hearts;
use crate::lanes::{Datagram, Lanes, Refused};
use crate::load::{Stamp, load};
use crate::marker::{self, Marker, Notes};
use crate::modules::{Configured, OWN_LOG};
use crate::watchdog::Watchdog;
use hf_config::Boot;
use hf_host::files::with_causes;
use hf_host::{Paths, clock, random};
use hf_node::daemon::{DaemonActor, DaemonConfig, DaemonInput, HeartExit};
use hf_store::{ResourceRow, Store};
use hf_types::{
    Caller, Command, Event as LogEvent, Incarnation, Instant, LanName, Level, LogLine, ModuleName, NodeName, Resource,
    Ticket,
};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// The loop looks around at least this often.
const TICK: Duration = Duration::from_millis(250);
/// Files and rings are looked at this often even if nobody rings.
const ROUND: Duration = Duration::from_secs(1);
/// Refused datagrams are told at most this often.
const TELL_REFUSED: Duration = Duration::from_secs(60);
/// A standstill shorter than this is not worth a word, whatever the time-outs.
const STALL_MIN: Duration = Duration::from_millis(300);
const EVENTS: usize = 1024;
/// Reference 004, 12.1.3, while no cluster is configured.
const PULSE: Duration = Duration::from_millis(700);

/// Everything that the loop owns.
pub struct Shell {
    pub(crate) paths: Paths,
    pub(crate) me: NodeName,
    pub(crate) actor: DaemonActor,
    pub(crate) modules: BTreeMap<ModuleName, Configured>,
    pub(crate) lanes: Lanes,
    pub(crate) hearts: Hearts,
    pub(crate) store: Store,
    pub(crate) notes: Notes,
    pub(crate) events: Events,
    pub(crate) answers: BTreeMap<Ticket, oneshot::Sender<Result<(), String>>>,
    /// Modules that the actor was told to take down with the machine.
    pub(crate) shutting_down: bool,
    /// Set when the loop is to end.
    pub(crate) exit: bool,
    given: Option<NodeName>,
    signature: Option<String>,
    inbox: mpsc::Receiver<Event>,
    datagrams: (mpsc::Sender<Datagram>, mpsc::Receiver<Datagram>),
    signals: Signals,
    tickets: u64,
    stamp: Stamp,
    stall_limit: Duration,
    last_woken: Instant,
    last_round: Instant,
    last_told: Instant,
    told: Refused,
    resources: BTreeMap<ModuleName, Vec<Resource>>,
    watchdog: Watchdog,
}

struct Signals {
    terminate: Signal,
    leave: Signal,
    reload: Signal,
}

enum Woken {
    Event(Event),
    Datagram(Datagram),
    Terminate,
    Leave,
    Reload,
    Time,
}

impl Shell {
    /// Reads what is configured. Nothing is sent or answered yet.
    pub fn new(paths: Paths, given: Option<NodeName>, store: Store) -> std::io::Result<Shell> {
        let (events, inbox) = mpsc::channel(EVENTS);
        let stamp = Stamp::of(&paths);
        let me = hf_host::cluster::Identity::of_this_machine(given.clone()).provisional();
        let unconfigured = config(&me, None, &BTreeMap::new(), Vec::new());
        let now = clock::now();
        Ok(Shell {
            notes: Notes::start(paths.clone())?,
            hearts: Hearts::new(paths.clone(), own_program(&paths), events.clone()),
            actor: DaemonActor::new(unconfigured),
            modules: BTreeMap::new(),
            lanes: Lanes::none(),
            answers: BTreeMap::new(),
            shutting_down: false,
            exit: false,
            signature: None,
            datagrams: mpsc::channel(EVENTS),
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                leave: signal(SignalKind::user_defined2())?,
                reload: signal(SignalKind::hangup())?,
            },
            tickets: 0,
            stall_limit: STALL_MIN,
            last_woken: now,
            last_round: now,
            last_told: now,
            told: Refused::default(),
            resources: BTreeMap::new(),
            watchdog: Watchdog::from_environment(),
            paths,
            me,
            store,
            events,
            given,
            inbox,
            stamp,
        })
    }

    /// Runs until the actor or an administrator ends it.
    pub async fn run(mut self, listener: UnixListener) {
        self.begin();
        let admin = Arc::new(Admin {
            paths: self.paths.clone(),
            given: self.given.clone(),
            events: self.events.clone(),
            store: self.store.clone(),
            changing: tokio::sync::Mutex::new(()),
        });
        let server = tokio::spawn(admin::serve(listener, admin));
        self.watchdog.ready();
        while !self.exit {
            let woken = self.wait(clock::now()).await;
            self.notice_standstill();
            self.take(woken);
            self.look_around();
        }
        server.abort();
        self.watchdog.stopping();
    }

    /// Takes over what is there: configuration, hearts that live, and what a boot asks for.
    fn begin(&mut self) {
        let loaded = load(&self.paths, self.given.clone());
        let config = self.take_over(loaded);
        self.actor = DaemonActor::new(config);
        let boot = clock::boot_id();
        let booted = std::fs::read_to_string(self.paths.daemon_boot()).map_or(true, |text| text.trim() != boot);
        let living = self.hearts.adopt_all();
        let dead = if booted { Vec::new() } else { self.find_dead() };
        let incarnation = Incarnation(random::number());
        let adopted = living.into_iter().chain(dead.clone()).collect();
        self.feed(DaemonInput::Started { incarnation, adopted });
        for module in dead {
            self.feed(DaemonInput::HeartGone { module, exit: HeartExit::Died });
        }
        if booted {
            for (module, configured) in self.modules.clone() {
                self.boot_module(&module, &configured, &boot);
            }
        }
        self.notes.booted(&boot);
    }

    /// First start after a boot (reference 004, 13.2.3 `boot`).
    fn boot_module(&mut self, module: &ModuleName, configured: &Configured, boot: &str) {
        let marker = self.marker(module);
        if matches!(&marker, Some(Marker::Running { boot: of }) if of != boot) {
            self.log(Some(module), &LogEvent::PreviousHaltUnexpected);
            self.notes.mark(module, Some(Marker::Halted));
        }
        let wanted = match configured.boot() {
            Boot::On => true,
            Boot::Auto => marker.is_some(),
            Boot::Off | Boot::Ignore => false,
        };
        if !wanted {
            return self.notes.mark(module, None);
        }
        let (events, module) = (self.events.clone(), module.clone());
        let delay = Duration::from_millis(configured.config.service.boot_delay_ms);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let ask = crate::event::Ask::Control { module, command: Command::Start, by: Caller::boot() };
            let (answer, answered) = oneshot::channel();
            if events.send(Event::Ask { ask, answer }).await.is_ok()
                && let Ok(Err(why)) = answered.await
            {
                tracing::warn!("start at boot: {why}");
            }
        });
    }

    /// After a restart of the daemon alone: modules that were running and whose heart is gone without having removed its socket
    /// lost their heart meanwhile.
    fn find_dead(&self) -> Vec<ModuleName> {
        let without_heart = self.modules.keys().filter(|module| !self.hearts.lives(module));
        let (dead, stopped): (Vec<_>, Vec<_>) = without_heart
            .filter(|module| matches!(self.marker(module), Some(Marker::Running { .. })))
            .cloned()
            .partition(|module| self.paths.heart_socket(module).exists());
        for module in stopped {
            self.notes.mark(&module, None);
        }
        dead
    }

    fn marker(&self, module: &ModuleName) -> Option<Marker> {
        match marker::read(&self.paths, module) {
            Ok(marker) => marker,
            Err(error) => {
                self.tell(&with_causes(&error));
                None
            }
        }
    }

    /// The only place that waits.
    async fn wait(&mut self, now: Instant) -> Woken {
        let due = self.actor.next_deadline().map(|(at, _)| at.since(now));
        let patience = due.unwrap_or(TICK).min(TICK);
        tokio::select! {
            biased;
            Some(_) = self.signals.terminate.recv() => Woken::Terminate,
            Some(_) = self.signals.leave.recv() => Woken::Leave,
            Some(_) = self.signals.reload.recv() => Woken::Reload,
            Some(datagram) = self.datagrams.1.recv() => Woken::Datagram(datagram),
            Some(event) = self.inbox.recv() => Woken::Event(event),
            () = tokio::time::sleep(patience) => Woken::Time,
        }
    }

    /// The loop never sleeps longer than a tick: more means that this process stood still, and everything that it counts as
    /// silence of others may be its own.
    fn notice_standstill(&mut self) {
        let now = clock::now();
        let before = std::mem::replace(&mut self.last_woken, now);
        let over = now.since(before).saturating_sub(TICK);
        if over > self.stall_limit {
            let for_ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX);
            self.feed(DaemonInput::Stalled { for_ms });
        }
    }

    fn take(&mut self, woken: Woken) {
        match woken {
            Woken::Event(event) => self.take_event(event),
            Woken::Datagram(datagram) => {
                if let Some(received) = self.lanes.receive(&datagram) {
                    self.feed(DaemonInput::Membership { from: received.from, lan: received.lan, body: received.body });
                }
            }
            Woken::Terminate => {
                self.tell("asked to end: stopping every module");
                self.shutting_down = true;
                self.feed(DaemonInput::Shutdown);
            }
            Woken::Leave => {
                self.tell("asked to leave: the modules run on");
                self.exit = true;
            }
            Woken::Reload => self.reload(),
            Woken::Time => {}
        }
        let now = clock::now();
        if self.actor.next_deadline().is_some_and(|(at, _)| at <= now) {
            self.feed(DaemonInput::Timer);
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.feed(input),
            Event::Heart { module, run, event } => self.take_heart(module, run, event),
            Event::Ask { ask, answer } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.answers.insert(ticket, answer);
                self.feed(ask.into_input(ticket));
            }
            Event::Look(answer) => {
                let snapshot = self.snapshot();
                // Who asked may be gone.
                let _gone = answer.send(snapshot);
            }
            Event::Loaded { loaded, done } => {
                self.stamp = Stamp::of(&self.paths);
                self.apply(*loaded);
                if let Some(done) = done {
                    let _gone = done.send(());
                }
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { status: self.actor.status(), running: self.hearts.living() }
    }

    fn take_heart(&mut self, module: ModuleName, run: u64, event: HeartEvent) {
        if !self.hearts.is_current(&module, run) {
            return;
        }
        match event {
            HeartEvent::Connected(outbox) => self.hearts.connected(&module, outbox),
            HeartEvent::Message(HeartToDaemon::Bell) => {
                self.store.ingest(&module, &self.paths.module_run(&module));
                self.hearts.send(&module, &DaemonToHeart::RingBell);
            }
            HeartEvent::Message(message) => {
                self.note(&module, &message);
                self.feed(DaemonInput::Heart { module, message });
            }
            HeartEvent::Gone { stopped } => self.heart_gone(module, stopped),
        }
    }

    /// History of resources, and whether the module is meant to run on.
    fn note(&mut self, module: &ModuleName, message: &HeartToDaemon) {
        match message {
            HeartToDaemon::Status { status, .. } => self.note_resources(module, &status.resources),
            HeartToDaemon::Stopped { restart: None } => {
                self.notes.mark(module, self.shutting_down.then_some(Marker::Halted));
            }
            HeartToDaemon::Stopped { .. } | HeartToDaemon::Bell | HeartToDaemon::Answer { .. } => {}
        }
    }

    fn note_resources(&mut self, module: &ModuleName, resources: &[Resource]) {
        let before = self.resources.insert(module.clone(), resources.to_vec());
        let before = before.unwrap_or_default();
        for resource in resources.iter().filter(|now| !before.contains(now)) {
            let row = ResourceRow {
                at_us: clock::wall_us(),
                name: resource.name.clone(),
                value: resource.value.clone(),
                by: resource.by.clone(),
            };
            self.store.add_resource(module, row);
        }
    }

    fn heart_gone(&mut self, module: ModuleName, stopped: bool) {
        self.hearts.forget(&module);
        self.resources.remove(&module);
        self.store.ingest(&module, &self.paths.module_run(&module));
        let exit = if stopped { HeartExit::Orderly } else { HeartExit::Died };
        self.feed(DaemonInput::HeartGone { module, exit });
    }

    /// Gives the actor one input and runs what it wants done.
    pub(crate) fn feed(&mut self, input: DaemonInput) {
        let effects = self.actor.handle(clock::now(), input);
        for effect in effects {
            self.run_effect(effect);
        }
    }

    /// Goes by a configuration from the disk.
    fn apply(&mut self, loaded: Loaded) {
        let config = self.take_over(loaded);
        self.feed(DaemonInput::Reconfigured(config));
    }

    /// Opens what the configuration asks for; what the actor is to decide by.
    fn take_over(&mut self, loaded: Loaded) -> DaemonConfig {
        for problem in &loaded.problems {
            self.tell(problem);
        }
        self.modules = loaded.modules.into_iter().collect();
        let signature = loaded.member.as_ref().map(|member| member.signature.clone());
        if signature != self.signature {
            // Old sockets are closed before new ones are bound to the same ports.
            self.lanes = Lanes::none();
            self.told = Refused::default();
            if let Some(member) = &loaded.member {
                let (lanes, problems) = Lanes::open(member, &self.datagrams.0);
                self.lanes = lanes;
                problems.iter().for_each(|problem| self.tell(problem));
            }
            self.signature = signature;
        }
        if let Some(member) = &loaded.member {
            self.me = member.me.clone();
        }
        let member = loaded.member.as_ref();
        let config = config(&self.me, member, &self.modules, self.lanes.names());
        let silence = config.pulse * config.mlost_count.min(config.slost_count);
        self.stall_limit = (silence / 3).max(STALL_MIN);
        config
    }

    /// Reads the disk again, away from the loop.
    fn reload(&mut self) {
        self.stamp = Stamp::of(&self.paths);
        let (paths, given, events) = (self.paths.clone(), self.given.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let loaded = Box::new(load(&paths, given));
            // The loop only goes away with the whole daemon.
            let _gone = events.blocking_send(Event::Loaded { loaded, done: None });
        });
    }

    fn look_around(&mut self) {
        let now = clock::now();
        self.watchdog.alive(now);
        self.answers.retain(|_, answer| !answer.is_closed());
        if now.since(self.last_round) < ROUND {
            return;
        }
        self.last_round = now;
        if Stamp::of(&self.paths) != self.stamp {
            self.reload();
        }
        for module in self.hearts.living() {
            self.store.ingest(&module, &self.paths.module_run(&module));
        }
        if now.since(self.last_told) >= TELL_REFUSED || self.told == Refused::default() {
            self.tell_refused(now);
        }
    }

    fn tell_refused(&mut self, now: Instant) {
        let refused = self.lanes.refused();
        if refused == self.told {
            return;
        }
        (self.told, self.last_told) = (refused, now);
        self.tell(&format!(
            "refused datagrams of the membership so far: {} with a bad seal or replayed, {} from addresses that are no node's",
            refused.bad, refused.strangers
        ));
    }

    /// A line in the daemon's own log.
    pub(crate) fn tell(&self, text: &str) {
        self.log(None, &LogEvent::Text(text.to_owned()));
    }

    /// A line in a module's log, or in the daemon's own.
    pub(crate) fn log(&self, module: Option<&ModuleName>, event: &LogEvent) {
        let line = LogLine {
            at_us: clock::wall_us(),
            process: OWN_LOG.to_owned(),
            level: event.level(),
            counter: 0,
            text: event.to_string(),
        };
        match module {
            Some(module) => {
                tracing::info!(%module, "{}", line.text);
                self.store.add_line(module, line);
            }
            None => {
                match line.level {
                    Level::C => tracing::error!("{}", line.text),
                    _ => tracing::info!("{}", line.text),
                }
                if let Ok(own) = OWN_LOG.parse() {
                    self.store.add_line(&own, line);
                }
            }
        }
    }
}

/// What the actor decides by.
fn config(
    me: &NodeName,
    member: Option<&hf_host::cluster::Member>,
    modules: &BTreeMap<ModuleName, Configured>,
    lans: Vec<LanName>,
) -> DaemonConfig {
    let modules = modules.iter().map(|(module, configured)| configured.installed(module)).collect();
    let Some(member) = member else {
        return DaemonConfig {
            me: me.clone(),
            nodes: vec![me.clone()],
            lans,
            pulse: PULSE,
            mlost_count: 5,
            slost_count: 5,
            signature: String::new(),
            applied_us: 0,
            modules,
        };
    };
    let cluster = &member.cluster;
    let nodes = cluster.node_names().into_iter();
    DaemonConfig {
        me: me.clone(),
        nodes: nodes.filter_map(|name| name.parse().ok()).collect(), // checked when it was read
        lans,
        pulse: Duration::from_millis(cluster.pulse_ms),
        mlost_count: cluster.mlost_count,
        slost_count: cluster.slost_count,
        signature: member.signature.clone(),
        applied_us: member.applied_us,
        modules,
    }
}
