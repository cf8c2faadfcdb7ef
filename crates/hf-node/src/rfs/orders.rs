//! What the heart orders: roles, permissions, resignation, drains, the end.

use super::actor::{Course, Drain, Link, Mount, Out, RfsActor, engine, to_heart};
use super::change::Change;
use hf_replica::engine::{EngineCommand, Gate};
use hf_replica::grant::Grant;
use hf_replica::summary;
use hf_types::{Epoch, GenerationId, Record, RfsFault, Standing, UpToDate};
use hf_wire::bus::{HeartToRfs, RfsRole, RfsToHeart};

impl RfsActor {
    pub(super) fn on_heart(&mut self, message: HeartToRfs, out: &mut Out) {
        let before = self.ordered;
        if let HeartToRfs::Become(role) = &message {
            self.ordered = *role;
        }
        match message {
            HeartToRfs::Become(RfsRole::Idle) => self.become_idle(out),
            HeartToRfs::Become(RfsRole::Primary { epoch }) => self.become_primary(epoch, out),
            HeartToRfs::Become(RfsRole::Secondary) => self.become_secondary(before, out),
            HeartToRfs::Wish(wish) => self.wish = wish,
            HeartToRfs::Grant { epoch, generation, why } => self.on_grant(Grant { epoch, generation, why }, out),
            // The shell reads.
            HeartToRfs::Deny { .. } | HeartToRfs::Reread => {}
            HeartToRfs::Awake { id } => {
                if id == self.stalls {
                    self.drowsy = false;
                    self.asked = false;
                }
            }
            HeartToRfs::Fence { epoch } => self.on_fence(epoch, out),
            HeartToRfs::WriteOutdated { since } => self.write_outdated(since, out),
            HeartToRfs::Drain => self.on_drain(out),
            HeartToRfs::Stop { orderly } => self.on_stop(orderly, out),
        }
    }

    pub(super) fn become_idle(&mut self, out: &mut Out) {
        self.wanted = RfsRole::Idle;
        self.leave_course(out);
        engine(out, EngineCommand::Hangup);
        self.unmount(out);
    }

    pub(super) fn become_primary(&mut self, epoch: Epoch, out: &mut Out) {
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
    pub(super) fn reopen_in_step(&mut self, out: &mut Out) {
        if self.held && self.alone.is_none() {
            self.held = false;
            if matches!(self.course, Course::InStep | Course::Ending | Course::Connecting) {
                self.set_gate(Gate::InStep { epoch: self.epoch }, out);
            }
        }
    }

    pub(super) fn become_secondary(&mut self, before: RfsRole, out: &mut Out) {
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

    pub(super) fn on_grant(&mut self, grant: Grant, out: &mut Out) {
        if !self.is_primary() || self.stopping.is_some() || self.outdating.is_some() || self.drowsy {
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

    pub(super) fn open_alone(&mut self, epoch: Epoch, out: &mut Out) {
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
        let wait = self.patience.granted(epoch, self.now);
        if self.link != Link::Down || !wait.is_zero() {
            // A link from before the permission: begin it anew, so that the other side's hello is a present one.
            self.turn_link(out);
        }
        if wait.is_zero() {
            engine(out, EngineCommand::Connect);
        } else {
            self.retry_at = Some(self.now + wait);
        }
    }

    pub(super) fn on_fence(&mut self, epoch: Epoch, out: &mut Out) {
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

    pub(super) fn write_outdated(&mut self, since: GenerationId, out: &mut Out) {
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
    pub(super) fn went_on_from(&self, since: GenerationId) -> bool {
        summary(&self.records, &self.boot_id).is_some_and(|copy| {
            copy.generation != since && copy.history.contains(&since) && copy.up_to_date && copy.consistent
        })
    }

    pub(super) fn on_drain(&mut self, out: &mut Out) {
        if self.mount == Mount::Yes {
            self.drain(Drain::Heart, out);
        } else {
            to_heart(out, RfsToHeart::Drained);
        }
    }

    pub(super) fn drain(&mut self, purpose: Drain, out: &mut Out) {
        self.drains.waiting.push_back(purpose);
        self.tend_drains(out);
    }

    /// One drain at a time, because answers don't say to which they belong. One that nobody wants any more is waited for
    /// only so long: a disk that failed may never answer.
    pub(super) fn tend_drains(&mut self, out: &mut Out) {
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

    pub(super) fn is_wanted(&self, purpose: &Drain) -> bool {
        match purpose {
            Drain::Heart => self.stopping.is_none() && self.is_primary(),
            Drain::SyncEnd { .. } => self.course == Course::Settling,
            Drain::Handover { .. } => self.course == Course::TakingOver,
            Drain::Grant(grant) => self.granting == Some(*grant),
        }
    }

    pub(super) fn on_stop(&mut self, orderly: bool, out: &mut Out) {
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

    pub(super) fn on_heart_gone(&mut self, out: &mut Out) {
        self.heart = false;
        self.said = None;
        self.asked = false;
        if self.is_primary() {
            self.held = true;
            self.set_gate(Gate::Closed, out);
        }
    }

    /// A closed gate would hold whoever writes until the mount goes, and with them the stop scripts that the daemon runs now. They get an
    /// error instead: not even that heart's successor lets this rfs acknowledge again, it starts another one.
    pub(super) fn on_heart_dead(&mut self, out: &mut Out) {
        self.on_heart_gone(out);
        if self.is_primary() {
            self.released = true;
            self.set_gate(Gate::Released, out);
        }
    }

    /// We stood still: before anything is acknowledged alone, the heart must have listened (guide P7).
    pub(super) fn on_stall(&mut self, out: &mut Out) {
        // Given before the stall and not used yet: what it rested on may be over.
        self.granting = None;
        self.stalls += 1;
        self.drowsy = true;
        to_heart(out, RfsToHeart::StoodStill { id: self.stalls });
        if self.is_primary() && self.alone.is_some() && self.gate != Gate::Closed {
            self.held = true;
            self.why_ask = RfsFault::Stalled;
            self.set_gate(Gate::Closed, out);
        }
    }
}
