//! How long calls to the disk have been waiting: a disk that hangs gives no error, and nothing can be done about a thread that waits for it, but
//! another thread can see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many calls are watched at once; more than rfs has threads.
const SLOTS: usize = 64;

/// The calls that are under way.
pub struct DiskCalls {
    began: Instant,
    /// Since when, in ms after `began`, plus one; 0: free.
    slots: [AtomicU64; SLOTS],
}

impl Default for DiskCalls {
    fn default() -> DiskCalls {
        DiskCalls { began: Instant::now(), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }
}

/// A call is under way until this is dropped.
pub struct Call<'a>(Option<&'a AtomicU64>);

impl DiskCalls {
    /// A call begins. With no slot free it isn't watched: the others tell of the disk.
    pub fn begin(&self) -> Call<'_> {
        let now = self.now_ms() + 1;
        let free = |slot: &&AtomicU64| slot.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Call(self.slots.iter().find(free))
    }

    /// How long the one that waits longest has waited.
    pub fn longest(&self) -> Duration {
        let since = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|since| *since != 0).min();
        Duration::from_millis(since.map_or(0, |since| self.now_ms().saturating_sub(since - 1)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_and_ends_with_its_call() {
        let calls = DiskCalls::default();
        let long = calls.begin();
        std::thread::sleep(Duration::from_millis(30));
        let short = calls.begin();
        assert!(calls.longest() >= Duration::from_millis(30), "{:?}", calls.longest());
        drop(long);
        assert!(calls.longest() < Duration::from_millis(30), "{:?}", calls.longest());
        drop(short);
        assert_eq!(calls.longest(), Duration::ZERO);
    }

    #[test]
    fn more_calls_than_slots_harm_nothing() {
        let calls = DiskCalls::default();
        let many: Vec<_> = (0..SLOTS + 5).map(|_| calls.begin()).collect();
        drop(many);
        assert!(calls.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
    }
}
