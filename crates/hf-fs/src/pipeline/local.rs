//! A pipeline with nobody at the other end: for a mount alone, for tests, for measuring.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Admission, Completion, DiskFault, Gate, GateState, Op, Order, Pipeline, Refusal, Seq};

/// Everything completes at once.
pub struct LocalPipeline {
    gate: Gate,
    order: Order,
    last: AtomicU64,
    faults: Mutex<Vec<DiskFault>>,
}

impl LocalPipeline {
    /// In this state.
    pub fn new(state: GateState) -> LocalPipeline {
        LocalPipeline {
            gate: Gate::new(state),
            order: Order::default(),
            last: AtomicU64::new(0),
            faults: Mutex::new(Vec::new()),
        }
    }

    /// The faults of the local disk that were reported so far.
    pub fn faults(&self) -> Vec<DiskFault> {
        self.faults.lock().expect("no panic under this lock").clone()
    }
}

impl Pipeline for LocalPipeline {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn append(&self, admission: &Admission<'_>, _op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        if !self.gate.is_open_for(admission.epoch()) {
            return Err(Refusal::ReadOnly);
        }
        // The counter is the record here: a mark above it would only be missed, never believed wrongly.
        let seq = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(mark) = mark {
            mark.store(seq, Ordering::Release);
        }
        Ok(Seq(seq))
    }

    fn last(&self) -> Seq {
        Seq(self.last.load(Ordering::SeqCst))
    }

    fn when_received(&self, _seq: Seq, done: Completion) {
        done(Ok(()));
    }

    fn when_durable(&self, _seq: Seq, done: Completion) {
        done(Ok(()));
    }

    fn disk_fault(&self, fault: DiskFault, answer: Completion) {
        self.faults.lock().expect("no panic under this lock").push(fault);
        answer(Err(Refusal::Disk));
    }
}
