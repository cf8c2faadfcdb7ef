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
    let late = clock::now().since(wake);
    (late >= STALL).then(|| u64::try_from(late.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_late_is_a_stall() {
        let now = clock::now();
        assert_eq!(stalled_ms(now + IDLE), None);
        let long_ago = Instant(now.0 - 1_000_000_000);
        assert!(stalled_ms(long_ago).is_some_and(|ms| ms >= 1000));
        assert!(at(Some(long_ago)) == long_ago && at(None) > now);
    }
}
