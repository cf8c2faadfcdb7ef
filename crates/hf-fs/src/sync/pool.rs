//! Reading and digesting with several threads (`nbrei`), on both nodes.
//!
//! Who asks gets a [`Pending`] and looks at it when its turn comes: whatever is answered keeps its order.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hf_wire::frame::{DATA_MAX, DIGEST_LEN};

use super::digest::digest;
use crate::link::{Link, lock};
use crate::pipeline::FileId;

const TICK: Duration = Duration::from_millis(200);

/// Zones of one file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    pub dir: u16,
    pub id: FileId,
    pub first: u64,
    pub count: u64,
}

/// Digests of the zones, [`DIGEST_LEN`] bytes each; fewer than asked for if an error came.
#[derive(Debug, Default)]
pub(crate) struct Digested {
    pub digests: Vec<u8>,
    pub error: Option<io::Error>,
}

/// What will be digested.
pub(crate) struct Pending(Arc<Slot>);

#[derive(Default)]
struct Slot {
    done: Mutex<Option<Digested>>,
    changed: Condvar,
}

impl Pending {
    /// What came of it; none if it takes longer than `limit`, or was taken already.
    pub(crate) fn take(&self, limit: Duration) -> Option<Digested> {
        let done = lock(&self.0.done);
        let (mut done, _) = self
            .0
            .changed
            .wait_timeout_while(done, limit, |done| done.is_none())
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        done.take()
    }
}

/// See the module.
#[derive(Default)]
pub struct Pool {
    /// Threads that were started, and that have begun.
    started: Mutex<u32>,
    begun: AtomicU32,
    waiting: Mutex<VecDeque<(Zones, Arc<Slot>)>>,
    changed: Condvar,
}

impl Pool {
    pub(crate) fn ask(&self, zones: Zones) -> Pending {
        let slot = Arc::new(Slot::default());
        lock(&self.waiting).push_back((zones, slot.clone()));
        self.changed.notify_one();
        Pending(slot)
    }

    fn next(&self) -> Option<(Zones, Arc<Slot>)> {
        let waiting = lock(&self.waiting);
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, TICK, |waiting| waiting.is_empty())
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        waiting.pop_front()
    }
}

impl Link {
    /// Starts the threads that `nbrei` asks for by now. Those that are too many do nothing.
    pub(crate) fn add_readers(self: &Arc<Link>) -> io::Result<()> {
        let mut started = lock(&self.pool.started);
        while *started < self.options.tuning.readers() && !self.is_over() {
            self.spawn("hf-read", Link::read_loop)?;
            *started += 1;
        }
        Ok(())
    }

    /// One of the threads.
    fn read_loop(self: &Arc<Link>) {
        let me = self.pool.begun.fetch_add(1, Ordering::SeqCst);
        let mut buffer = vec![0; DATA_MAX];
        while !self.is_over() {
            if me >= self.options.tuning.readers() {
                std::thread::sleep(TICK);
                continue;
            }
            let Some((zones, slot)) = self.pool.next() else { continue };
            // Nobody wants it any more: what it was for is over.
            if Arc::strong_count(&slot) == 1 {
                continue;
            }
            *lock(&slot.done) = Some(self.digest_zones(&zones, &mut buffer));
            slot.changed.notify_all();
        }
    }

    fn digest_zones(&self, zones: &Zones, buffer: &mut [u8]) -> Digested {
        let mut digested = Digested::default();
        digested.digests.reserve(zones.count as usize * DIGEST_LEN);
        let Some(dir) = self.dirs.get(usize::from(zones.dir)) else { return digested };
        for zone in zones.first..zones.first + zones.count {
            match digest(&dir.backing, zones.id, zone, buffer) {
                Ok(digest) => digested.digests.extend_from_slice(&digest),
                Err(error) => {
                    digested.error = Some(error);
                    break;
                }
            }
        }
        digested
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::harness::*;

    #[test]
    fn answers_belong_to_their_questions_however_many_read() {
        let (a, b) = (free_address(), free_address());
        let node = Node::new(options(a, b, true), 1, 1 << 20);
        node.primary();
        let hands = node.hands();
        let file = hands.create(FileId::ROOT, "file").unwrap();
        for zone in 0..20u64 {
            hands.write(file, zone << 20, &zone.to_le_bytes()).unwrap();
        }
        let ask = |first, count| node.link.pool.ask(Zones { dir: 0, id: file, first, count });
        let asked: Vec<_> = (0..20).map(|zone| ask(zone, 1)).collect();
        let whole = ask(0, 20).take(Duration::from_secs(60)).expect("an answer").digests;
        for (asked, expected) in asked.iter().zip(whole.chunks(DIGEST_LEN)) {
            assert_eq!(asked.take(Duration::from_secs(60)).expect("an answer").digests, expected);
        }
        // Fewer and more of them, while they work.
        for readers in [1, 5] {
            node.link.options.tuning.set(readers, Duration::from_secs(1), false);
            node.link.add_readers().unwrap();
            let some: Vec<_> = (0..20).map(|zone| ask(zone, 1)).collect();
            assert!(some.iter().all(|asked| asked.take(Duration::from_secs(60)).is_some()));
            assert_eq!(*lock(&node.link.pool.started), readers.max(3));
        }
        hands.remove(FileId::ROOT, "file").unwrap();
        let gone = ask(0, 2).take(Duration::from_secs(60)).expect("an answer");
        assert!(gone.error.is_some() && gone.digests.is_empty());
    }
}
