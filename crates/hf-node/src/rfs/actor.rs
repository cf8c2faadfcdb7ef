use super::change::Writes;
use super::keep::Keeping;
use super::patience::Patience;
use super::{RfsConfig, RfsEffect, RfsInput};
use hf_replica::engine::{EngineCommand, Gate, SyncCount};
use hf_replica::grant::Grant;
use hf_replica::ladder::Step;
use hf_types::{Epoch, GenerationId, Incarnation, Instant, Record, RfsFault, Seq, Standing, SyncWish};
use hf_wire::bus::{RfsRole, RfsToHeart, SyncProgress};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Version of what two cores say to each other; 1: the first.
pub(super) const PEER_VERSION: u16 = 1;
/// How long after a failure the link or a synchronisation is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How long the other copy may take to say that it is ready for a synchronisation.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(30);
/// How long the answer to a drain is waited for that nobody wants any more, when another one is wanted.
pub(super) const DRAIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the other copy may take to accept the primary's role.
pub(super) const HANDOVER_LIMIT: Duration = Duration::from_secs(3);
/// How long both links may take to turn round after a swap, before the new primary asks to go alone.
pub(super) const TURN_LIMIT: Duration = Duration::from_secs(2);

/// Replication of one module on one node.
///
/// The order of durable writes and messages is that of docs/internals/mirror.md. Whatever the inputs are:
/// - the gate acknowledges alone only under a grant whose records are durable;
/// - the gate acknowledges in step only while the other copy has said that it follows, or before it may think so;
/// - a secondary is in step only after everything up to the end of a synchronisation is durable here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfsActor {
    pub(super) config: RfsConfig,
    pub(super) now: Instant,
    pub(super) incarnation: Incarnation,
    pub(super) boot_id: String,
    /// As they are durably.
    pub(super) records: Vec<Record>,
    pub(super) writes: Writes,
    /// What this rfs is to be; a hand-over can change it before the heart knows.
    pub(super) wanted: RfsRole,
    /// The role that the heart gave last.
    pub(super) ordered: RfsRole,
    pub(super) mount: Mount,
    pub(super) gate: Gate,
    pub(super) epoch: Epoch,
    /// The grant in force: durable, and not over.
    pub(super) alone: Option<Epoch>,
    /// The grant that is being made durable.
    pub(super) granting: Option<Grant>,
    pub(super) course: Course,
    pub(super) link: Link,
    /// AskAlone was said and not answered.
    pub(super) asked: bool,
    pub(super) why_ask: RfsFault,
    /// The gate is held closed though there is a permission: no heart, or we stood still.
    pub(super) held: bool,
    pub(super) heart: bool,
    /// The heart is dead, and so is every permission: the next heart starts another rfs.
    pub(super) released: bool,
    /// How often this rfs stood still.
    pub(super) stalls: u64,
    /// It stood still, and the heart has not yet answered.
    pub(super) drowsy: bool,
    /// What was asked of the next synchronisation here, and on the other node.
    pub(super) wish: SyncWish,
    pub(super) peer_wish: SyncWish,
    pub(super) outdating: Option<GenerationId>,
    pub(super) drains: Drains,
    /// Everything was drained for the heart, and nothing was admitted on purpose since: the role may be handed over.
    pub(super) drained: bool,
    pub(super) stopping: Option<bool>,
    pub(super) retry_at: Option<Instant>,
    pub(super) peer_seq: Seq,
    /// A record could not be written: what is on the disk now is not known, and nothing is written there any more.
    pub(super) failed: Option<String>,
    pub(super) said: Option<Said>,
    pub(super) keeping: Keeping,
    pub(super) patience: Patience,
    /// Primary: what the synchronisation that runs, or ran last, may leave unread.
    pub(super) step: Option<Step>,
    /// When this copy was in step last, and when that was noted durably.
    pub(super) synced: Option<Instant>,
    pub(super) noted: Option<Instant>,
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
pub(super) enum Mount {
    No,
    Mounting,
    Yes,
    Unmounting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Link {
    Down,
    /// Hello went out.
    Up,
    /// Hello came in.
    Known,
}

/// Where the two copies are on their way to each other, from this node's point of view.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Course {
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
pub(super) enum Drain {
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
pub(super) struct Drains {
    pub(super) under_way: Option<(Drain, Instant)>,
    /// What the one under way was for is over.
    pub(super) unwanted: bool,
    pub(super) waiting: VecDeque<Drain>,
}

impl Drains {
    pub(super) fn given_up_at(&self) -> Option<Instant> {
        let (_, since) = self.under_way.as_ref()?;
        (self.unwanted && !self.waiting.is_empty()).then(|| *since + DRAIN_PATIENCE)
    }
}

/// The status that the heart has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Said {
    pub(super) role: RfsRole,
    pub(super) records: Vec<Record>,
    pub(super) link_up: bool,
    pub(super) in_step: bool,
    pub(super) alone: Option<Epoch>,
}

pub(super) type Out = Vec<RfsEffect>;

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
            released: false,
            stalls: 0,
            drowsy: false,
            wish: SyncWish::default(),
            peer_wish: SyncWish::default(),
            outdating: None,
            drains: Drains::default(),
            drained: false,
            now: Instant(0),
            stopping: None,
            retry_at: None,
            peer_seq: Seq(0),
            failed: None,
            said: None,
            keeping: Keeping::No,
            patience: Patience::default(),
            step: None,
            synced: None,
            noted: None,
        }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, now: Instant, input: RfsInput) -> Vec<RfsEffect> {
        let mut out = Vec::new();
        self.now = self.now.max(now);
        self.note_synced(&mut out);
        match input {
            RfsInput::Started { incarnation } => self.incarnation = incarnation,
            RfsInput::Heart(message) => {
                self.heart = true;
                self.on_heart(message, &mut out);
            }
            RfsInput::HeartGone => self.on_heart_gone(&mut out),
            RfsInput::HeartDead => self.on_heart_dead(&mut out),
            // The gate opens when that heart has said again what this rfs is to be.
            RfsInput::HeartBack => self.say_status_again(&mut out),
            RfsInput::Engine(event) => self.on_engine(now, event, &mut out),
            RfsInput::Configured(config) => self.config = config,
            RfsInput::Timer => self.on_timer(now, &mut out),
            RfsInput::Stalled { .. } => self.on_stall(&mut out),
        }
        self.note_synced(&mut out);
        self.tend_drains(&mut out);
        self.ask(&mut out);
        self.say_status(&mut out);
        out
    }

    /// When [`RfsInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let drain = self.drains.given_up_at().map(|at| (at, "drain"));
        let retry = self.retry_at.map(|at| (at, "retry"));
        let note = self.note_at().map(|at| (at, "in step"));
        retry.into_iter().chain(drain).chain(note).min_by_key(|(at, _)| *at)
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

    pub(super) fn role(&self) -> RfsRole {
        match self.mount {
            Mount::Yes => self.wanted,
            Mount::No | Mount::Mounting | Mount::Unmounting => RfsRole::Idle,
        }
    }

    pub(super) fn is_primary(&self) -> bool {
        matches!(self.wanted, RfsRole::Primary { .. })
    }

    pub(super) fn in_step(&self) -> bool {
        match self.course {
            Course::InStep | Course::HandingOver { .. } => true,
            // It was in step as secondary and nothing was taken away from it.
            Course::TakingOver => true,
            _ => false,
        }
    }

    /// Gives up whatever was under way, and every permission with it.
    pub(super) fn leave_course(&mut self, out: &mut Out) {
        if self.course == Course::Copying {
            engine(out, EngineCommand::StopSync);
        }
        self.course = Course::None;
        self.alone = None;
        self.held = false;
        self.retry_at = None;
    }

    /// The one door to acknowledging: nothing opens without a heart, or before it has listened after a stall.
    pub(super) fn set_gate(&mut self, gate: Gate, out: &mut Out) {
        let shut = matches!(gate, Gate::Closed | Gate::ReadOnly | Gate::Released);
        if (!shut && (self.held || !self.heart)) || (self.released && gate != Gate::Released) {
            return;
        }
        if self.gate != gate {
            self.gate = gate;
            engine(out, EngineCommand::SetGate(gate));
        }
    }

    /// A primary without permission asks for one, once.
    pub(super) fn ask(&mut self, out: &mut Out) {
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
            && self.writes.is_idle()
            && !self.drowsy;
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
    pub(super) fn resigned(&self) -> bool {
        let outdated = |record: &Record| matches!(record.standing, Standing::Outdated { .. });
        self.records.iter().any(outdated)
    }

    pub(super) fn say_status_again(&mut self, out: &mut Out) {
        self.heart = true;
        self.said = None;
        if self.drowsy {
            to_heart(out, RfsToHeart::StoodStill { id: self.stalls });
        }
    }

    pub(super) fn say_status(&mut self, out: &mut Out) {
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

    pub(super) fn dirs(&self) -> String {
        self.config.dirs.join(", ")
    }

    pub(super) fn progress(&self, count: SyncCount) -> SyncProgress {
        SyncProgress {
            dir: self.dirs(),
            files_done: count.files_done,
            files_total: count.files_total,
            bytes_done: count.bytes_done,
            bytes_total: count.bytes_total,
            bytes_sent: count.bytes_sent,
            elapsed_ms: count.elapsed_ms,
            files_known: count.files_known,
            bytes_known: count.bytes_known,
            step: self.step.map(|step| step.to_string()).unwrap_or_default(),
        }
    }
}

pub(super) fn engine(out: &mut Out, command: EngineCommand) {
    out.push(RfsEffect::Engine(command));
}

pub(super) fn to_heart(out: &mut Out, message: RfsToHeart) {
    out.push(RfsEffect::ToHeart(message));
}
