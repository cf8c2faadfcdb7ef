//! The daemon's loop: one place waits, one place changes anything.

use crate::admin::{self, Admin};
use crate::configure::{self, STALL_MIN};
use crate::event::{Event, Events, HeartEvent, Snapshot};
use crate::heart::own_program;
use crate::hearts::Hearts;
use crate::lanes::{Datagram, Lanes, Received, Refused};
use crate::load::Stamp;
use crate::marker::{Marker, Notes};
use crate::modules::Configured;
use crate::prerequisites;
use crate::ready::Ready;
use crate::run::DaemonArgs;
use crate::watchdog::Watchdog;
use hf_config::Cluster;
use hf_host::{Paths, clock};
use hf_node::daemon::{DaemonActor, DaemonInput, HeartExit};
use hf_seal::ClusterKey;
use hf_store::Store;
use hf_types::{Instant, LanName, ModuleName, ModuleState, NodeName, Ticket};
use hf_wire::bus::HeartToDaemon;
use hf_wire::inquiry::{Answer, Inquiry, Question};
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
const EVENTS: usize = 1024;

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
    /// Who waits for another node's answer, by ticket.
    inquiries: BTreeMap<u64, oneshot::Sender<Answer>>,
    answering: Arc<tokio::sync::Semaphore>,
    pub(crate) answers: BTreeMap<Ticket, oneshot::Sender<Result<(), String>>>,
    /// Set when the loop is to end.
    pub(crate) exit: bool,
    pub(crate) given: Option<NodeName>,
    /// Signature and networks of the cluster configuration that this daemon goes by.
    pub(crate) applied: Option<(String, Cluster)>,
    /// The key that this daemon goes by, and whether the one before is still good.
    pub(crate) key: Option<ClusterKey>,
    pub(crate) handing_over: bool,
    /// A name in cluster.xml has no address yet; when it was looked up last.
    pub(crate) names_missing: bool,
    pub(crate) names_tried: Option<Instant>,
    inbox: mpsc::Receiver<Event>,
    pub(crate) datagrams: (mpsc::Sender<Datagram>, mpsc::Receiver<Datagram>),
    signals: Signals,
    tickets: u64,
    pub(crate) stamp: Stamp,
    pub(crate) stall_limit: Duration,
    last_woken: Instant,
    last_round: Instant,
    last_told: Instant,
    pub(crate) told: Refused,
    /// What was published of each module on each node.
    pub(crate) states: BTreeMap<(NodeName, ModuleName), ModuleState>,
    watchdog: Watchdog,
    /// The listener for health checks.
    pub(crate) ready: Ready,
    /// Where it listens.
    pub(crate) ready_port: u16,
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
    pub fn new(paths: Paths, args: DaemonArgs, store: Store) -> std::io::Result<Shell> {
        let (events, inbox) = mpsc::channel(EVENTS);
        let DaemonArgs { node: given, ready_port } = args;
        let stamp = Stamp::of(&paths);
        let me = hf_host::cluster::Identity::of_this_machine(given.clone()).provisional();
        let unconfigured = configure::config(&me, None, &BTreeMap::new(), Vec::new());
        let now = clock::now();
        Ok(Shell {
            notes: Notes::start(paths.clone())?,
            hearts: Hearts::new(paths.clone(), own_program(&paths), events.clone()),
            actor: DaemonActor::new(unconfigured),
            modules: BTreeMap::new(),
            lanes: Lanes::none(),
            inquiries: BTreeMap::new(),
            answering: Arc::new(tokio::sync::Semaphore::new(1)),
            answers: BTreeMap::new(),
            exit: false,
            applied: None,
            key: None,
            handing_over: false,
            names_missing: false,
            names_tried: None,
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
            states: BTreeMap::new(),
            watchdog: Watchdog::from_environment(),
            ready: Ready::start(&paths, own_program(&paths), ready_port, events.clone()),
            ready_port,
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
            ready_port: self.ready_port,
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
                    self.heard(received);
                }
            }
            Woken::Terminate => {
                self.tell("asked to end: stopping every module");
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
            Event::Tell(text) => self.tell(&text),
            Event::Look(answer) => {
                let snapshot = self.snapshot();
                // Who asked may be gone.
                let _gone = answer.send(snapshot);
            }
            Event::Inquire { node, question, answer } => self.inquire(&node, question, answer),
            Event::Answered { node, lan, answer } => {
                self.lanes.send(&node, &lan, &Inquiry::Answer(answer).encode());
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

    fn heard(&mut self, received: Received) {
        let Received { from, lan, body } = received;
        match Inquiry::decode(&body) {
            Some(Inquiry::Question(question)) => self.answer_inquiry(from, lan, question),
            Some(Inquiry::Answer(answer)) => {
                // One LAN was quicker, or who asked is gone.
                if let Some(waiting) = self.inquiries.remove(&answer.ticket) {
                    let _gone = waiting.send(answer);
                }
            }
            None => self.feed(DaemonInput::Membership { from, lan, body }),
        }
    }

    /// Asks on every network; asked again with the same ticket, it is the same question.
    fn inquire(&mut self, node: &NodeName, question: Question, answer: oneshot::Sender<Answer>) {
        self.inquiries.retain(|_, waiting| !waiting.is_closed());
        self.inquiries.insert(question.ticket, answer);
        let body = Inquiry::Question(question).encode();
        for lan in self.lanes.names() {
            self.lanes.send(node, &lan, &body);
        }
    }

    /// Away from the loop, one question at a time: another one is as good as lost meanwhile.
    fn answer_inquiry(&mut self, node: NodeName, lan: LanName, question: Question) {
        let Ok(turn) = self.answering.clone().try_acquire_owned() else { return };
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let answer = prerequisites::answer(&question);
            // The loop only goes away with the whole daemon.
            let _gone = events.blocking_send(Event::Answered { node, lan, answer });
            drop(turn);
        });
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            me: self.me.clone(),
            status: self.actor.status(),
            running: self.hearts.living(),
            configured: self.actor.cluster_modules(),
        }
    }

    fn take_heart(&mut self, module: ModuleName, run: u64, event: HeartEvent) {
        if !self.hearts.is_current(&module, run) {
            return;
        }
        match event {
            HeartEvent::Connected(outbox) => self.hearts.connected(&module, outbox),
            HeartEvent::Message(HeartToDaemon::Bell) => {
                self.store.ingest(&module, &self.paths.module_run(&module));
            }
            HeartEvent::Message(message) => {
                self.note(&module, &message);
                self.feed(DaemonInput::Heart { module, message });
            }
            HeartEvent::Gone { stopped } => self.heart_gone(module, stopped),
        }
    }

    /// Whether the module is meant to run on.
    fn note(&mut self, module: &ModuleName, message: &HeartToDaemon) {
        if let HeartToDaemon::Stopped { restart: None, reboot, .. } = message {
            let halted = *reboot || self.actor.is_closing();
            self.notes.mark(module, halted.then_some(Marker::Halted));
        }
    }

    fn heart_gone(&mut self, module: ModuleName, stopped: bool) {
        self.hearts.forget(&module);
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
        self.look_up_missing_names(now);
        self.end_hand_over();
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
}
