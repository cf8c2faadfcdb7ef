//! The loop: one place waits, one place asks the actor, one place runs effects.

use crate::application::Application;
use crate::checkers::Checkers;
use crate::errd::Processes;
use crate::event::Event;
use crate::lanes::{Lanes, Refused};
use crate::late;
use crate::loops::Keeper;
use crate::replication::Replication;
use crate::reread::Sources;
use crate::scripts::Scripts;
use crate::vips::Vips;
use hf_bus::Outbox;
use hf_host::{ProcessLog, clock, random, wake};
use hf_node::heart::{HeartActor, HeartConfig, HeartEffect, HeartInput};
use hf_types::{Instant, Ticket};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon, Reply};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub struct Shell {
    pub actor: HeartActor,
    pub lanes: Lanes,
    pub sources: Sources,
    /// What the actor goes by.
    pub config: HeartConfig,
    /// There is no key.
    pub insecure: bool,
    pub log: ProcessLog,
    pub scripts: Scripts,
    pub application: Application,
    pub processes: Processes,
    pub vips: Vips,
    pub checkers: Checkers,
    pub replication: Replication,
    pub loops: Keeper,
    /// Replicated directories, for an abort.
    pub dirs: Vec<String>,
    pub daemon: Option<(u64, Outbox)>,
    /// What a daemon that connects is told first.
    pub last_status: Option<HeartToDaemon>,
    /// Last words that no daemon was there for.
    pub untold: Option<HeartToDaemon>,
    /// When each resource took its value, microseconds since 1970 UTC.
    pub assigned: BTreeMap<String, i64>,
    pub answers: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    pub next_ticket: u64,
    pub inputs: VecDeque<HeartInput>,
    pub leaving: bool,
    pub watch: wake::Watch,
    pub reported: Reported,
}

/// How long a heart that has last words waits for a daemon that is being started again.
const DAEMON_WITHIN: Duration = Duration::from_secs(30);
/// Refused datagrams are told at most this often.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What was told of refused datagrams, and when.
#[derive(Default)]
pub struct Reported {
    refused: Refused,
    at: Instant,
}

/// Tickets of the heart's own socket count from here, so that they never meet the daemon's.
pub const OWN_TICKETS: u64 = 1 << 63;

impl Shell {
    /// Runs until the actor says that everything is stopped.
    pub async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        // What the start took is no stall.
        self.watch = wake::Watch::new(clock::now());
        while !self.leaving {
            self.work();
            if self.leaving {
                break;
            }
            let wake = self.wake_at();
            self.watch.sleeps_until(wake);
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = self.lanes.readable() => None,
                () = tokio::time::sleep(wake.since(clock::now())) => None,
            };
            self.notice_stall();
            // Before anything else, because whatever goes in is an occasion to judge a silence: a heartbeat that lies in the socket was heard.
            self.hear();
            if let Some(event) = event {
                self.take(event);
            }
            // Everything that is there goes in before the next deadline.
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
            self.report_refused();
        }
        self.replication.end_keeper();
        if let Some(message) = self.untold.take()
            && !late::tell(&message, &mut events, DAEMON_WITHIN).await
        {
            tracing::warn!("no daemon came: the module stays stopped");
        }
        self.last_words().await;
    }

    fn wake_at(&self) -> Instant {
        wake::at(self.actor.next_deadline().map(|(deadline, _)| deadline))
    }

    /// What stood still is told before anything else is decided, and what was said to it meanwhile next.
    fn notice_stall(&mut self) {
        if let Some(for_ms) = self.watch.late_ms(clock::now(), self.actor.stall_limit()) {
            let rest = std::mem::take(&mut self.inputs);
            self.inputs.push_back(HeartInput::Stalled { for_ms });
            self.hear();
            self.inputs.extend(rest);
        }
    }

    /// What lies in the sockets was heard.
    fn hear(&mut self) {
        while let Some((lane, body)) = self.lanes.receive() {
            self.inputs.push_back(HeartInput::Heartbeat { lane, body });
        }
    }

    fn report_refused(&mut self) {
        let (refused, now) = (self.lanes.refused(), clock::now());
        if refused != self.reported.refused && now.since(self.reported.at) >= REPORT_EVERY {
            self.reported = Reported { refused, at: now };
            let Refused { strangers, bad } = refused;
            let text =
                format!("Heartbeats dropped so far: {bad} with a bad seal or seen before, {strangers} from strangers");
            self.log.write(&hf_types::Event::Text(text));
        }
    }

    /// Feeds all inputs, and the deadline if it came, until there is nothing more to do.
    fn work(&mut self) {
        loop {
            self.notice_stall();
            if self.inputs.is_empty() && self.is_due() {
                // The work itself may have taken a while.
                self.hear();
            }
            let input = match self.inputs.pop_front() {
                Some(input) => input,
                None if self.is_due() => HeartInput::Timer,
                None => return,
            };
            for effect in self.actor.handle(clock::now(), input) {
                self.carry_out(effect);
            }
            if self.leaving {
                return;
            }
        }
    }

    fn is_due(&self) -> bool {
        self.actor.next_deadline().is_some_and(|(deadline, _)| deadline <= clock::now())
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Input(input) => {
                if let HeartInput::ScriptEnded { run, .. } | HeartInput::HandlerEnded { run, .. } = &input {
                    self.scripts.ended(*run);
                }
                self.inputs.push_back(input);
            }
            Event::DaemonUp { link, outbox } => {
                self.daemon = Some((link, outbox));
                if let Some(status) = self.last_status.clone() {
                    self.tell_daemon(&status);
                }
                self.tell_daemon(&HeartToDaemon::Bell);
            }
            Event::Daemon(DaemonToHeart::Reread { ticket }) => self.sources.reread(ticket),
            Event::Loaded { ticket, loaded } => self.go_by(ticket, loaded),
            Event::Daemon(message) => self.inputs.push_back(HeartInput::Daemon(message)),
            Event::DaemonDown { link } => {
                if self.daemon.as_ref().is_some_and(|(current, _)| *current == link) {
                    self.daemon = None;
                }
            }
            Event::RfsUp { link, outbox } => self.replication.connected(link, outbox),
            Event::Rfs { link, message } if self.replication.is_current(link) => {
                self.inputs.push_back(HeartInput::Rfs(message));
            }
            Event::Rfs { link, message } => tracing::debug!(link, ?message, "of an rfs that is gone"),
            Event::RfsDown { link } => self.replication.disconnected(link),
            Event::RfsExited { run, why } => {
                tracing::info!(why, "rfs ended");
                self.inputs.extend(self.replication.exited(run));
            }
            Event::Command { command, by, answer } => {
                let ticket = self.ticket(answer);
                self.inputs.push_back(HeartInput::Control { ticket, command, by });
            }
            Event::Set { assignment, answer } => {
                let ticket = self.ticket(answer);
                self.inputs.push_back(HeartInput::Set { ticket, assignment });
            }
            Event::Errd { order, by, answer } => {
                let ticket = self.ticket(answer);
                self.inputs.push_back(HeartInput::Errd { ticket, order, by });
            }
            Event::Answered { ticket, result } => self.answer(ticket, result),
            Event::VipProbed { address, question, found } => {
                self.inputs.extend(self.vips.probed(address, question, found));
            }
            Event::VipClaimed { address, by } => self.inputs.extend(self.vips.claimed(address, by)),
            Event::Network(event) => self.inputs.extend(self.vips.seen(&event)),
            Event::Print { level, by, text } => self.log.print(level, by, text),
            Event::Bell => self.tell_daemon(&HeartToDaemon::Bell),
        }
    }

    /// A ticket for somebody who waits at the heart's own socket.
    fn ticket(&mut self, answer: oneshot::Sender<Reply>) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.answers.insert(ticket, answer);
        ticket
    }

    fn carry_out(&mut self, effect: HeartEffect) {
        match effect {
            HeartEffect::SendHeartbeat { lane, body } => self.lanes.send(lane, &body),
            HeartEffect::ToDaemon(mut message) => {
                if let HeartToDaemon::Status { status, .. } = &mut message {
                    for resource in &mut status.resources {
                        resource.at_us = self.assigned.get(&resource.name).copied().unwrap_or_default();
                    }
                    self.last_status = Some(message.clone());
                }
                self.tell_daemon(&message);
            }
            HeartEffect::Answer { ticket, result } => self.answer(ticket, result),
            HeartEffect::ToRfs(message) => self.replication.send(&message),
            HeartEffect::SpawnRfs => self.replication.spawn(),
            HeartEffect::KillRfs { abort } => {
                let dirs = if abort { self.dirs.as_slice() } else { &[] };
                self.replication.kill(dirs);
            }
            HeartEffect::RunScript { run, script, args, timeout } => self.scripts.run(run, script, args, timeout),
            HeartEffect::RunHandler { run, handler } => self.scripts.run_handler(run, &handler),
            HeartEffect::LookAtProcesses { look, names } => self.processes.look(look, names),
            HeartEffect::ListProcesses { ticket, lines } => self.processes.list(ticket, lines),
            HeartEffect::KeepErrdOff { ticket, off } => self.processes.keep_off(ticket, off),
            HeartEffect::KillScript { run } => self.scripts.kill(run),
            HeartEffect::AskVip { address } => self.vips.ask_ahead(address),
            HeartEffect::SetVip { address, lifetime } => self.inputs.extend(self.vips.set(address, lifetime)),
            HeartEffect::RenewVip { address, lifetime } => self.inputs.extend(self.vips.renew(address, lifetime)),
            HeartEffect::AnnounceVip { address } => self.vips.announce(address),
            HeartEffect::CountConnections { address } => self.vips.count(address),
            HeartEffect::ClearVip { address } => {
                let input = self.vips.clear(address);
                self.inputs.push_back(input);
            }
            HeartEffect::StartChecker { run, checker } => self.checkers.start(run, *checker, &self.scripts),
            HeartEffect::StopChecker { resource } => self.checkers.stop(&resource),
            HeartEffect::ForgetSyncPolicy => self.sources.forget_sync_policy(),
            HeartEffect::KeepChecking { on } => self.sources.keep_checking(on),
            HeartEffect::Log(event) => self.log.write(&event),
            HeartEffect::SetResource { mut resource, history } => {
                resource.at_us = clock::wall_us();
                self.log.keep(&resource, history);
                self.assigned.insert(resource.name, resource.at_us);
            }
            HeartEffect::KeepLoops(kept) => self.loops.keep(kept),
            HeartEffect::LookAtLanes => self.inputs.push_back(HeartInput::LanesSeen(self.lanes.sights())),
            HeartEffect::Random => self.inputs.push_back(HeartInput::Random { value: random::number() }),
            HeartEffect::KillApplication => self.application.kill(),
            HeartEffect::Exit => self.leaving = true,
        }
    }

    pub(crate) fn tell_daemon(&mut self, message: &HeartToDaemon) {
        let sent = self.daemon.as_ref().map(|(_, outbox)| outbox.send(message));
        if let Some(Err(error)) = &sent {
            tracing::warn!(%error, "the daemon can't be told; it connects again");
            self.daemon = None;
        }
        if !matches!(sent, Some(Ok(()))) && late::matters(message) {
            self.untold = Some(message.clone());
        }
    }

    fn answer(&mut self, ticket: Ticket, result: Result<(), String>) {
        let Some(answer) = self.answers.remove(&ticket) else {
            return self.tell_daemon(&HeartToDaemon::Answer { ticket, result });
        };
        let reply = match result {
            Ok(()) => Reply::Done,
            Err(message) => Reply::Error { message, hint: None, exit_code: 1 },
        };
        drop(answer.send(reply)); // who asked may be gone
    }

    /// Lets the outboxes write what is queued, and no longer than that takes.
    async fn last_words(mut self) {
        self.daemon = None;
        self.answers.clear();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
