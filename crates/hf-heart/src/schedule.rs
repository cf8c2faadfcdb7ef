//! Says when the schedule of `syncat` comes, by the clock on this node's wall.

use crate::event::{Event, Events};
use hf_config::{Schedule, WallMinute};
use hf_node::heart::HeartInput;
use jiff::civil::DateTime;
use jiff::{ToSpan, Zoned};
use std::time::Duration;

/// A clock that was set forward by more than that has not passed what lies between.
const PASSED_MAX: usize = 180;

/// Tells the loop of each minute of the schedule, until the loop ends.
pub fn watch(schedule: Schedule, events: Events) {
    tokio::spawn(async move {
        let mut seen = Zoned::now().datetime();
        while !events.is_closed() {
            let second = Zoned::now().second();
            let left = u64::try_from(60 - i64::from(second)).unwrap_or(60);
            tokio::time::sleep(Duration::from_secs(left)).await;
            let now = Zoned::now().datetime();
            if comes_between(&schedule, seen, now) && events.send(Event::Input(HeartInput::Scheduled)).is_err() {
                return;
            }
            seen = latest(seen, now);
        }
    });
}

/// Summer time that ends shows an hour twice; it counts once. A clock that was set back by more counts anew.
fn latest(seen: DateTime, now: DateTime) -> DateTime {
    let back = seen.duration_since(now).as_mins();
    if (1..=PASSED_MAX as i64).contains(&back) { seen } else { now }
}

/// Whether the schedule has a minute after `seen`, up to `now`. Of a clock that jumped far, only the minute of `now` counts; an hour
/// that summer time leaves out counts as passed.
fn comes_between(schedule: &Schedule, seen: DateTime, now: DateTime) -> bool {
    let passed = usize::try_from(minute(now).duration_since(minute(seen)).as_mins()).unwrap_or(0);
    let passed = if passed > PASSED_MAX { 1 } else { passed };
    (0..passed).any(|back| {
        let at = i64::try_from(back).ok().and_then(|back| now.checked_sub(back.minutes()).ok());
        at.is_some_and(|at| schedule.comes_at(&wall(at)))
    })
}

fn minute(at: DateTime) -> DateTime {
    at.date().at(at.hour(), at.minute(), 0, 0)
}

fn wall(at: DateTime) -> WallMinute {
    let number = |value: i8| u32::try_from(value).unwrap_or(0);
    WallMinute {
        minute: number(at.minute()),
        hour: number(at.hour()),
        day: number(at.day()),
        month: number(at.month()),
        weekday: number(at.weekday().to_sunday_zero_offset()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::datetime;

    fn comes(text: &str, seen: DateTime, now: DateTime) -> bool {
        comes_between(&Schedule::parse(text).expect("a schedule"), seen, now)
    }

    /// The 21st of November 2026 is a Saturday.
    fn at(hour: i8, minute: i8, second: i8) -> DateTime {
        datetime(2026, 11, 21, hour, minute, second, 0)
    }

    #[test]
    fn each_minute_counts_once() {
        assert!(comes("1 3 * * 6", at(3, 0, 59), at(3, 1, 0)));
        assert!(!comes("1 3 * * 6", at(3, 1, 0), at(3, 1, 59)), "it was this minute already");
        assert!(!comes("1 3 * * 6", at(3, 1, 59), at(3, 2, 0)));
        assert!(!comes("1 3 * * 0", at(3, 0, 59), at(3, 1, 0)), "no Sunday");
        assert!(comes("59 23 21 11 *", at(23, 58, 0), datetime(2026, 11, 22, 0, 0, 0, 0)), "it was missed by a moment");
    }

    #[test]
    fn clocks_that_are_set() {
        assert!(comes("30 2 * * *", at(1, 59, 59), at(3, 0, 0)), "summer time begins");
        assert!(!comes("30 2 * * *", at(1, 59, 59), at(9, 0, 0)), "somebody set the clock");
        assert!(!comes("30 2 * * *", at(2, 59, 59), at(2, 0, 0)), "summer time ends");
        assert_eq!(latest(at(2, 59, 59), at(2, 0, 0)), at(2, 59, 59));
        assert_eq!(latest(at(9, 0, 0), at(2, 0, 0)), at(2, 0, 0));
        assert_eq!(latest(at(2, 0, 0), at(2, 1, 0)), at(2, 1, 0));
    }
}
