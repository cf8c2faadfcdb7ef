use hf_types::Instant;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, on the clock that counts through suspend.
pub fn now() -> Instant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0); // never before boot
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant(seconds * 1_000_000_000 + nanos)
}

/// Wall clock, microseconds since 1970 UTC. For people only.
pub fn wall_us() -> i64 {
    since_epoch_us(SystemTime::now())
}

/// A file's time as [`wall_us`] counts.
pub fn since_epoch_us(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The id of this boot of the kernel; empty where the kernel doesn't say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned()).unwrap_or_default()
}
