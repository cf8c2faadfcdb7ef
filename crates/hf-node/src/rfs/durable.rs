//! Changes of the records, and what happens once they are durable.

use super::RfsEffect;
use super::actor::{Course, HANDOVER_LIMIT, Link, Mount, Out, RfsActor, TURN_LIMIT, engine, to_heart};
use super::change::Change;
use hf_replica::engine::{EngineCommand, Gate, PeerMessage, SyncCount};
use hf_types::{Epoch, Event, GenerationId, Instant, RfsFault, Seq, SyncWish, UpToDate};
use hf_wire::bus::{RfsRole, RfsToHeart, SyncEvent};

impl RfsActor {
    pub(super) fn write(&mut self, change: Change, out: &mut Out) {
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

    pub(super) fn next_write(&mut self, out: &mut Out) {
        let mark = self.mark();
        let peer_seq = self.peer_seq;
        let synced_s = self.synced.map(|at| self.config.zero_s.saturating_add(at.since(Instant(0)).as_secs() as i64));
        if let Some((token, records)) = self.writes.next(&self.records, &mark, peer_seq, synced_s) {
            engine(out, EngineCommand::WriteRecords { token, records });
        }
    }

    /// How far a secondary's up-to-date mark holds.
    pub(super) fn mark(&self) -> UpToDate {
        if self.config.async_second { UpToDate::WhileBooted(self.boot_id.clone()) } else { UpToDate::Yes }
    }

    /// A change is durable: what was waiting for it happens now, if it is still wanted.
    pub(super) fn after(&mut self, now: Instant, change: Change, out: &mut Out) {
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
                self.wish = SyncWish::default();
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
            Change::Noted => {}
            Change::Stopped { .. } => {
                to_heart(out, RfsToHeart::Stopped { error: None });
                out.push(RfsEffect::Exit);
            }
        }
    }

    pub(super) fn send_sync_end(&mut self, count: SyncCount, out: &mut Out) {
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

    pub(super) fn log_reintegrated(&self, count: SyncCount, out: &mut Out) {
        if count.bytes_sent > 0 {
            let rate = count.bytes_sent.saturating_mul(1000) / 1024 / count.elapsed_ms.max(1);
            let known = match count.files_known {
                0 => String::new(),
                known => format!("{known} files known to be equal, "),
            };
            let text = format!(
                "{} KB, {} files compared, {known}{} ms, {rate} KB/sec",
                count.bytes_sent / 1024,
                count.files_done - count.files_known.min(count.files_done),
                count.elapsed_ms
            );
            out.push(RfsEffect::Log(Event::Copied(text)));
        }
        out.push(RfsEffect::Log(Event::ReintegrationEnded));
        to_heart(out, RfsToHeart::Sync(SyncEvent::Ended(self.progress(count))));
    }

    pub(super) fn after_outdated(&mut self, since: GenerationId, out: &mut Out) {
        if self.outdating == Some(since) {
            self.outdating = None;
        }
        // The heart must not decide anything from the records of before.
        self.say_status(out);
        to_heart(out, RfsToHeart::Outdated { since });
        engine(out, EngineCommand::Send(PeerMessage::Outdated { since }));
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
        if self.wanted == RfsRole::Secondary && self.mount == Mount::Yes {
            engine(out, EngineCommand::Listen);
        }
    }

    pub(super) fn after_taken_over(&mut self, now: Instant, epoch: Epoch, out: &mut Out) {
        self.wanted = RfsRole::Primary { epoch };
        self.epoch = epoch;
        self.set_gate(Gate::Closed, out);
        engine(out, EngineCommand::Send(PeerMessage::HandoverTaken { epoch }));
        self.course = Course::Turning { epoch };
        self.retry_at = Some(now + TURN_LIMIT);
        self.link = Link::Down;
        engine(out, EngineCommand::Connect);
    }
}
