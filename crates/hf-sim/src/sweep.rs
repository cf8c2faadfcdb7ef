//! Many seeds, on all processors.

use crate::clock::Time;
use crate::run::{Failure, Options, run};
use crate::transitions::Transitions;
use crate::world::Stats;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all runs together did.
#[derive(Default)]
pub struct Totals {
    /// Seeds that ran to their verdict.
    pub seeds: u64,
    pub acked: u64,
    pub failovers: u64,
    /// As [`Stats::syncs`].
    pub syncs: [u64; 2],
    pub faults: u64,
    /// Fewest faults of one run, and its shortest simulated time; of those that held.
    pub least: Option<(u64, Time)>,
    pub simulated: Time,
    pub transitions: Transitions,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
}

impl Totals {
    fn add(&mut self, outcome: Result<Stats, Box<Failure>>) {
        self.seeds += 1;
        match outcome {
            Ok(stats) => {
                self.acked += stats.acked;
                self.failovers += stats.failovers;
                self.syncs = [0, 1].map(|n| self.syncs[n] + stats.syncs[n]);
                self.faults += stats.faults;
                self.simulated += stats.end;
                let (faults, end) = self.least.unwrap_or((u64::MAX, Time::MAX));
                self.least = Some((faults.min(stats.faults), end.min(stats.end)));
                self.transitions.add(&stats.transitions);
            }
            Err(failure) => {
                self.failures.push(*failure);
                self.failures.sort_by_key(|failure| failure.seed);
            }
        }
    }
}

/// Runs seeds on `threads` threads until all are done or `failures` of them failed; `each` hears of every verdict.
pub fn sweep(
    seeds: Range<u64>,
    options: &Options,
    threads: usize,
    failures: usize,
    each: impl Fn(&Totals) + Sync,
) -> Totals {
    let next = AtomicU64::new(seeds.start);
    let totals = Mutex::new(Totals::default());
    let locked = || totals.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || locked().failures.len() >= failures {
                        return;
                    }
                    let outcome = run(seed, options);
                    let mut totals = locked();
                    totals.add(outcome);
                    each(&totals);
                }
            });
        }
    });
    totals.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
}
