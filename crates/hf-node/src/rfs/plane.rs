//! What the data plane reports: mounts, the link, faults, records.

use super::RfsEffect;
use super::actor::{Course, Drain, Link, Mount, Out, PEER_VERSION, RETRY, RfsActor, engine, to_heart};
use super::change::Change;
use hf_replica::engine::{EngineCommand, EngineEvent, Gate, PeerMessage, Traffic};
use hf_replica::is_up_to_date;
use hf_types::{Epoch, Event, Instant, Record, ResourceValue, RfsFault, Seq, Standing};
use hf_wire::bus::{RfsRole, RfsToHeart, SyncEvent};

impl RfsActor {
    pub(super) fn on_engine(&mut self, now: Instant, event: EngineEvent, out: &mut Out) {
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
            EngineEvent::LinkRefused { why } => {
                let text = format!(
                    "The other node can't be replicated with: {why}. Install the same version of Holdfast on both nodes"
                );
                out.push(RfsEffect::Log(Event::Text(text)));
            }
            EngineEvent::Received(message) => self.on_peer(now, message, out),
            EngineEvent::Unanswered { .. } => self.link_failed(now, RfsFault::Stalled, out),
            EngineEvent::Drained { seq } => self.on_drained(seq, out),
            EngineEvent::SyncStep(step) => {
                self.step = Some(step);
                out.push(RfsEffect::Log(Event::Text(step.to_string())));
            }
            EngineEvent::SyncRead { path, why, sent } => {
                let text = format!("Reintegrated {path}: {why} ({} KB sent)", sent.div_ceil(1024));
                out.push(RfsEffect::Log(Event::Text(text)));
            }
            EngineEvent::SyncProgress(count) => {
                to_heart(out, RfsToHeart::Sync(SyncEvent::Progress(self.progress(count))));
            }
            EngineEvent::SyncFile { dir, path, bytes } => {
                let dir = self.config.dirs.get(usize::from(dir)).map_or("", String::as_str);
                out.push(RfsEffect::Log(Event::Copied(format!("{bytes} bytes of {dir}/{path}"))));
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
            EngineEvent::Traffic(traffic) => tell_traffic(&traffic, out),
            EngineEvent::Responding(answers) => tell_responding(answers, out),
            EngineEvent::Watermark { seq } => self.peer_seq = seq,
            EngineEvent::CopyKept { generation, files } => self.on_kept(generation, files, out),
            EngineEvent::CopyNotKept { why, .. } => self.on_not_kept(now, why, out),
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

    pub(super) fn mount(&mut self, out: &mut Out) {
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
    pub(super) fn shut(&self) -> Gate {
        match self.wanted {
            RfsRole::Secondary => Gate::ReadOnly,
            RfsRole::Idle | RfsRole::Primary { .. } => Gate::Closed,
        }
    }

    pub(super) fn unmount(&mut self, out: &mut Out) {
        match self.mount {
            Mount::Yes | Mount::Mounting => {
                self.mount = Mount::Unmounting;
                engine(out, EngineCommand::Unmount);
            }
            Mount::No | Mount::Unmounting => {}
        }
    }

    pub(super) fn on_mounted(&mut self, out: &mut Out) {
        if self.mount == Mount::Unmounting {
            return;
        }
        self.mount = Mount::Yes;
        match self.wanted {
            RfsRole::Idle => {}
            RfsRole::Secondary => {
                self.set_gate(Gate::ReadOnly, out);
                if !self.is_keeping() {
                    engine(out, EngineCommand::Listen);
                }
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

    pub(super) fn on_mount_failed(&mut self, why: String, out: &mut Out) {
        let unmounting = self.mount == Mount::Unmounting;
        self.mount = Mount::No;
        if unmounting && self.stopping.is_some() {
            to_heart(out, RfsToHeart::Stopped { error: Some(why) });
            out.push(RfsEffect::Exit);
            return;
        }
        let fault = RfsFault::NotMounted(why);
        out.push(RfsEffect::Log(Event::RfsFault(fault.clone())));
        to_heart(out, RfsToHeart::Fault(fault));
    }

    pub(super) fn on_unmounted(&mut self, out: &mut Out) {
        self.mount = Mount::No;
        match self.stopping {
            Some(orderly) => self.write(Change::Stopped { orderly }, out),
            None if self.wanted != RfsRole::Idle => self.mount(out),
            None => {}
        }
    }

    pub(super) fn on_link_up(&mut self, out: &mut Out) {
        self.link = Link::Up;
        let hello = PeerMessage::Hello {
            version: PEER_VERSION,
            incarnation: self.incarnation,
            primary: self.is_primary(),
            epoch: self.epoch,
            records: self.records.clone(),
            // The engine knows the position: it leaves this as it is if the stream can go on from there, else 0 arrives.
            applied: Seq(u64::from(self.follows_durably(self.epoch))),
            wish: self.wish,
            common: None,
        };
        engine(out, EngineCommand::Send(hello));
    }

    /// Secondary: its record says that it has everything that was acknowledged under this permission.
    pub(super) fn follows_durably(&self, epoch: Epoch) -> bool {
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

    pub(super) fn on_link_down(&mut self, now: Instant, why: &str, out: &mut Out) {
        if self.link == Link::Down {
            return;
        }
        self.link = Link::Down;
        out.push(RfsEffect::Log(Event::Text(format!("Replication link down: {why}"))));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    /// What is on its way over the link won't arrive.
    pub(super) fn link_failed(&mut self, now: Instant, fault: RfsFault, out: &mut Out) {
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

    pub(super) fn reconnect(&mut self, now: Instant, out: &mut Out) {
        if self.mount != Mount::Yes {
            return;
        }
        match self.wanted {
            RfsRole::Secondary if self.is_keeping() => {}
            RfsRole::Secondary => engine(out, EngineCommand::Listen),
            RfsRole::Primary { .. } if matches!(self.course, Course::Turning { .. }) => {
                engine(out, EngineCommand::Connect);
            }
            RfsRole::Primary { .. } if self.alone.is_some() => self.retry_at = Some(now + RETRY),
            RfsRole::Primary { .. } | RfsRole::Idle => {}
        }
    }

    /// The other copy never got far enough to think itself up to date: the grant is still in force.
    pub(super) fn back_to_alone(&mut self, now: Instant, out: &mut Out) {
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
    pub(super) fn hand_over_blindly(&mut self, epoch: Epoch, out: &mut Out) {
        if self.records.iter().any(|record| record.was_primary) {
            return;
        }
        self.wanted = RfsRole::Secondary;
        self.epoch = epoch;
        self.course = Course::InStep;
        self.retry_at = None;
        engine(out, EngineCommand::Listen);
    }

    pub(super) fn go_asking(&mut self, fault: RfsFault, out: &mut Out) {
        self.course = Course::None;
        self.why_ask = fault;
        self.set_gate(Gate::Closed, out);
        engine(out, EngineCommand::Connect);
    }

    pub(super) fn on_sync_failed(&mut self, now: Instant, why: String, out: &mut Out) {
        if self.course != Course::Copying {
            return;
        }
        out.push(RfsEffect::Log(Event::ReintegrationFailed(why.clone())));
        self.course = Course::Begun;
        to_heart(out, RfsToHeart::Sync(SyncEvent::Failed { why }));
        self.link_failed(now, RfsFault::LinkDown, out);
    }

    pub(super) fn on_fault(&mut self, now: Instant, fault: RfsFault, out: &mut Out) {
        out.push(RfsEffect::Log(Event::RfsFault(fault.clone())));
        match &fault {
            RfsFault::LocalDisk(_) | RfsFault::NotMounted(_) => to_heart(out, RfsToHeart::Fault(fault)),
            RfsFault::RemoteDisk(_) | RfsFault::Diverged(_) => {
                to_heart(out, RfsToHeart::Fault(fault.clone()));
                self.link_failed(now, fault, out);
            }
            RfsFault::Stalled | RfsFault::LinkDown | RfsFault::Fenced(_) => {
                self.link_failed(now, fault, out);
            }
        }
    }

    pub(super) fn on_records_failed(&mut self, token: u64, why: String, out: &mut Out) {
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

    pub(super) fn on_drained(&mut self, _seq: Seq, out: &mut Out) {
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

    pub(super) fn on_timer(&mut self, now: Instant, out: &mut Out) {
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
            _ => self.listen_again(out),
        }
    }
}

/// Reference 004, 3.7: the local file server replies.
fn tell_responding(answers: bool, out: &mut Out) {
    let value = if answers { ResourceValue::Up } else { ResourceValue::Down };
    // The name is a good one.
    let named = "rfs.responding".parse().ok().map(|name| (name, value));
    to_heart(out, RfsToHeart::Resources { values: named.into_iter().collect() });
}

/// Reference 004, 13.6.4.7.
fn tell_traffic(traffic: &Traffic, out: &mut Out) {
    let values = [
        ("rfs.rep_bandwidth", traffic.replication),
        ("rfs.rei_bandwidth", traffic.reintegration),
        ("rfs.netout_bandwidth", traffic.net_out),
        ("rfs.netin_bandwidth", traffic.net_in),
    ];
    // These names are good ones.
    let named = |(name, kb_s): (&str, u64)| Some((name.parse().ok()?, ResourceValue::Text(kb_s.to_string())));
    to_heart(out, RfsToHeart::Resources { values: values.into_iter().filter_map(named).collect() });
}
