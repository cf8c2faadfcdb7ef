use serde::{Deserialize, Serialize};
use std::ops::Add;
use std::time::Duration;

/// A moment on the clock that counts through suspend (CLOCK_BOOTTIME), in nanoseconds since boot.
///
/// Decisions never read a clock: the shell passes `now` in, and the simulator passes whatever it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Instant {
    /// Time since `earlier`, zero if `earlier` lies in the future.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment this long before, but never before boot.
    pub fn before(self, time: Duration) -> Instant {
        Instant(self.0.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rhs: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}
