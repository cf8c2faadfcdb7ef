//! The simulator's own time: nanoseconds since the run began, the same for everybody.

/// A moment of the run, in nanoseconds.
pub type Time = u64;
/// One millisecond.
pub const MS: Time = 1_000_000;
/// One second.
pub const SEC: Time = 1000 * MS;

/// A duration of the core's in the simulator's unit.
pub fn nanos(duration: std::time::Duration) -> Time {
    Time::try_from(duration.as_nanos()).unwrap_or(Time::MAX)
}
