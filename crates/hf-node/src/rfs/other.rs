//! What the other core says over the link: who follows whom, synchronisation, hand-over.

use super::RfsEffect;
use super::actor::{Course, Drain, Link, Out, READY_LIMIT, RfsActor, engine, to_heart};
use super::change::Change;
use hf_replica::engine::{EngineCommand, Gate, PeerMessage};
use hf_replica::{Relation, compare, summary};
use hf_types::{Epoch, Event, GenerationId, Instant, Record, RfsFault, Seq, Standing, SyncWish, UpToDate};
use hf_wire::bus::{RfsRole, RfsToHeart, SyncEvent};

impl RfsActor {
    pub(super) fn on_peer(&mut self, now: Instant, message: PeerMessage, out: &mut Out) {
        match message {
            PeerMessage::Hello { primary, epoch, records, applied, wish, .. } => {
                self.peer_wish = wish;
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
                self.wish = SyncWish::default();
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

    pub(super) fn is_following(&self) -> bool {
        self.wanted == RfsRole::Secondary && self.course == Course::InStep && self.outdating.is_none()
    }

    /// After a swap the link's direction is that of the roles again; nothing is on its way, both are equal.
    pub(super) fn turn_link(&mut self, out: &mut Out) {
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
    }

    pub(super) fn on_hello(
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
            self.keep_first(records, out);
            return;
        }
        if let Course::Turning { epoch: turned } = self.course {
            self.on_turned(now, turned, epoch, records, out);
        } else if self.alone.is_some() && !self.held {
            self.outrank(epoch, records);
            self.begin_sync(now, records, out);
        } else if self.drowsy && self.is_waiting() {
            // It waited in the socket while this process stood still: who said it may have gone on alone since. A new connection asks again.
            self.turn_link(out);
            engine(out, EngineCommand::Connect);
        } else if goes_on && self.is_waiting() && epoch == self.epoch && self.is_followed_by(records) {
            self.go_on(out);
        }
    }

    /// Primary, in step until the link broke, with no permission to go alone yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.course == Course::None && self.alone.is_none() && self.granting.is_none() && self.outdating.is_none()
    }

    /// Whether the other copy durably has all that was acknowledged here while both were in step.
    pub(super) fn is_followed_by(&self, records: &[Record]) -> bool {
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
    pub(super) fn go_on(&mut self, out: &mut Out) {
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
    pub(super) fn on_turned(&mut self, now: Instant, turned: Epoch, epoch: Epoch, records: &[Record], out: &mut Out) {
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

    pub(super) fn begin_sync(&mut self, now: Instant, theirs: &[Record], out: &mut Out) {
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
    pub(super) fn outrank(&mut self, epoch: Epoch, records: &[Record]) {
        let known = records.iter().map(|record| record.epoch).max().unwrap_or_default();
        let known = known.max(epoch);
        let used = |record: &Record| record.epoch == self.epoch && record.was_primary;
        if known > self.epoch || records.iter().any(used) {
            self.epoch = Epoch(known.0 + 1);
            self.alone = Some(self.epoch);
        }
    }

    /// A copy that has gone on from ours must never be overwritten by it (guide P7).
    pub(super) fn peer_is_newer(&self, theirs: &[Record]) -> bool {
        // The other node's boot id doesn't matter here: only the lines of descent are compared.
        match (summary(&self.records, ""), summary(theirs, "")) {
            (Some(mine), Some(theirs)) => compare(&mine, &theirs) == Relation::Ancestor && theirs.consistent,
            _ => false,
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, why: &str, out: &mut Out) {
        let why = why.to_owned();
        out.push(RfsEffect::Log(Event::Text(format!("The other copy was refused: {why}"))));
        engine(out, EngineCommand::Send(PeerMessage::Refuse { why }));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    pub(super) fn on_sync_begin(&mut self, now: Instant, epoch: Epoch, generation: GenerationId, out: &mut Out) {
        if self.wanted != RfsRole::Secondary || self.outdating.is_some() || self.link != Link::Known {
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

    pub(super) fn on_sync_ready(&mut self, out: &mut Out) {
        if self.course != Course::Begun {
            return;
        }
        self.course = Course::Copying;
        self.retry_at = None;
        let unconfirmed = |record: &Record| record.standing == Standing::AloneUnconfirmed;
        if self.records.iter().any(unconfirmed) {
            self.write(Change::PeerResigned, out);
        }
        engine(out, EngineCommand::StartSync(self.wish.with(self.peer_wish)));
        to_heart(out, RfsToHeart::Sync(SyncEvent::Began { dir: self.dirs() }));
    }
}
