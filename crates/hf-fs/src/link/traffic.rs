//! How much travels (reference 004, 13.6.4.7).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hf_replica::engine::{EngineEvent, Traffic};

use super::Link;

/// Over which a mean is taken.
const PERIOD: Duration = Duration::from_secs(3);

/// What was counted at the beginning of the period, and what was said last.
pub(super) struct Meter {
    since: Instant,
    before: [u64; 4],
    said: Traffic,
}

impl Meter {
    pub(super) fn new(link: &Link) -> Meter {
        Meter { since: Instant::now(), before: link.counted(), said: Traffic::default() }
    }

    /// Reports what has changed, once a period.
    pub(super) fn tick(&mut self, link: &Link) {
        let elapsed = self.since.elapsed();
        if elapsed < PERIOD {
            return;
        }
        let now = link.counted();
        let [replication, reintegration, net_out, net_in] = rates(self.before, now, elapsed);
        (self.since, self.before) = (Instant::now(), now);
        let traffic = Traffic { replication, reintegration, net_out, net_in };
        if traffic != self.said {
            self.said = traffic;
            link.report(EngineEvent::Traffic(traffic));
        }
    }
}

/// In KB (1000 bytes) a second, rounded up: a little is not nothing.
fn rates(before: [u64; 4], now: [u64; 4], elapsed: Duration) -> [u64; 4] {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    std::array::from_fn(|at| now[at].saturating_sub(before[at]).div_ceil(ms))
}

impl Link {
    fn counted(&self) -> [u64; 4] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = &self.statistics;
        [of(&all.replicated), of(&all.reintegrated), of(&self.out.bytes), of(&all.received)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_and_a_little_is_not_nothing() {
        let rates = rates([5, 0, 0, 9], [3_000_005, 1, 0, 0], Duration::from_secs(3));
        assert_eq!(rates, [1000, 1, 0, 0]);
    }
}
