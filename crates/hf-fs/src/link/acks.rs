//! Who waits for the other node, and whether anything may be acknowledged at all.
//!
//! Every acknowledgement is given inside [`Acks`], between counting oneself in and counting oneself out, after a look at the mode.
//! [`Acks::set_mode`] writes the mode, waits until everybody who may have seen the old one is out, and only then returns: after
//! `Hold` no acknowledgement leaves any more. What waits is kept, and completed (or refused) by a later mode.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::pipeline::{Completion, Refusal};

/// Whether acknowledgements may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// None: who comes waits.
    Hold,
    /// At once: nobody to wait for.
    Pass,
    /// When the other node has said so.
    Wait,
    /// EROFS.
    ReadOnly,
    /// EIO: the mount goes away.
    Stopped,
}

impl Mode {
    fn from_u8(value: u8) -> Mode {
        [Mode::Hold, Mode::Pass, Mode::Wait, Mode::ReadOnly]
            .into_iter()
            .find(|m| *m as u8 == value)
            .unwrap_or(Mode::Stopped)
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Received in order there.
    Received,
    /// The barrier is fulfilled there.
    Fulfilled,
}

#[derive(Default)]
struct Waiting {
    received: BTreeMap<(u64, u64), Parked>,
    fulfilled: BTreeMap<(u64, u64), Parked>,
    next: u64,
}

struct Parked {
    since: Instant,
    done: Completion,
}

/// See the module.
pub struct Acks {
    mode: AtomicU8,
    inside: AtomicUsize,
    received: AtomicU64,
    fulfilled: AtomicU64,
    waiting: Mutex<Waiting>,
}

struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Acks {
    fn default() -> Acks {
        Acks {
            mode: AtomicU8::new(Mode::Hold as u8),
            inside: AtomicUsize::new(0),
            received: AtomicU64::new(0),
            fulfilled: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }
}

impl Acks {
    /// What holds now.
    pub fn mode(&self) -> Mode {
        Mode::from_u8(self.mode.load(Ordering::SeqCst))
    }

    /// The other node said that it is so far; wakes who waited for it.
    pub fn advance(&self, received: u64, fulfilled: u64) {
        self.received.fetch_max(received, Ordering::SeqCst);
        self.fulfilled.fetch_max(fulfilled, Ordering::SeqCst);
        self.serve();
    }

    /// Acknowledges `done` when what it needs is true, or keeps it. True when it had to be kept.
    pub fn when(&self, seq: u64, need: Need, done: Completion) -> bool {
        let inside = self.enter();
        let Some(answer) = self.answer(seq, need) else {
            drop(inside);
            self.park(seq, need, done);
            return true;
        };
        done(answer);
        false
    }

    /// See the module. Completions of the new mode run on this thread.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
        self.wait_until_empty();
        self.serve();
    }

    /// From `Wait` to `Hold`, and false when it isn't `Wait`: what the core says meanwhile stands.
    pub fn hold_if_waiting(&self) -> bool {
        let (wait, hold) = (Mode::Wait as u8, Mode::Hold as u8);
        let done = self.mode.compare_exchange(wait, hold, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if done {
            self.wait_until_empty();
        }
        done
    }

    fn wait_until_empty(&self) {
        while self.inside.load(Ordering::SeqCst) != 0 {
            std::thread::yield_now();
        }
    }

    /// How many wait, and since when the one that has waited longest.
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        let waiting = self.lock();
        let all = waiting.received.values().chain(waiting.fulfilled.values());
        (waiting.received.len() + waiting.fulfilled.len(), all.map(|parked| parked.since).min())
    }

    fn enter(&self) -> Inside<'_> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        Inside(&self.inside)
    }

    /// Only inside.
    fn answer(&self, seq: u64, need: Need) -> Option<Result<(), Refusal>> {
        match self.mode() {
            Mode::Hold => None,
            Mode::Pass => Some(Ok(())),
            Mode::Wait => (self.reached(need) >= seq).then_some(Ok(())),
            Mode::ReadOnly => Some(Err(Refusal::ReadOnly)),
            Mode::Stopped => Some(Err(Refusal::Stopping)),
        }
    }

    fn reached(&self, need: Need) -> u64 {
        match need {
            Need::Received => self.received.load(Ordering::SeqCst),
            Need::Fulfilled => self.fulfilled.load(Ordering::SeqCst),
        }
    }

    fn park(&self, seq: u64, need: Need, done: Completion) {
        let mut waiting = self.lock();
        let key = (seq, waiting.next);
        waiting.next += 1;
        let parked = Parked { since: Instant::now(), done };
        match need {
            Need::Received => waiting.received.insert(key, parked),
            Need::Fulfilled => waiting.fulfilled.insert(key, parked),
        };
        drop(waiting);
        // What came between the look and the parking would be missed.
        self.serve();
    }

    /// Completes what can be completed now.
    fn serve(&self) {
        let _inside = self.enter();
        for need in [Need::Received, Need::Fulfilled] {
            loop {
                let mut waiting = self.lock();
                let list = match need {
                    Need::Received => &mut waiting.received,
                    Need::Fulfilled => &mut waiting.fulfilled,
                };
                let Some(entry) = list.first_entry() else { break };
                let Some(answer) = self.answer(entry.key().0, need) else { break };
                let parked = entry.remove();
                drop(waiting);
                (parked.done)(answer);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    type Seen = Arc<Mutex<Vec<(u64, Result<(), Refusal>)>>>;

    fn note(seen: &Seen, seq: u64) -> Completion {
        let seen = seen.clone();
        Box::new(move |answer| seen.lock().unwrap().push((seq, answer)))
    }

    #[test]
    fn barriers_wait_for_the_other_node_and_only_for_what_they_need() {
        let (acks, seen) = (Acks::default(), Seen::default());
        acks.set_mode(Mode::Wait);
        assert!(acks.when(5, Need::Fulfilled, note(&seen, 5)));
        assert!(acks.when(4, Need::Received, note(&seen, 4)));
        acks.advance(5, 0);
        assert_eq!(*seen.lock().unwrap(), [(4, Ok(()))]);
        acks.advance(5, 5);
        assert_eq!(*seen.lock().unwrap(), [(4, Ok(())), (5, Ok(()))]);
        assert!(!acks.when(5, Need::Fulfilled, note(&seen, 55)), "at once");
    }

    #[test]
    fn held_ones_are_completed_by_a_grant_and_refused_by_a_change_of_role() {
        let (acks, seen) = (Acks::default(), Seen::default());
        acks.when(1, Need::Fulfilled, note(&seen, 1));
        acks.advance(9, 9);
        assert!(seen.lock().unwrap().is_empty(), "nothing while held, whatever the other says");
        acks.set_mode(Mode::Pass);
        acks.set_mode(Mode::Hold);
        acks.when(10, Need::Fulfilled, note(&seen, 10));
        acks.set_mode(Mode::ReadOnly);
        assert_eq!(*seen.lock().unwrap(), [(1, Ok(())), (10, Err(Refusal::ReadOnly))]);
    }

    /// The promise of the gate: once `set_mode(Hold)` returned, nothing is acknowledged.
    #[test]
    fn after_hold_returned_no_acknowledgement_leaves() {
        let acks = Arc::new(Acks::default());
        let (held, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let broken = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4u64)
            .map(|n| {
                let (acks, held, stop, broken) = (acks.clone(), held.clone(), stop.clone(), broken.clone());
                std::thread::spawn(move || {
                    let mut seq = n;
                    while !stop.load(Ordering::SeqCst) {
                        let (held, broken) = (held.clone(), broken.clone());
                        let done: Completion = Box::new(move |answer| {
                            if answer.is_ok() && held.load(Ordering::SeqCst) {
                                broken.store(true, Ordering::SeqCst);
                            }
                        });
                        acks.when(seq, Need::Fulfilled, done);
                        acks.advance(seq, seq);
                        seq += 4;
                        if acks.waiting().0 > 1000 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            held.store(false, Ordering::SeqCst);
            acks.set_mode(Mode::Wait);
            std::thread::sleep(Duration::from_micros(50));
            acks.set_mode(Mode::Hold);
            held.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(20));
        }
        stop.store(true, Ordering::SeqCst);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!broken.load(Ordering::SeqCst));
    }
}
