//! What changed and wasn't covered by a barrier yet, so that it can be made durable in time (P1) without syncing what
//! applications synced themselves.
//!
//! The hot path marks without a lock. A mark is set *after* the change and taken away *before* the sync: whoever finds a mark set
//! leaves it to a sync that begins later.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use crate::pipeline::FileId;

const SLOTS: usize = 256;
/// A file's mark is in one of so many neighbouring slots.
const PROBES: usize = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Unsynced {
    content: Marks,
    /// Attributes, and the names in a directory: `fdatasync` doesn't cover them.
    attributes: Marks,
    /// Syncs that took marks away and haven't ended.
    running: AtomicUsize,
    /// A sync failed: that a file has no mark means nothing any more in this process (P11).
    failed: AtomicBool,
}

/// A sync that is under way; see [`Unsynced::begin`].
pub(super) struct Running<'a>(&'a Unsynced);

impl Running<'_> {
    /// Ends it with its result.
    pub fn end<T>(self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.0.failed.store(true, Ordering::SeqCst);
        }
        result
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What was marked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// These files; true: only their content.
    Files(BTreeMap<u64, bool>),
    /// More than is known one by one.
    Everything,
}

impl Unsynced {
    /// The content of this file changed.
    pub fn content(&self, id: FileId) {
        self.content.set(id);
    }

    /// Attributes of this file changed, or names in this directory.
    pub fn attributes(&self, id: FileId) {
        self.attributes.set(id);
    }

    /// Nothing is known of what changed.
    pub fn everything(&self) {
        self.content.lost.store(true, Ordering::SeqCst);
    }

    /// The file is about to be synced, by `fdatasync` (`data_only`) or `fsync`.
    pub fn clear(&self, id: FileId, data_only: bool) {
        self.content.clear(id);
        if !data_only {
            self.attributes.clear(id);
        }
    }

    /// To be called before a sync takes marks away; the sync ends when the value is dropped.
    pub fn begin(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self)
    }

    /// Is all that ever changed in this file on the disk? True only if that is certain: marks first, then the running syncs, because a
    /// sync takes marks away while it is counted.
    pub fn is_durable(&self, id: FileId) -> bool {
        fence(Ordering::SeqCst);
        !self.content.may_have(id)
            && !self.attributes.may_have(id)
            && self.running.load(Ordering::SeqCst) == 0
            && !self.failed.load(Ordering::SeqCst)
    }

    /// Is nothing marked?
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        [&self.content, &self.attributes].into_iter().all(|marks| {
            !marks.lost.load(Ordering::SeqCst) && marks.slots.iter().all(|slot| slot.load(Ordering::SeqCst) == 0)
        })
    }

    /// Takes all marks; the caller syncs then.
    pub fn take(&self) -> Taken {
        let mut files = BTreeMap::new();
        let content = self.content.take(|id| {
            files.insert(id, true);
        });
        let attributes = self.attributes.take(|id| {
            files.insert(id, false);
        });
        if content && attributes { Taken::Files(files) } else { Taken::Everything }
    }
}

/// A set of file ids of bounded size.
struct Marks {
    /// 0: free.
    slots: [AtomicU64; SLOTS],
    /// Some found no slot.
    lost: AtomicBool,
}

impl Default for Marks {
    /// What an earlier process of ours left isn't known.
    fn default() -> Marks {
        Marks { slots: [const { AtomicU64::new(0) }; SLOTS], lost: AtomicBool::new(true) }
    }
}

impl Marks {
    fn set(&self, id: FileId) {
        // The change first, then the look at the slots: against `clear`, which does it the other way round.
        fence(Ordering::SeqCst);
        for slot in self.near(id) {
            let there = match slot.load(Ordering::SeqCst) {
                0 => slot.compare_exchange(0, id.0, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|other| other),
                other => other,
            };
            if there == id.0 || there == 0 {
                return;
            }
        }
        self.lost.store(true, Ordering::SeqCst);
    }

    fn may_have(&self, id: FileId) -> bool {
        self.lost.load(Ordering::SeqCst) || self.near(id).any(|slot| slot.load(Ordering::SeqCst) == id.0)
    }

    /// In all slots: two threads may have set it at once.
    fn clear(&self, id: FileId) {
        for slot in self.near(id) {
            if slot.load(Ordering::SeqCst) == id.0 {
                // Somebody else may have cleared it meanwhile.
                let _ = slot.compare_exchange(id.0, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
        fence(Ordering::SeqCst);
    }

    /// False when some were lost.
    fn take(&self, mut each: impl FnMut(u64)) -> bool {
        let whole = !self.lost.swap(false, Ordering::SeqCst);
        for slot in &self.slots {
            if slot.load(Ordering::SeqCst) == 0 {
                continue;
            }
            // A barrier may have taken it meanwhile.
            match slot.swap(0, Ordering::SeqCst) {
                0 => {}
                id => each(id),
            }
        }
        fence(Ordering::SeqCst);
        whole
    }

    fn near(&self, id: FileId) -> impl Iterator<Item = &AtomicU64> {
        // Fibonacci hashing: ids are counters.
        let first = (id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize;
        (0..PROBES).map(move |n| &self.slots[(first + n) % SLOTS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Unsynced {
        let unsynced = Unsynced::default();
        assert_eq!(unsynced.take(), Taken::Everything, "nothing is known at first");
        unsynced
    }

    fn files<const N: usize>(files: [(u64, bool); N]) -> Taken {
        Taken::Files(files.into())
    }

    #[test]
    fn a_barrier_takes_the_mark_of_what_it_covers() {
        let unsynced = empty();
        for id in [3, 4, 5] {
            unsynced.content(FileId(id));
            unsynced.content(FileId(id));
        }
        unsynced.attributes(FileId(4));
        unsynced.attributes(FileId(5));
        unsynced.clear(FileId(3), true);
        unsynced.clear(FileId(4), true);
        unsynced.clear(FileId(5), false);
        unsynced.content(FileId(6));
        assert_eq!(unsynced.take(), files([(4, false), (6, true)]));
        assert_eq!(unsynced.take(), files([]));
    }

    #[test]
    fn no_mark_is_lost_when_there_are_too_many() {
        let unsynced = empty();
        for many in [1, 10, 100, 1000u64] {
            (1..=many).for_each(|id| unsynced.content(FileId(id)));
            match unsynced.take() {
                Taken::Files(files) => assert!(files.into_keys().eq(1..=many)),
                Taken::Everything => assert!(many > PROBES as u64),
            }
            assert_eq!(unsynced.take(), files([]));
        }
        (1..=1000).for_each(|id| unsynced.attributes(FileId(id)));
        assert_eq!(unsynced.take(), Taken::Everything);
    }

    #[test]
    fn a_file_is_durable_when_nothing_of_it_is_marked_and_no_sync_runs_or_failed() {
        let unsynced = Unsynced::default();
        assert!(!unsynced.is_durable(FileId(3)), "nothing is known at first");
        unsynced.take();
        assert!(unsynced.is_durable(FileId(3)));
        unsynced.content(FileId(3));
        unsynced.attributes(FileId(4));
        assert!(!unsynced.is_durable(FileId(3)) && !unsynced.is_durable(FileId(4)) && unsynced.is_durable(FileId(5)));
        let running = unsynced.begin();
        unsynced.take();
        assert!(!unsynced.is_durable(FileId(3)), "its mark is taken, its sync still runs");
        running.end(Ok(())).unwrap();
        assert!(unsynced.is_durable(FileId(3)));
        (1..=1000).for_each(|id| unsynced.content(FileId(id)));
        assert!(!unsynced.is_durable(FileId(2000)), "marks were lost");
        unsynced.take();
        unsynced.begin().end::<()>(Err(io::ErrorKind::Other.into())).unwrap_err();
        assert!(!unsynced.is_durable(FileId(3)), "after an error nothing is certain");
    }

    /// A writer's change is covered by a sync that began after it, or is still marked: with many writers, takers and barriers at once.
    #[test]
    fn a_change_is_synced_or_marked() {
        let unsynced = empty();
        let changed: Vec<_> = (0..64).map(|_| AtomicU64::new(0)).collect();
        let synced: Vec<_> = (0..64).map(|_| AtomicU64::new(0)).collect();
        let sync = |id: u64| {
            let upto = changed[id as usize].load(Ordering::Relaxed);
            synced[id as usize].fetch_max(upto, Ordering::Relaxed);
        };
        let sync_taken = || match unsynced.take() {
            Taken::Files(files) => files.into_keys().for_each(sync),
            Taken::Everything => (0..64).for_each(sync),
        };
        std::thread::scope(|scope| {
            for writer in 0..2u64 {
                let (changed, unsynced) = (&changed, &unsynced);
                scope.spawn(move || {
                    for round in 0..20_000u64 {
                        let id = (round * 7 + writer) % 63 + 1;
                        changed[id as usize].fetch_add(1, Ordering::Relaxed);
                        unsynced.content(FileId(id));
                        if round % 3 == 0 {
                            unsynced.clear(FileId(id), true);
                            sync(id);
                        }
                    }
                });
            }
            scope.spawn(|| (0..2000).for_each(|_| sync_taken()));
        });
        sync_taken();
        for (changed, synced) in changed.iter().zip(&synced) {
            assert_eq!(changed.load(Ordering::Relaxed), synced.load(Ordering::Relaxed));
        }
    }
}
