//! What of synchronisations may change while the link works (reference 004, 13.6.2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Who holds a clone sees each change.
#[derive(Clone, Debug)]
pub struct Tuning(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    readers: AtomicU32,
    answer_ms: AtomicU64,
    detail: AtomicBool,
    connections: AtomicU32,
}

impl Default for Tuning {
    /// The reference's defaults.
    fn default() -> Tuning {
        Tuning::new(3, Duration::from_secs(150), false)
    }
}

impl Tuning {
    /// `nbrei`, `reitimeout`, `reidetail`.
    pub fn new(readers: u32, answer: Duration, detail: bool) -> Tuning {
        let (readers, answer_ms) = (AtomicU32::new(readers), AtomicU64::new(answer.as_millis() as u64));
        let (detail, connections) = (AtomicBool::new(detail), AtomicU32::new(1));
        Tuning(Arc::new(Cells { readers, answer_ms, detail, connections }))
    }

    /// `nbremconn`.
    pub fn with_connections(self, connections: u32) -> Tuning {
        self.0.connections.store(connections, Ordering::SeqCst);
        self
    }

    /// Threads from the next synchronisation or connection on, the others at once.
    pub fn set(&self, readers: u32, answer: Duration, detail: bool) {
        self.0.readers.store(readers, Ordering::SeqCst);
        self.0.answer_ms.store(answer.as_millis() as u64, Ordering::SeqCst);
        self.0.detail.store(detail, Ordering::SeqCst);
    }

    /// How many threads read and digest for a comparison, at least one.
    pub fn readers(&self) -> u32 {
        self.0.readers.load(Ordering::SeqCst).max(1)
    }

    /// How many connections this end makes when it connects, at least one.
    pub fn connections(&self) -> u32 {
        self.0.connections.load(Ordering::SeqCst).max(1)
    }

    /// How long a synchronisation waits for an answer.
    pub fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.0.answer_ms.load(Ordering::SeqCst))
    }

    /// Is each file of which something was copied reported?
    pub fn detail(&self) -> bool {
        self.0.detail.load(Ordering::SeqCst)
    }
}
