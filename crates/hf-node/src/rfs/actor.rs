use super::change::{Change, Writes};
use super::{RfsConfig, RfsEffect, RfsInput};
use hf_replica::engine::{EngineCommand, EngineEvent, Gate, PeerMessage, SyncCount};
use hf_replica::grant::Grant;
use hf_replica::{Relation, compare, is_up_to_date, summary};
use hf_types::{Epoch, Event, GenerationId, Incarnation, Instant, Record, RfsFault, Seq, Standing, UpToDate};
use hf_wire::bus::{HeartToRfs, RfsRole, RfsToHeart, SyncEvent, SyncProgress};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Version of what two cores say to each other; 1: the first.
const PEER_VERSION: u16 = 1;
/// How long after a failure the link or a synchronisation is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the other copy may take to say that it is ready for a synchronisation.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long the answer to a drain is waited for that nobody wants any more, when another one is wanted.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the other copy may take to accept the primary's role.
const HANDOVER_LIMIT: Duration = Duration::from_secs(3);
/// How long both links may take to turn round after a swap, before the new primary asks to go alone.
const TURN_LIMIT: Duration = Duration::from_secs(2);

/// Replication of one module on one node.
///
/// The order of durable writes and messages is that of docs/internals/mirror.md. Whatever the inputs are:
/// - the gate acknowledges alone only under a grant whose records are durable;
/// - the gate acknowledges in step only while the other copy has said that it follows, or before it may think so;
/// - a secondary is in step only after everything up to the end of a synchronisation is durable here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfsActor {
    pub(super) config: RfsConfig,
    now: Instant,
    incarnation: Incarnation,
    boot_id: String,
    /// As they are durably.
    records: Vec<Record>,
    pub(super) writes: Writes,
    /// What this rfs is to be; a hand-over can change it before the heart knows.
    wanted: RfsRole,
    /// The role that the heart gave last.
    ordered: RfsRole,
    mount: Mount,
    gate: Gate,
    epoch: Epoch,
    /// The grant in force: durable, and not over.
    alone: Option<Epoch>,
    /// The grant that is being made durable.
    granting: Option<Grant>,
    course: Course,
    link: Link,
    /// AskAlone was said and not answered.
    asked: bool,
    why_ask: RfsFault,
    /// The gate is held closed though there is a permission: no heart, or we stood still.
    held: bool,
    heart: bool,
    outdating: Option<GenerationId>,
    drains: Drains,
    /// Everything was drained for the heart, and nothing was admitted on purpose since: the role may be handed over.
    drained: bool,
    stopping: Option<bool>,
    retry_at: Option<Instant>,
    peer_seq: Seq,
    /// A record could not be written: what is on the disk now is not known, and nothing is written there any more.
    failed: Option<String>,
    said: Option<Said>,
}

/// What an rfs is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfsStatus {
    pub role: RfsRole,
    pub gate: Gate,
    /// As they are durably.
    pub records: Vec<Record>,
    pub link_up: bool,
    pub in_step: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Mount {
    No,
    Mounting,
    Yes,
    Unmounting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Link {
    Down,
    /// Hello went out.
    Up,
    /// Hello came in.
    Known,
}

/// Where the two copies are on their way to each other, from this node's point of view.
#[derive(Clone, Debug, PartialEq, Serialize)]
enum Course {
    /// Nothing is under way.
    None,
    /// Primary: `SyncBegin` was sent.
    Begun,
    /// Primary: comparing and copying.
    Copying,
    /// Primary: everything was sent, the gate is in step, "connected" in a new generation is being written.
    Connecting,
    /// Primary: `SyncEnd` was sent; the other copy may think itself up to date from here.
    Ending,
    /// Both follow each other.
    InStep,
    /// Former primary of a swap: in step and read-only, the other one has not taken the role yet.
    HandingOver { epoch: Epoch },
    /// New primary of a swap: the link is being turned round.
    Turning { epoch: Epoch },
    /// Secondary: "half" is being written.
    Readying { epoch: Epoch },
    /// Secondary: receiving.
    Receiving { epoch: Epoch },
    /// Secondary: `SyncEnd` came; waiting until everything is durable.
    Settling,
    /// Secondary: taking the primary's role.
    TakingOver,
}

/// What a drain was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
enum Drain {
    Heart,
    SyncEnd {
        epoch: Epoch,
        generation: GenerationId,
        history: Vec<GenerationId>,
        count: SyncCount,
    },
    Handover {
        epoch: Epoch,
    },
    /// What was received as secondary has to be durable before this copy calls itself up to date for good.
    Grant(Grant),
}

/// The drains that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Drains {
    under_way: Option<(Drain, Instant)>,
    /// What the one under way was for is over.
    unwanted: bool,
    waiting: VecDeque<Drain>,
}

impl Drains {
    fn given_up_at(&self) -> Option<Instant> {
        let (_, since) = self.under_way.as_ref()?;
        (self.unwanted && !self.waiting.is_empty()).then(|| *since + DRAIN_PATIENCE)
    }
}

/// The status that the heart has.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Said {
    role: RfsRole,
    records: Vec<Record>,
    link_up: bool,
    in_step: bool,
    alone: Option<Epoch>,
}

type Out = Vec<RfsEffect>;

impl RfsActor {
    /// An rfs that was not started yet: [`RfsInput::Started`] must come first.
    pub fn new(config: RfsConfig) -> RfsActor {
        RfsActor {
            config,
            incarnation: Incarnation(0),
            boot_id: String::new(),
            records: Vec::new(),
            writes: Writes::default(),
            wanted: RfsRole::Idle,
            ordered: RfsRole::Idle,
            mount: Mount::No,
            gate: Gate::Closed,
            epoch: Epoch(0),
            alone: None,
            granting: None,
            course: Course::None,
            link: Link::Down,
            asked: false,
            why_ask: RfsFault::LinkDown,
            held: false,
            heart: true,
            outdating: None,
            drains: Drains::default(),
            drained: false,
            now: Instant(0),
            stopping: None,
            retry_at: None,
            peer_seq: Seq(0),
            failed: None,
            said: None,
        }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, now: Instant, input: RfsInput) -> Vec<RfsEffect> {
        let mut out = Vec::new();
        self.now = self.now.max(now);
        match input {
            RfsInput::Started { incarnation } => self.incarnation = incarnation,
            RfsInput::Heart(message) => {
                self.heart = true;
                self.on_heart(message, &mut out);
            }
            RfsInput::HeartGone => self.on_heart_gone(&mut out),
            // The gate opens when that heart has said again what this rfs is to be.
            RfsInput::HeartBack => self.say_status_again(),
            RfsInput::Engine(event) => self.on_engine(now, event, &mut out),
            RfsInput::Timer => self.on_timer(now, &mut out),
            RfsInput::Stalled { .. } => self.on_stall(&mut out),
        }
        self.tend_drains(&mut out);
        self.ask(&mut out);
        self.say_status(&mut out);
        out
    }

    /// When [`RfsInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let drain = self.drains.given_up_at().map(|at| (at, "drain"));
        let retry = self.retry_at.map(|at| (at, "retry"));
        retry.into_iter().chain(drain).min_by_key(|(at, _)| *at)
    }

    /// Role, gate, records.
    pub fn status(&self) -> RfsStatus {
        RfsStatus {
            role: self.role(),
            gate: self.gate,
            records: self.records.clone(),
            link_up: self.link != Link::Down,
            in_step: self.in_step(),
        }
    }

    fn role(&self) -> RfsRole {
        match self.mount {
            Mount::Yes => self.wanted,
            Mount::No | Mount::Mounting | Mount::Unmounting => RfsRole::Idle,
        }
    }

    fn is_primary(&self) -> bool {
        matches!(self.wanted, RfsRole::Primary { .. })
    }

    fn in_step(&self) -> bool {
        match self.course {
            Course::InStep | Course::HandingOver { .. } => true,
            // It was in step as secondary and nothing was taken away from it.
            Course::TakingOver => true,
            _ => false,
        }
    }

    // ---- the heart -------------------------------------------------------------------------------------------------

    fn on_heart(&mut self, message: HeartToRfs, out: &mut Out) {
        let before = self.ordered;
        if let HeartToRfs::Become(role) = &message {
            self.ordered = *role;
        }
        match message {
            HeartToRfs::Become(RfsRole::Idle) => self.become_idle(out),
            HeartToRfs::Become(RfsRole::Primary { epoch }) => self.become_primary(epoch, out),
            HeartToRfs::Become(RfsRole::Secondary) => self.become_secondary(before, out),
            HeartToRfs::Grant { epoch, generation, why } => self.on_grant(Grant { epoch, generation, why }, out),
            HeartToRfs::Deny { .. } => {}
            HeartToRfs::Fence { epoch } => self.on_fence(epoch, out),
            HeartToRfs::WriteOutdated { since } => self.write_outdated(since, out),
            HeartToRfs::Drain => self.on_drain(out),
            HeartToRfs::Stop { orderly } => self.on_stop(orderly, out),
        }
    }

    fn become_idle(&mut self, out: &mut Out) {
        self.wanted = RfsRole::Idle;
        self.leave_course(out);
        engine(out, EngineCommand::Hangup);
        self.unmount(out);
    }

    fn become_primary(&mut self, epoch: Epoch, out: &mut Out) {
        let was = self.wanted;
        self.drained = false;
        self.wanted = RfsRole::Primary { epoch };
        self.epoch = self.epoch.max(epoch);
        match was {
            RfsRole::Primary { .. } => self.reopen_in_step(out),
            RfsRole::Idle => self.mount(out),
            RfsRole::Secondary => {
                // Takeover: nothing more of the former primary is applied.
                self.leave_course(out);
                engine(out, EngineCommand::Hangup);
                self.set_gate(Gate::Closed, out);
                self.mount(out);
            }
        }
    }

    /// The heart is back and says the same as before: in step needs no grant.
    fn reopen_in_step(&mut self, out: &mut Out) {
        if self.held && self.alone.is_none() {
            self.held = false;
            if matches!(self.course, Course::InStep | Course::Ending | Course::Connecting) {
                self.set_gate(Gate::InStep { epoch: self.epoch }, out);
            }
        }
    }

    fn become_secondary(&mut self, before: RfsRole, out: &mut Out) {
        match self.wanted {
            RfsRole::Secondary => {}
            RfsRole::Idle => {
                self.wanted = RfsRole::Secondary;
                self.mount(out);
            }
            // Repeated while the other core made this one primary: that order was meant for a secondary.
            RfsRole::Primary { .. } if before == RfsRole::Secondary => {}
            RfsRole::Primary { .. } if self.drained && self.course == Course::InStep && self.link == Link::Known => {
                let epoch = Epoch(self.epoch.0 + 1);
                self.set_gate(Gate::ReadOnly, out);
                self.course = Course::HandingOver { epoch };
                self.drained = false;
                self.write(Change::HandedOver { epoch }, out);
            }
            // The hand-over runs already: the heart repeats itself.
            RfsRole::Primary { .. } if matches!(self.course, Course::HandingOver { .. }) => {}
            RfsRole::Primary { .. } => {
                // The link broke since the drain: the heart hears of it and stops instead.
                to_heart(out, RfsToHeart::Fault(RfsFault::LinkDown));
            }
        }
    }

    fn on_grant(&mut self, grant: Grant, out: &mut Out) {
        if !self.is_primary() || self.stopping.is_some() || self.outdating.is_some() {
            return;
        }
        let same = self.records.iter().all(|record| record.generation == grant.generation);
        let known = self.records.iter().map(|record| record.epoch).max();
        if self.records.iter().any(|record| record.history.contains(&grant.generation)) {
            // The copies were in step since that permission was given: the heart doesn't know yet.
            self.asked = false;
            self.reopen_in_step(out);
            return;
        }
        if same && !self.records.is_empty() {
            let alone = self
                .records
                .iter()
                .all(|record| matches!(record.standing, Standing::AloneConfirmed | Standing::AloneUnconfirmed));
            let busy =
                matches!(self.course, Course::Connecting | Course::Ending | Course::InStep) || !self.writes.is_idle();
            // After "connected" was written this grant is over; another one must come.
            self.asked = false;
            if alone && !busy {
                self.open_alone(grant.epoch, out);
            } else {
                self.reopen_in_step(out);
            }
            return;
        }
        if self.granting.is_some_and(|granting| granting.epoch >= grant.epoch)
            || known.is_some_and(|known| grant.epoch < known)
        {
            return;
        }
        if matches!(self.course, Course::Connecting | Course::Ending | Course::InStep | Course::Turning { .. }) {
            // The link may still carry what the other copy acknowledges: nothing of it counts any more.
            engine(out, EngineCommand::Hangup);
            self.link = Link::Down;
        }
        self.leave_course(out);
        self.set_gate(Gate::Closed, out);
        self.granting = Some(grant);
        self.asked = false;
        if self.records.iter().any(|record| record.up_to_date != UpToDate::Yes) {
            self.drain(Drain::Grant(grant), out);
        } else {
            self.write(Change::Alone(grant), out);
        }
    }

    fn open_alone(&mut self, epoch: Epoch, out: &mut Out) {
        self.granting = None;
        self.asked = false;
        self.epoch = self.epoch.max(epoch);
        self.alone = Some(self.epoch);
        if !self.heart || self.mount != Mount::Yes {
            return;
        }
        self.held = false;
        if matches!(self.course, Course::Begun | Course::Copying) {
            self.set_gate(Gate::Syncing { epoch: self.epoch }, out);
            return;
        }
        self.set_gate(Gate::Alone { epoch: self.epoch }, out);
        if self.link != Link::Down {
            // A link from before the permission: begin it anew, so that the other side's hello is a present one.
            self.turn_link(out);
        }
        engine(out, EngineCommand::Connect);
    }

    fn on_fence(&mut self, epoch: Epoch, out: &mut Out) {
        if self.granting.is_some_and(|granting| granting.epoch <= epoch) {
            self.granting = None;
        }
        if self.is_primary() && self.epoch <= epoch {
            self.leave_course(out);
            self.set_gate(Gate::Closed, out);
            engine(out, EngineCommand::Hangup);
            self.link = Link::Down;
        }
    }

    fn write_outdated(&mut self, since: GenerationId, out: &mut Out) {
        let durable = |record: &Record| record.standing == Standing::Outdated { since };
        if !self.records.is_empty() && self.records.iter().all(durable) && self.outdating.is_none() {
            to_heart(out, RfsToHeart::Outdated { since });
            return;
        }
        // After a hand-over that the heart hasn't heard of yet, this order was meant for a secondary.
        let behind = self.is_primary() && self.ordered == RfsRole::Secondary;
        if self.outdating == Some(since) || self.went_on_from(since) || behind {
            return;
        }
        self.outdating = Some(since);
        self.granting = None;
        self.leave_course(out);
        if self.is_primary() {
            self.set_gate(Gate::Closed, out);
        }
        self.write(Change::Outdated { since }, out);
    }

    /// This copy has left that generation behind: whoever asks doesn't know it yet.
    fn went_on_from(&self, since: GenerationId) -> bool {
        summary(&self.records, &self.boot_id).is_some_and(|copy| {
            copy.generation != since && copy.history.contains(&since) && copy.up_to_date && copy.consistent
        })
    }

    fn on_drain(&mut self, out: &mut Out) {
        if self.mount == Mount::Yes {
            self.drain(Drain::Heart, out);
        } else {
            to_heart(out, RfsToHeart::Drained);
        }
    }

    fn drain(&mut self, purpose: Drain, out: &mut Out) {
        self.drains.waiting.push_back(purpose);
        self.tend_drains(out);
    }

    /// One drain at a time, because answers don't say to which they belong. One that nobody wants any more is waited for
    /// only so long: a disk that failed may never answer.
    fn tend_drains(&mut self, out: &mut Out) {
        if self.drains.given_up_at().is_some_and(|at| at <= self.now) {
            self.drains.under_way = None;
        }
        while self.drains.under_way.is_none() {
            let Some(purpose) = self.drains.waiting.pop_front() else {
                break;
            };
            if self.is_wanted(&purpose) {
                self.drains.under_way = Some((purpose, self.now));
                engine(out, EngineCommand::Drain);
            }
        }
        let unwanted = self.drains.under_way.as_ref().is_some_and(|(purpose, _)| !self.is_wanted(purpose));
        self.drains.unwanted = unwanted;
    }

    fn is_wanted(&self, purpose: &Drain) -> bool {
        match purpose {
            Drain::Heart => self.stopping.is_none() && self.is_primary(),
            Drain::SyncEnd { .. } => self.course == Course::Settling,
            Drain::Handover { .. } => self.course == Course::TakingOver,
            Drain::Grant(grant) => self.granting == Some(*grant),
        }
    }

    fn on_stop(&mut self, orderly: bool, out: &mut Out) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(orderly);
        self.wanted = RfsRole::Idle;
        self.leave_course(out);
        self.set_gate(Gate::Closed, out);
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
        if self.mount == Mount::No {
            self.write(Change::Stopped { orderly }, out);
        } else {
            self.unmount(out);
        }
    }

    fn on_heart_gone(&mut self, out: &mut Out) {
        self.heart = false;
        self.said = None;
        self.asked = false;
        if self.is_primary() {
            self.held = true;
            self.set_gate(Gate::Closed, out);
        }
    }

    /// We stood still: before anything is acknowledged alone, the heart must have listened (REPLICATION P7).
    fn on_stall(&mut self, out: &mut Out) {
        if self.is_primary() && self.alone.is_some() && self.gate != Gate::Closed {
            self.held = true;
            self.why_ask = RfsFault::Stalled;
            self.set_gate(Gate::Closed, out);
        }
    }

    // ---- the data plane --------------------------------------------------------------------------------------------

    fn on_engine(&mut self, now: Instant, event: EngineEvent, out: &mut Out) {
        match event {
            EngineEvent::Started { records, boot_id, .. } => {
                self.epoch = records.iter().map(|record| record.epoch).max().unwrap_or_default();
                self.records = records;
                self.boot_id = boot_id;
            }
            EngineEvent::Mounted => self.on_mounted(out),
            EngineEvent::MountFailed { why } => self.on_mount_failed(why, out),
            EngineEvent::Unmounted => self.on_unmounted(out),
            EngineEvent::LinkUp => self.on_link_up(out),
            EngineEvent::LinkDown { why } => self.on_link_down(now, &why, out),
            EngineEvent::Received(message) => self.on_peer(now, message, out),
            EngineEvent::Unanswered { .. } => self.link_failed(now, RfsFault::Stalled, out),
            EngineEvent::Drained { seq } => self.on_drained(seq, out),
            EngineEvent::SyncProgress(count) => {
                to_heart(out, RfsToHeart::Sync(SyncEvent::Progress(self.progress(count))));
            }
            EngineEvent::SyncSent { count, .. } if self.course == Course::Copying => {
                self.alone = None;
                self.course = Course::Connecting;
                // In step needs no permission to go alone; a missing heart is another matter.
                self.held &= !self.heart;
                self.set_gate(Gate::InStep { epoch: self.epoch }, out);
                let epoch = self.epoch;
                self.write(Change::Connected { epoch, count }, out);
            }
            EngineEvent::SyncSent { .. } => {}
            EngineEvent::SyncFailed { why } => self.on_sync_failed(now, why, out),
            EngineEvent::Watermark { seq } => self.peer_seq = seq,
            EngineEvent::RecordsWritten { token } => {
                if let Some((records, change)) = self.writes.written(token) {
                    self.records = records;
                    self.after(now, change, out);
                    self.next_write(out);
                }
            }
            EngineEvent::RecordsFailed { token, why } => self.on_records_failed(token, why, out),
            EngineEvent::Fault(fault) => self.on_fault(now, fault, out),
        }
    }

    fn mount(&mut self, out: &mut Out) {
        match self.mount {
            Mount::No => {
                self.mount = Mount::Mounting;
                self.set_gate(self.shut(), out);
                engine(out, EngineCommand::Mount);
            }
            Mount::Mounting | Mount::Unmounting => {}
            Mount::Yes => self.on_mounted(out),
        }
    }

    /// The gate that lets nothing through in the wanted role.
    fn shut(&self) -> Gate {
        match self.wanted {
            RfsRole::Secondary => Gate::ReadOnly,
            RfsRole::Idle | RfsRole::Primary { .. } => Gate::Closed,
        }
    }

    fn unmount(&mut self, out: &mut Out) {
        match self.mount {
            Mount::Yes | Mount::Mounting => {
                self.mount = Mount::Unmounting;
                engine(out, EngineCommand::Unmount);
            }
            Mount::No | Mount::Unmounting => {}
        }
    }

    fn on_mounted(&mut self, out: &mut Out) {
        if self.mount == Mount::Unmounting {
            return;
        }
        self.mount = Mount::Yes;
        match self.wanted {
            RfsRole::Idle => {}
            RfsRole::Secondary => {
                self.set_gate(Gate::ReadOnly, out);
                engine(out, EngineCommand::Listen);
            }
            RfsRole::Primary { .. } => {
                if let Some(epoch) = self.alone {
                    self.open_alone(epoch, out);
                } else if self.granting.is_none() {
                    // The other copy may still follow: the stream goes on if it can.
                    engine(out, EngineCommand::Connect);
                }
            }
        }
    }

    fn on_mount_failed(&mut self, why: String, out: &mut Out) {
        let unmounting = self.mount == Mount::Unmounting;
        self.mount = Mount::No;
        if unmounting && self.stopping.is_some() {
            to_heart(out, RfsToHeart::Stopped { error: Some(why) });
            out.push(RfsEffect::Exit);
            return;
        }
        let fault = RfsFault::LocalDisk(why);
        out.push(RfsEffect::Log(Event::RfsFault(fault.clone())));
        to_heart(out, RfsToHeart::Fault(fault));
    }

    fn on_unmounted(&mut self, out: &mut Out) {
        self.mount = Mount::No;
        match self.stopping {
            Some(orderly) => self.write(Change::Stopped { orderly }, out),
            None if self.wanted != RfsRole::Idle => self.mount(out),
            None => {}
        }
    }

    fn on_link_up(&mut self, out: &mut Out) {
        self.link = Link::Up;
        let hello = PeerMessage::Hello {
            version: PEER_VERSION,
            incarnation: self.incarnation,
            primary: self.is_primary(),
            epoch: self.epoch,
            records: self.records.clone(),
            // The engine knows the position: it leaves this as it is if the stream can go on from there, else 0 arrives.
            applied: Seq(u64::from(self.follows_durably(self.epoch))),
        };
        engine(out, EngineCommand::Send(hello));
    }

    /// Secondary: its record says that it has everything that was acknowledged under this permission.
    fn follows_durably(&self, epoch: Epoch) -> bool {
        let follows = |record: &Record| {
            record.standing == Standing::Connected
                && record.consistent
                && !record.was_primary
                && record.epoch == epoch
                && is_up_to_date(record, &self.boot_id)
        };
        self.wanted == RfsRole::Secondary
            && self.failed.is_none()
            && self.outdating.is_none()
            && !self.records.is_empty()
            && self.records.iter().all(follows)
    }

    fn on_link_down(&mut self, now: Instant, why: &str, out: &mut Out) {
        if self.link == Link::Down {
            return;
        }
        self.link = Link::Down;
        out.push(RfsEffect::Log(Event::Text(format!("Replication link down: {why}"))));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    /// What is on its way over the link won't arrive.
    fn link_failed(&mut self, now: Instant, fault: RfsFault, out: &mut Out) {
        let hung = self.link != Link::Down;
        if hung {
            engine(out, EngineCommand::Hangup);
            self.link = Link::Down;
        }
        match self.course {
            Course::Begun | Course::Copying => self.back_to_alone(now, out),
            Course::Connecting | Course::Ending | Course::InStep if self.is_primary() => {
                self.go_asking(fault, out);
            }
            Course::Turning { .. } => {}
            Course::HandingOver { epoch } => self.hand_over_blindly(epoch, out),
            Course::Readying { .. } | Course::Receiving { .. } => self.course = Course::None,
            // In step, settling, taking over: what was received stays received.
            _ => {}
        }
        self.reconnect(now, out);
    }

    fn reconnect(&mut self, now: Instant, out: &mut Out) {
        if self.mount != Mount::Yes {
            return;
        }
        match self.wanted {
            RfsRole::Secondary => engine(out, EngineCommand::Listen),
            RfsRole::Primary { .. } if matches!(self.course, Course::Turning { .. }) => {
                engine(out, EngineCommand::Connect);
            }
            RfsRole::Primary { .. } if self.alone.is_some() => self.retry_at = Some(now + RETRY),
            RfsRole::Primary { .. } | RfsRole::Idle => {}
        }
    }

    /// The other copy never got far enough to think itself up to date: the grant is still in force.
    fn back_to_alone(&mut self, now: Instant, out: &mut Out) {
        if self.course == Course::Copying {
            engine(out, EngineCommand::StopSync);
            to_heart(out, RfsToHeart::Sync(SyncEvent::Failed { why: "the replication link broke".to_owned() }));
        }
        self.course = Course::None;
        if let Some(epoch) = self.alone
            && !self.held
        {
            self.set_gate(Gate::Alone { epoch }, out);
        }
        self.retry_at = Some(now + RETRY);
    }

    /// The link broke while the role was being handed over: whether the other copy has it is not known. Once the record
    /// says so, this one is a secondary in step either way; the hearts find out who is primary.
    fn hand_over_blindly(&mut self, epoch: Epoch, out: &mut Out) {
        if self.records.iter().any(|record| record.was_primary) {
            return;
        }
        self.wanted = RfsRole::Secondary;
        self.epoch = epoch;
        self.course = Course::InStep;
        self.retry_at = None;
        engine(out, EngineCommand::Listen);
    }

    fn go_asking(&mut self, fault: RfsFault, out: &mut Out) {
        self.course = Course::None;
        self.why_ask = fault;
        self.set_gate(Gate::Closed, out);
        engine(out, EngineCommand::Connect);
    }

    fn on_sync_failed(&mut self, now: Instant, why: String, out: &mut Out) {
        if self.course != Course::Copying {
            return;
        }
        out.push(RfsEffect::Log(Event::ReintegrationFailed(why.clone())));
        self.course = Course::Begun;
        to_heart(out, RfsToHeart::Sync(SyncEvent::Failed { why }));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    fn on_fault(&mut self, now: Instant, fault: RfsFault, out: &mut Out) {
        out.push(RfsEffect::Log(Event::RfsFault(fault.clone())));
        match &fault {
            RfsFault::LocalDisk(_) => to_heart(out, RfsToHeart::Fault(fault)),
            RfsFault::RemoteDisk(_) | RfsFault::Diverged(_) => {
                to_heart(out, RfsToHeart::Fault(fault.clone()));
                self.link_failed(now, fault, out);
            }
            RfsFault::Stalled | RfsFault::LinkDown | RfsFault::Fenced(_) => {
                self.link_failed(now, fault, out);
            }
        }
    }

    fn on_records_failed(&mut self, token: u64, why: String, out: &mut Out) {
        if !self.writes.failed(token) {
            return;
        }
        self.granting = None;
        self.outdating = None;
        self.failed = Some(why.clone());
        let fault = RfsFault::LocalDisk(why.clone());
        out.push(RfsEffect::Log(Event::RfsFault(fault.clone())));
        if self.stopping.is_some() {
            to_heart(out, RfsToHeart::Stopped { error: Some(why) });
            out.push(RfsEffect::Exit);
            return;
        }
        self.leave_course(out);
        self.set_gate(self.shut(), out);
        // First that there is no permission any more, then why.
        self.say_status(out);
        to_heart(out, RfsToHeart::Fault(fault));
    }

    fn on_drained(&mut self, _seq: Seq, out: &mut Out) {
        let Some((purpose, _)) = self.drains.under_way.take().filter(|(purpose, _)| self.is_wanted(purpose)) else {
            return;
        };
        match purpose {
            Drain::Heart => {
                self.drained = true;
                to_heart(out, RfsToHeart::Drained);
            }
            Drain::SyncEnd { epoch, generation, history, count } => {
                let change = Change::InStep { epoch, generation, history, count };
                self.write(change, out);
            }
            Drain::Handover { epoch } => self.write(Change::TakenOver { epoch }, out),
            Drain::Grant(grant) => self.write(Change::Alone(grant), out),
        }
    }

    fn on_timer(&mut self, now: Instant, out: &mut Out) {
        if self.retry_at.is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        match self.course {
            Course::Begun | Course::HandingOver { .. } => {
                self.link_failed(now, RfsFault::Stalled, out);
            }
            Course::Turning { .. } => self.go_asking(RfsFault::LinkDown, out),
            _ if self.is_primary() && self.alone.is_some() && self.link == Link::Down => {
                engine(out, EngineCommand::Connect);
            }
            _ => {}
        }
    }

    // ---- the other core --------------------------------------------------------------------------------------------

    fn on_peer(&mut self, now: Instant, message: PeerMessage, out: &mut Out) {
        match message {
            PeerMessage::Hello { primary, epoch, records, applied, .. } => {
                let goes_on = applied != Seq(0);
                self.on_hello(now, primary, epoch, &records, goes_on, out);
            }
            PeerMessage::SyncBegin { epoch, generation } => {
                self.on_sync_begin(now, epoch, generation, out);
            }
            PeerMessage::SyncReady => self.on_sync_ready(out),
            PeerMessage::SyncEnd { epoch, generation, history, count, .. }
                if self.course == (Course::Receiving { epoch }) =>
            {
                self.course = Course::Settling;
                let purpose = Drain::SyncEnd { epoch, generation, history, count };
                self.drain(purpose, out);
            }
            PeerMessage::SyncEnd { .. } => {}
            PeerMessage::InStep { epoch } if self.course == Course::Ending && epoch == self.epoch => {
                self.course = Course::InStep;
                self.retry_at = None;
                out.push(RfsEffect::Log(Event::Text("The other copy is in step".to_owned())));
            }
            PeerMessage::InStep { epoch } if self.course == Course::None && self.follows_durably(epoch) => {
                // The primary goes on where the link broke.
                self.epoch = epoch;
                self.course = Course::InStep;
            }
            PeerMessage::InStep { .. } => {}
            PeerMessage::Handover { epoch, .. } if self.is_following() => {
                self.course = Course::TakingOver;
                self.drain(Drain::Handover { epoch }, out);
            }
            PeerMessage::Handover { .. } => {
                let why = "this copy is not in step and can't take the role".to_owned();
                engine(out, EngineCommand::Send(PeerMessage::Refuse { why }));
            }
            PeerMessage::HandoverTaken { epoch } if self.course == (Course::HandingOver { epoch }) => {
                self.wanted = RfsRole::Secondary;
                self.epoch = epoch;
                self.course = Course::InStep;
                self.retry_at = None;
                self.turn_link(out);
                engine(out, EngineCommand::Listen);
            }
            PeerMessage::HandoverTaken { .. } => {}
            PeerMessage::Outdated { since } => {
                to_heart(out, RfsToHeart::PeerOutdated { since });
                self.link_failed(now, RfsFault::LinkDown, out);
            }
            PeerMessage::Refuse { why } => {
                out.push(RfsEffect::Log(Event::Text(format!("The other copy refused: {why}"))));
                self.link_failed(now, RfsFault::LinkDown, out);
            }
        }
    }

    fn is_following(&self) -> bool {
        self.wanted == RfsRole::Secondary && self.course == Course::InStep && self.outdating.is_none()
    }

    /// After a swap the link's direction is that of the roles again; nothing is on its way, both are equal.
    fn turn_link(&mut self, out: &mut Out) {
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
    }

    fn on_hello(
        &mut self,
        now: Instant,
        primary: bool,
        epoch: Epoch,
        records: &[Record],
        goes_on: bool,
        out: &mut Out,
    ) {
        if primary == self.is_primary() {
            self.refuse(now, "both copies have the same role", out);
            return;
        }
        self.link = Link::Known;
        if !self.is_primary() {
            return;
        }
        if let Course::Turning { epoch: turned } = self.course {
            self.on_turned(now, turned, epoch, records, out);
        } else if self.alone.is_some() && !self.held {
            self.outrank(epoch, records);
            self.begin_sync(now, records, out);
        } else if goes_on && self.is_waiting() && epoch == self.epoch && self.is_followed_by(records) {
            self.go_on(out);
        }
    }

    /// Primary, in step until the link broke, with no permission to go alone yet.
    fn is_waiting(&self) -> bool {
        self.course == Course::None && self.alone.is_none() && self.granting.is_none() && self.outdating.is_none()
    }

    /// Whether the other copy durably has all that was acknowledged here while both were in step.
    fn is_followed_by(&self, records: &[Record]) -> bool {
        let follows = |(mine, theirs): (&Record, &Record)| {
            mine.generation == theirs.generation
                && mine.standing == Standing::Connected
                && theirs.standing == Standing::Connected
                && theirs.consistent
                && theirs.up_to_date != UpToDate::No
                && !theirs.was_primary
        };
        !records.is_empty() && records.len() == self.records.len() && self.records.iter().zip(records).all(follows)
    }

    /// The stream goes on where it broke: nothing has to be compared.
    fn go_on(&mut self, out: &mut Out) {
        self.asked = false;
        self.course = Course::InStep;
        let epoch = self.epoch;
        if !self.held {
            self.set_gate(Gate::InStep { epoch }, out);
        }
        engine(out, EngineCommand::Send(PeerMessage::InStep { epoch }));
        out.push(RfsEffect::Log(Event::Text("The replication link is back: both copies go on in step".to_owned())));
    }

    /// The former primary of a swap is back on the turned link: if it still follows, both are in step.
    fn on_turned(&mut self, now: Instant, turned: Epoch, epoch: Epoch, records: &[Record], out: &mut Out) {
        if epoch == turned && self.is_followed_by(records) {
            self.retry_at = None;
            self.course = Course::InStep;
            self.set_gate(Gate::InStep { epoch: turned }, out);
            // If it died in between, it doesn't know that it follows.
            engine(out, EngineCommand::Send(PeerMessage::InStep { epoch: turned }));
        } else {
            self.course = Course::Ending;
            self.link_failed(now, RfsFault::LinkDown, out);
        }
    }

    fn begin_sync(&mut self, now: Instant, theirs: &[Record], out: &mut Out) {
        if self.peer_is_newer(theirs) {
            self.refuse(now, "your copy descends from this one", out);
            return;
        }
        let Some(generation) = self.records.first().map(|record| record.generation) else {
            return;
        };
        self.course = Course::Begun;
        self.retry_at = Some(now + READY_LIMIT);
        let epoch = self.epoch;
        self.set_gate(Gate::Syncing { epoch }, out);
        engine(out, EngineCommand::Send(PeerMessage::SyncBegin { epoch, generation }));
    }

    /// The other copy may know later grants than ours, from an isolation: what follows gets a number above all of them.
    fn outrank(&mut self, epoch: Epoch, records: &[Record]) {
        let known = records.iter().map(|record| record.epoch).max().unwrap_or_default();
        let known = known.max(epoch);
        let used = |record: &Record| record.epoch == self.epoch && record.was_primary;
        if known > self.epoch || records.iter().any(used) {
            self.epoch = Epoch(known.0 + 1);
            self.alone = Some(self.epoch);
        }
    }

    /// A copy that has gone on from ours must never be overwritten by it (REPLICATION P7).
    fn peer_is_newer(&self, theirs: &[Record]) -> bool {
        // The other node's boot id doesn't matter here: only the lines of descent are compared.
        match (summary(&self.records, ""), summary(theirs, "")) {
            (Some(mine), Some(theirs)) => compare(&mine, &theirs) == Relation::Ancestor && theirs.consistent,
            _ => false,
        }
    }

    fn refuse(&mut self, now: Instant, why: &str, out: &mut Out) {
        let why = why.to_owned();
        out.push(RfsEffect::Log(Event::Text(format!("The other copy was refused: {why}"))));
        engine(out, EngineCommand::Send(PeerMessage::Refuse { why }));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    fn on_sync_begin(&mut self, now: Instant, epoch: Epoch, generation: GenerationId, out: &mut Out) {
        if self.wanted != RfsRole::Secondary || self.outdating.is_some() {
            return;
        }
        if self.went_on_from(generation) {
            self.refuse(now, "this copy descends from yours", out);
            return;
        }
        self.epoch = epoch;
        self.course = Course::Readying { epoch };
        self.write(Change::Half { epoch }, out);
    }

    fn on_sync_ready(&mut self, out: &mut Out) {
        if self.course != Course::Begun {
            return;
        }
        self.course = Course::Copying;
        self.retry_at = None;
        let unconfirmed = |record: &Record| record.standing == Standing::AloneUnconfirmed;
        if self.records.iter().any(unconfirmed) {
            self.write(Change::PeerResigned, out);
        }
        engine(out, EngineCommand::StartSync);
        to_heart(out, RfsToHeart::Sync(SyncEvent::Began { dir: self.dirs() }));
    }

    // ---- durable changes -------------------------------------------------------------------------------------------

    fn write(&mut self, change: Change, out: &mut Out) {
        match (self.failed.clone(), &change) {
            (None, _) => {
                self.writes.push(change);
                self.next_write(out);
            }
            (Some(why), Change::Stopped { .. }) => {
                to_heart(out, RfsToHeart::Stopped { error: Some(why) });
                out.push(RfsEffect::Exit);
            }
            (Some(why), _) => {
                self.granting = None;
                self.outdating = None;
                to_heart(out, RfsToHeart::Fault(RfsFault::LocalDisk(why)));
            }
        }
    }

    fn next_write(&mut self, out: &mut Out) {
        let mark = self.mark();
        let peer_seq = self.peer_seq;
        if let Some((token, records)) = self.writes.next(&self.records, &mark, peer_seq) {
            engine(out, EngineCommand::WriteRecords { token, records });
        }
    }

    /// How far a secondary's up-to-date mark holds.
    fn mark(&self) -> UpToDate {
        if self.config.async_second { UpToDate::WhileBooted(self.boot_id.clone()) } else { UpToDate::Yes }
    }

    /// A change is durable: what was waiting for it happens now, if it is still wanted.
    fn after(&mut self, now: Instant, change: Change, out: &mut Out) {
        match change {
            Change::Alone(grant) if self.granting == Some(grant) && self.is_primary() => {
                self.open_alone(grant.epoch, out);
            }
            Change::Alone(_) | Change::PeerResigned => {}
            Change::Connected { count, .. } if self.course == Course::Connecting => {
                self.course = Course::Ending;
                self.send_sync_end(count, out);
            }
            Change::Connected { .. } => {}
            Change::Half { epoch } if self.course == (Course::Readying { epoch }) => {
                self.course = Course::Receiving { epoch };
                for dir in &self.config.dirs {
                    out.push(RfsEffect::Log(Event::UpdatingTree(dir.clone())));
                }
                to_heart(out, RfsToHeart::Sync(SyncEvent::Began { dir: self.dirs() }));
                engine(out, EngineCommand::Send(PeerMessage::SyncReady));
            }
            Change::Half { .. } => {}
            Change::InStep { epoch, count, .. } if self.course == Course::Settling => {
                self.course = Course::InStep;
                self.log_reintegrated(count, out);
                engine(out, EngineCommand::Send(PeerMessage::InStep { epoch }));
            }
            Change::InStep { .. } => {}
            Change::Outdated { since } => self.after_outdated(since, out),
            Change::HandedOver { epoch } if self.course == (Course::HandingOver { epoch }) => {
                self.retry_at = Some(now + HANDOVER_LIMIT);
                if self.link == Link::Known {
                    engine(out, EngineCommand::Send(PeerMessage::Handover { epoch, seq: self.peer_seq }));
                } else {
                    self.hand_over_blindly(epoch, out);
                }
            }
            Change::HandedOver { .. } => {}
            Change::TakenOver { epoch } if self.course == Course::TakingOver => {
                self.after_taken_over(now, epoch, out);
            }
            Change::TakenOver { .. } => {}
            Change::Stopped { .. } => {
                to_heart(out, RfsToHeart::Stopped { error: None });
                out.push(RfsEffect::Exit);
            }
        }
    }

    fn send_sync_end(&mut self, count: SyncCount, out: &mut Out) {
        let Some(record) = self.records.first() else {
            return;
        };
        let end = PeerMessage::SyncEnd {
            epoch: self.epoch,
            generation: record.generation,
            history: record.history.clone(),
            seq: Seq(0),
            count,
        };
        engine(out, EngineCommand::Send(end));
        to_heart(out, RfsToHeart::Sync(SyncEvent::Ended(self.progress(count))));
    }

    fn log_reintegrated(&self, count: SyncCount, out: &mut Out) {
        if count.bytes_sent > 0 {
            let rate = count.bytes_sent.saturating_mul(1000) / 1024 / count.elapsed_ms.max(1);
            let text = format!(
                "{} KB, {} files compared, {} ms, {rate} KB/sec",
                count.bytes_sent / 1024,
                count.files_done,
                count.elapsed_ms
            );
            out.push(RfsEffect::Log(Event::Copied(text)));
        }
        out.push(RfsEffect::Log(Event::ReintegrationEnded));
        to_heart(out, RfsToHeart::Sync(SyncEvent::Ended(self.progress(count))));
    }

    fn after_outdated(&mut self, since: GenerationId, out: &mut Out) {
        if self.outdating == Some(since) {
            self.outdating = None;
        }
        to_heart(out, RfsToHeart::Outdated { since });
        engine(out, EngineCommand::Send(PeerMessage::Outdated { since }));
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
        if self.wanted == RfsRole::Secondary && self.mount == Mount::Yes {
            engine(out, EngineCommand::Listen);
        }
    }

    fn after_taken_over(&mut self, now: Instant, epoch: Epoch, out: &mut Out) {
        self.wanted = RfsRole::Primary { epoch };
        self.epoch = epoch;
        self.set_gate(Gate::Closed, out);
        engine(out, EngineCommand::Send(PeerMessage::HandoverTaken { epoch }));
        self.course = Course::Turning { epoch };
        self.retry_at = Some(now + TURN_LIMIT);
        self.link = Link::Down;
        engine(out, EngineCommand::Connect);
    }

    // ---- small things ----------------------------------------------------------------------------------------------

    /// Gives up whatever was under way, and every permission with it.
    fn leave_course(&mut self, out: &mut Out) {
        if self.course == Course::Copying {
            engine(out, EngineCommand::StopSync);
        }
        self.course = Course::None;
        self.alone = None;
        self.held = false;
        self.retry_at = None;
    }

    /// The one door to acknowledging: nothing opens without a heart, or before it has listened after a stall.
    fn set_gate(&mut self, gate: Gate, out: &mut Out) {
        let shut = matches!(gate, Gate::Closed | Gate::ReadOnly);
        if !shut && (self.held || !self.heart) {
            return;
        }
        if self.gate != gate {
            self.gate = gate;
            engine(out, EngineCommand::SetGate(gate));
        }
    }

    /// A primary without permission asks for one, once.
    fn ask(&mut self, out: &mut Out) {
        let course = match self.course {
            Course::None => true,
            // Permission is there, but held: a heart must say it again.
            Course::Begun | Course::Copying => self.held,
            _ => false,
        };
        let without = self.alone.is_none() || self.held;
        let settled = self.granting.is_none()
            && self.outdating.is_none()
            && self.stopping.is_none()
            && self.failed.is_none()
            && self.writes.is_idle();
        if self.is_primary()
            && self.mount == Mount::Yes
            && self.heart
            && course
            && without
            && settled
            && !self.asked
            && !self.resigned()
        {
            self.asked = true;
            let epoch = self.alone.unwrap_or(self.epoch);
            to_heart(out, RfsToHeart::AskAlone { epoch, why: self.why_ask.clone() });
        }
    }

    /// This copy wrote "outdated" in its own generation: it is on its way out.
    fn resigned(&self) -> bool {
        let outdated = |record: &Record| matches!(record.standing, Standing::Outdated { .. });
        self.records.iter().any(outdated)
    }

    fn say_status_again(&mut self) {
        self.heart = true;
        self.said = None;
    }

    fn say_status(&mut self, out: &mut Out) {
        if self.boot_id.is_empty() && self.records.is_empty() {
            return;
        }
        let said = Said {
            role: self.role(),
            records: self.records.clone(),
            link_up: self.link != Link::Down,
            in_step: self.in_step(),
            alone: self.alone.filter(|_| !self.held),
        };
        if self.said.as_ref() == Some(&said) || !self.heart {
            return;
        }
        self.said = Some(said.clone());
        to_heart(
            out,
            RfsToHeart::Status {
                incarnation: self.incarnation,
                role: said.role,
                records: said.records,
                link_up: said.link_up,
                in_step: said.in_step,
                alone: said.alone,
                boot_id: self.boot_id.clone(),
            },
        );
    }

    fn dirs(&self) -> String {
        self.config.dirs.join(", ")
    }

    fn progress(&self, count: SyncCount) -> SyncProgress {
        SyncProgress {
            dir: self.dirs(),
            files_done: count.files_done,
            files_total: count.files_total,
            bytes_done: count.bytes_done,
            bytes_total: count.bytes_total,
            bytes_sent: count.bytes_sent,
            elapsed_ms: count.elapsed_ms,
        }
    }
}

fn engine(out: &mut Out, command: EngineCommand) {
    out.push(RfsEffect::Engine(command));
}

fn to_heart(out: &mut Out, message: RfsToHeart) {
    out.push(RfsEffect::ToHeart(message));
}
