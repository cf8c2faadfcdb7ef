//! When a loop wakes, and whether it stood still (frozen, starved) instead.

use crate::clock;
use hf_types::Instant;
use std::time::Duration;

/// A loop that comes back this much later than it meant to has stood still: it is told before anything else.
const STALL: Duration = Duration::from_millis(150);
/// With nothing to wait for it looks around this often, so that a stall is noticed then too.
const IDLE: Duration = Duration::from_millis(500);

/// When to wake for a deadline, or to look around.
pub fn at(deadline: Option<Instant>) -> Instant {
    let idle = clock::now() + IDLE;
    deadline.map_or(idle, |deadline| deadline.min(idle))
}

/// How many milliseconds too late it is now, if that is a stall.
pub fn stalled_ms(wake: Instant) -> Option<u64> {
    late_ms(wake, clock::now(), STALL)
}

fn late_ms(expected: Instant, now: Instant, limit: Duration) -> Option<u64> {
    let late = now.since(expected);
    (late >= limit).then(|| u64::try_from(late.as_millis()).unwrap_or(u64::MAX))
}

/// Notices a stall wherever the loop stands when it comes: while it waits, and between two decisions too. A process that is stopped, starved,
/// or held up in a system call in the middle of its work would else count the time as the silence of others.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// By when the loop should have been back.
    expected: Instant,
}

impl Watch {
    /// The loop runs.
    pub fn new(now: Instant) -> Watch {
        Watch { expected: now }
    }

    /// It goes to sleep until then.
    pub fn sleeps_until(&mut self, wake: Instant) {
        self.expected = self.expected.max(wake);
    }

    /// It is awake (or about to decide something): how many milliseconds too late, if that is more than a stall of `limit` (never more than
    /// 150 ms are let pass).
    pub fn late_ms(&mut self, now: Instant, limit: Duration) -> Option<u64> {
        let late = late_ms(self.expected, now, limit.min(STALL));
        self.expected = now;
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_seen_in_the_middle_of_the_work_too() {
        let at = |ms: u64| Instant(ms * 1_000_000);
        let limit = Duration::from_millis(33);
        let mut watch = Watch::new(at(0));
        assert_eq!(watch.late_ms(at(20), limit), None);
        assert_eq!(watch.late_ms(at(53), limit), Some(33), "between two decisions");
        watch.sleeps_until(at(1_000));
        assert_eq!(watch.late_ms(at(500), limit), None, "woken early");
        watch.sleeps_until(at(1_000));
        assert_eq!(watch.late_ms(at(1_010), limit), None);
        watch.sleeps_until(at(2_000));
        assert_eq!(watch.late_ms(at(2_200), Duration::from_secs(10)), Some(200), "however patient the lanes are");
        watch.sleeps_until(at(100));
        assert_eq!(
            watch.late_ms(at(2_210), limit),
            None,
            "a deadline that lies behind is no stall: the loop was awake since"
        );
    }

    #[test]
    fn only_what_is_late_is_a_stall() {
        let now = clock::now();
        assert_eq!(stalled_ms(now + IDLE), None);
        let long_ago = Instant(now.0 - 1_000_000_000);
        assert!(stalled_ms(long_ago).is_some_and(|ms| ms >= 1000));
        assert!(at(Some(long_ago)) == long_ago && at(None) > now);
    }
}
