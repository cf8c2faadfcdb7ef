//! [`Pipeline`] for one replicated directory over the link.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hf_replica::engine::EngineEvent;
use hf_types::RfsFault;
use hf_wire::frame::{Body, DATA_MAX};

use super::acks::Need;
use super::common::changes_content;
use super::encode::body_of;
use super::{Flow, Link};
use crate::pipeline::{Admission, Completion, DiskFault, Gate, Op, Order, Pipeline, Refusal, Seq};
use crate::sync::Plan;

/// See the module.
#[derive(Clone)]
pub struct DirPipeline {
    link: Arc<Link>,
    dir: u16,
}

impl DirPipeline {
    /// For the directory of this index.
    pub fn new(link: Arc<Link>, dir: u16) -> DirPipeline {
        DirPipeline { link, dir }
    }

    /// Is it about the content of a file that has no name any more?
    fn is_held(&self, op: &Op<'_>) -> bool {
        let backing = &self.link.dirs[usize::from(self.dir)].backing;
        !op.is_name() && !matches!(op, Op::Barrier { .. }) && backing.is_held(op.id())
    }

    /// While a synchronisation runs: what the other copy can do something with.
    fn append_known(&self, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        let link = &self.link;
        let backing = &link.dirs[usize::from(self.dir)].backing;
        let plan = link.bound.plan(self.dir, op, backing).unwrap_or_else(|error| {
            // What is to be said of the file can't be read: the synchronisation is over, the operation stands.
            link.bound.fail(&format!("reading file {}: {error}", op.id()));
            Plan::Nothing
        });
        let seq = match &plan {
            Plan::Nothing => {
                self.unsent(op);
                Seq(link.ring.unnumbered(mark))
            }
            Plan::Operation => {
                self.begins_equal(op);
                self.send(&body_of(op), mark)?
            }
            Plan::Steps(steps) => {
                let mut seq = Seq(0);
                for step in steps {
                    seq = self.send(&step.body(), mark)?;
                }
                seq
            }
        };
        link.bound.sent(self.dir, op, &plan);
        Ok(seq)
    }

    fn append_marked(&self, admission: &Admission<'_>, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        if !self.gate().is_open_for(admission.epoch()) {
            return Err(Refusal::ReadOnly);
        }
        match self.link.flow() {
            Flow::Following => Err(Refusal::ReadOnly),
            Flow::Alone => {
                self.unsent(op);
                Ok(Seq(self.link.ring.skip(mark)))
            }
            // Nobody there could open it.
            _ if self.is_held(op) => {
                self.unsent(op);
                Ok(Seq(self.link.ring.unnumbered(mark)))
            }
            Flow::InStep => {
                self.begins_equal(op);
                self.send(&body_of(op), mark)
            }
            Flow::Syncing => {
                // Its own lock; the operation's keeps what the plan looked at as it is.
                self.append_known(op, mark)
            }
        }
    }

    /// Carried out here, and not sent.
    fn unsent(&self, op: &Op<'_>) {
        if changes_content(op) {
            self.link.clear_same(self.dir, op.id());
        }
    }

    /// Before its creation is sent: a new file is empty on both.
    fn begins_equal(&self, op: &Op<'_>) {
        if let Op::Create { id, .. } = *op {
            self.link.mark_same(self.dir, id);
        }
    }

    fn send(&self, body: &Body<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        let seq = match *body {
            Body::Write { id, offset, data } if data.len() > DATA_MAX => self.send_parts(id, offset, data, mark),
            _ => self.link.append(self.dir, body, mark),
        };
        // Without room the operation isn't acknowledged, and the stream is over.
        seq.map(Seq).ok_or(Refusal::ReadOnly)
    }

    fn send_parts(&self, id: u64, offset: u64, data: &[u8], mark: Option<&AtomicU64>) -> Option<u64> {
        let mut seq = None;
        for (n, data) in data.chunks(DATA_MAX).enumerate() {
            let offset = offset + (n * DATA_MAX) as u64;
            seq = Some(self.link.append(self.dir, &Body::Write { id, offset, data }, mark)?);
        }
        seq
    }
}

impl Pipeline for DirPipeline {
    fn gate(&self) -> &Gate {
        &self.link.dirs[usize::from(self.dir)].gate
    }

    fn order(&self) -> &Order {
        &self.link.dirs[usize::from(self.dir)].order
    }

    fn append(&self, admission: &Admission<'_>, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        let done = self.append_marked(admission, op, mark);
        if done.is_err() {
            self.link.clear_same(self.dir, op.id());
        }
        done
    }

    fn note(&self, admission: &Admission<'_>, mark: Option<&AtomicU64>) -> Result<(), Refusal> {
        if !self.gate().is_open_for(admission.epoch()) {
            return Err(Refusal::ReadOnly);
        }
        match self.link.flow() {
            Flow::Following => return Err(Refusal::ReadOnly),
            Flow::Alone => self.link.ring.skip(mark),
            Flow::InStep | Flow::Syncing => self.link.ring.unnumbered(mark),
        };
        Ok(())
    }

    fn has_room(&self, bytes: usize) -> bool {
        let link = &self.link;
        !matches!(link.flow(), Flow::InStep | Flow::Syncing) || link.ring.free() >= link.reserve() + bytes
    }

    fn compare_again(&self, why: &str) {
        let link = &self.link;
        link.distrust();
        if matches!(link.flow(), Flow::InStep | Flow::Syncing) {
            link.bound.fail(why);
            link.report(EngineEvent::Fault(RfsFault::Diverged(why.to_owned())));
        }
    }

    fn last(&self) -> Seq {
        Seq(self.link.ring.last())
    }

    fn when_received(&self, seq: Seq, done: Completion) {
        if self.link.acks.when(seq.0, Need::Received, done) {
            // The other node acknowledges writes lazily; somebody waits now.
            self.link.out.direct(&self.link.ring, &Body::Heartbeat);
        }
    }

    fn when_durable(&self, seq: Seq, done: Completion) {
        self.link.acks.when(seq.0, Need::Fulfilled, done);
    }

    fn disk_fault(&self, fault: DiskFault, answer: Completion) {
        let in_step = self.link.stop_acknowledging();
        self.link.distrust_disk();
        let error = std::io::Error::from_raw_os_error(fault.errno);
        let text = format!("{} of file {}: {error}", fault.call, fault.id);
        self.link.report(EngineEvent::Fault(RfsFault::LocalDisk(text)));
        if in_step {
            self.link.keep_failed(answer);
        } else {
            answer(Err(Refusal::Disk));
        }
    }
}
