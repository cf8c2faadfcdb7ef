//! No faster than `reiallowedbw` (reference 004, 13.6.3: within 10 %).

use std::time::{Duration, Instant};

/// Time in which nothing was sent counts for so much at most: a synchronisation that compared for minutes must not send
/// what it saved in one burst.
const CREDIT: Duration = Duration::from_millis(100);

/// Tells before each piece how long to wait.
#[derive(Debug)]
pub(in crate::sync) struct Pace {
    /// Bytes a second; none: as fast as it goes.
    bandwidth: Option<u64>,
    /// When all pieces so far would have gone out at exactly that rate.
    through: Option<Instant>,
}

impl Pace {
    pub(in crate::sync) fn new(bandwidth: Option<u64>) -> Pace {
        Pace { bandwidth: bandwidth.filter(|bandwidth| *bandwidth > 0), through: None }
    }

    /// `bytes` were sent or read.
    pub(in crate::sync) fn charge(&mut self, now: Instant, bytes: u64) {
        let Some(bandwidth) = self.bandwidth else { return };
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let from = self.through.unwrap_or(now).max(earliest);
        self.through = Some(from + Duration::from_secs_f64(bytes as f64 / bandwidth as f64));
    }

    /// How long from `now` until the next piece may go. Wait for it without a lock.
    pub(in crate::sync) fn due(&self, now: Instant) -> Duration {
        self.through.map_or(Duration::ZERO, |through| through.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Sends pieces of 64 KiB that each take `cost` for `seconds`, then says how many bytes went out.
    fn sent(pace: &mut Pace, now: &mut Instant, cost: Duration, seconds: u64) -> u64 {
        let end = *now + Duration::from_secs(seconds);
        let mut bytes = 0;
        while *now < end {
            *now += cost;
            bytes += 65_536;
            pace.charge(*now, 65_536);
            *now += pace.due(*now);
        }
        bytes
    }

    #[test]
    fn the_rate_is_kept_within_a_tenth() {
        let (mut pace, mut now) = (Pace::new(Some(20 * MIB)), Instant::now());
        let bytes = sent(&mut pace, &mut now, Duration::from_micros(500), 10);
        assert!(bytes.abs_diff(200 * MIB) <= 20 * MIB, "{bytes}");
    }

    #[test]
    fn a_long_comparison_is_no_credit_for_a_burst() {
        let (mut pace, mut now) = (Pace::new(Some(20 * MIB)), Instant::now());
        sent(&mut pace, &mut now, Duration::from_micros(500), 1);
        now += Duration::from_secs(600);
        let bytes = sent(&mut pace, &mut now, Duration::from_micros(10), 2);
        assert!(bytes <= 44 * MIB, "{bytes} in two seconds");
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        for unlimited in [None, Some(0)] {
            let mut pace = Pace::new(unlimited);
            pace.charge(Instant::now(), u64::MAX);
            assert_eq!(pace.due(Instant::now()), Duration::ZERO);
        }
    }
}
