//! A pipeline with nobody at the other end: for a mount alone, for tests, for measuring.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Admission, Completion, DiskFault, FileId, Gate, GateState, Op, Order, Pipeline, Refusal, Seq};

/// Everything completes at once.
pub struct LocalPipeline {
    gate: Gate,
    order: Order,
    last: Counter,
    appending: Mutex<()>,
    faults: Mutex<Vec<DiskFault>>,
}

impl LocalPipeline {
    /// In this state, counting from 1.
    pub fn new(state: GateState) -> LocalPipeline {
        LocalPipeline::counting(Counter::Own(AtomicU64::new(0)), state)
    }

    /// The same, its counter kept in the first word of a memory file, so that a successor goes on where this process died.
    pub fn kept(file: OwnedFd, state: GateState) -> io::Result<LocalPipeline> {
        Ok(LocalPipeline::counting(Counter::map(&file)?, state))
    }

    fn counting(last: Counter, state: GateState) -> LocalPipeline {
        LocalPipeline {
            gate: Gate::new(state),
            order: Order::default(),
            last,
            appending: Mutex::new(()),
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
        let _one_at_a_time = self.appending.lock().expect("no panic under this lock");
        let seq = self.last.get().load(Ordering::Relaxed) + 1;
        if let Some(mark) = mark {
            mark.store(seq, Ordering::Release);
        }
        // The counter is the record here: it moves after the mark.
        self.last.get().store(seq, Ordering::Release);
        Ok(Seq(seq))
    }

    fn note(&self, admission: &Admission<'_>, mark: Option<&AtomicU64>) -> Result<(), Refusal> {
        self.append(admission, &Op::Barrier { id: FileId::ROOT }, mark).map(|_| ())
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    fn compare_again(&self, why: &str) {
        tracing::error!("there is no other copy that could be compared: {why}");
    }

    fn last(&self) -> Seq {
        Seq(self.last.get().load(Ordering::Acquire))
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

enum Counter {
    Own(AtomicU64),
    /// Mapped for the rest of the process's life.
    Kept(&'static AtomicU64),
}

impl Counter {
    fn map(file: &OwnedFd) -> io::Result<Counter> {
        if rustix::fs::fstat(file)?.st_size < 4096 {
            rustix::fs::ftruncate(file, 4096)?;
        }
        // SAFETY: a new shared mapping of one page, never unmapped.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: page-aligned and mapped forever.
        Ok(Counter::Kept(unsafe { &*base.cast() }))
    }

    fn get(&self) -> &AtomicU64 {
        match self {
            Counter::Own(counter) => counter,
            Counter::Kept(counter) => counter,
        }
    }
}
