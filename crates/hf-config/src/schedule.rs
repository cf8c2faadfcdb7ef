//! A schedule as the five fields of a crontab line (reference 004, 13.6.3, `syncat`), in the forms of Debian's cron.

use serde::{Deserialize, Serialize};

/// What each field counts, with its limits.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("weekday", 0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// What crontab has words for.
const WORDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
/// The longest each month can be.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A minute as a clock on the wall and a calendar show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallMinute {
    pub minute: u32,
    pub hour: u32,
    /// Of the month, from 1.
    pub day: u32,
    /// From 1.
    pub month: u32,
    /// 0: Sunday.
    pub weekday: u32,
}

/// Minutes that come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0 only.
    weekdays: u64,
    /// The day's field or the weekday's begins with `*`: then both have to be right, else either.
    both_days: bool,
}

impl Schedule {
    /// Reads the five fields, or a word such as `@daily`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if text.starts_with("/SC") {
            return Err("this is the syntax of Windows".to_owned());
        }
        let word = WORDS.iter().find(|(word, _)| *word == text);
        if word.is_none() && text.starts_with('@') {
            return Err(format!("{text} is no schedule of a synchronisation"));
        }
        let fields: Vec<&str> = word.map_or(text.as_str(), |(_, fields)| fields).split(' ').collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("it has {} fields", fields.len()));
        };
        let set = |at: usize, field: &str| {
            let (name, from, to) = FIELDS[at];
            set_of(field, name, from, to).ok_or_else(|| format!("{field} is no {name} ({from} to {to})"))
        };
        let (minutes, hours, days) = (set(0, minute)?, set(1, hour)?, set(2, day)?);
        let (months, weekdays) = (set(3, month)?, set(4, weekday)?);
        let both_days = day.starts_with('*') || weekday.starts_with('*');
        let weekdays = (weekdays | weekdays >> 7) & 0x7f;
        let schedule = Schedule { text, minutes, hours, days, months, weekdays, both_days };
        if schedule.both_days && !schedule.has_a_day() {
            return Err("no month of it has such a day".to_owned());
        }
        Ok(schedule)
    }

    fn has_a_day(&self) -> bool {
        let shortest = self.days.trailing_zeros();
        (1..).zip(MONTH_DAYS).any(|(month, days)| has(self.months, month) && shortest <= days)
    }

    /// Whether the schedule comes at this minute.
    pub fn comes_at(&self, at: &WallMinute) -> bool {
        let (day, weekday) = (has(self.days, at.day), has(self.weekdays, at.weekday));
        let days = if self.both_days { day && weekday } else { day || weekday };
        days && has(self.minutes, at.minute) && has(self.hours, at.hour) && has(self.months, at.month)
    }
}

/// As it was written, with single spaces.
impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn has(set: u64, number: u32) -> bool {
    number < u64::BITS && set & (1 << number) != 0
}

/// `*`, `5`, `1-5`, `*/10`, `1-20/2`, `mon`, or several of these with commas, as a bit for each number.
fn set_of(field: &str, name: &str, from: u32, to: u32) -> Option<u64> {
    field.split(',').map(|part| part_of(part, name, from, to)).try_fold(0, |all, part| Some(all | part?))
}

fn part_of(part: &str, name: &str, from: u32, to: u32) -> Option<u64> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let number = |text: &str| number(text, name).filter(|number| (from..=to).contains(number));
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (from, to),
        Some((first, last)) => (number(first)?, number(last)?),
        None if step.is_some() => return None,
        None => (number(range)?, number(range)?),
    };
    let step = match step {
        None => 1,
        Some(step) => step.parse::<u32>().ok().filter(|step| (1..=to).contains(step))?,
    };
    let numbers = (first..=last).step_by(step as usize);
    (first <= last).then(|| numbers.fold(0, |set, number| set | 1 << number))
}

fn number(text: &str, name: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let place = |names: &[&str]| names.iter().position(|name| *name == lower).and_then(|at| u32::try_from(at).ok());
    match name {
        "month" if place(&MONTHS).is_some() => place(&MONTHS).map(|at| at + 1),
        "weekday" if place(&WEEKDAYS).is_some() => place(&WEEKDAYS),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `day month weekday hour:minute`, weekday 0 is Sunday.
    fn at(text: &str) -> WallMinute {
        let numbers: Vec<u32> = text.split([' ', ':']).map(|number| number.parse().unwrap()).collect();
        let [day, month, weekday, hour, minute] = numbers[..] else { panic!("{text}") };
        WallMinute { minute, hour, day, month, weekday }
    }

    #[test]
    fn fields_of_a_crontab() {
        for good in ["*", "0", "59", "*/10", "1-5", "1-20/2", "0,15,30,45"] {
            assert!(set_of(good, "minute", 0, 59).is_some(), "{good}");
        }
        for bad in ["", "60", "5-1", "*/0", "1/2", "-", "1-", "a", "1,,2", "+1", "99999999999"] {
            assert!(set_of(bad, "minute", 0, 59).is_none(), "{bad}");
        }
        assert_eq!(set_of("1-10/4,0", "minute", 0, 59), Some(1 << 0 | 1 << 1 | 1 << 5 | 1 << 9));
        assert_eq!(set_of("Jan,DEC", "month", 1, 12), Some(1 << 1 | 1 << 12));
        assert!(set_of("mon-fri", "weekday", 0, 7).is_some());
        assert!(set_of("mon", "month", 1, 12).is_none());
    }

    #[test]
    fn when_it_comes() {
        // The reference's own example, and what cron makes of days and weekdays.
        for (text, comes, not) in [
            ("01 0 * * *", &["1 1 0 0:1", "31 12 3 0:1"][..], &["1 1 0 0:0", "1 1 0 1:1"][..]),
            ("*/30 8-18 * * mon-fri", &["5 6 1 8:0", "5 6 5 18:30"], &["5 6 6 8:0", "5 6 1 19:0", "5 6 1 8:15"]),
            ("0 3 13 * 5", &["13 2 1 3:0", "6 2 5 3:0", "13 2 5 3:0"], &["6 2 4 3:0"]),
            ("0 3 */2 * 5", &["13 2 5 3:0"], &["13 2 1 3:0", "12 2 5 3:0"]),
            ("0 0 * * 7", &["9 9 0 0:0"], &["9 9 1 0:0"]),
            ("0 0 * * 5-7", &["9 9 0 0:0", "9 9 5 0:0"], &["9 9 4 0:0"]),
            ("0 0 29 feb *", &["29 2 3 0:0"], &["29 3 3 0:0"]),
            ("@hourly", &["9 9 1 4:0"], &["9 9 1 4:1"]),
            ("@weekly", &["9 9 0 0:0"], &["9 9 1 0:0"]),
        ] {
            let schedule = Schedule::parse(text).unwrap();
            for time in comes {
                assert!(schedule.comes_at(&at(time)), "{text} comes at {time}");
            }
            for time in not {
                assert!(!schedule.comes_at(&at(time)), "{text} does not come at {time}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("/SC DAILY /ST 00:01:00", "Windows"),
            ("1 2 3 4", "4 fields"),
            ("", "1 fields"),
            ("61 0 * * *", "61 is no minute (0 to 59)"),
            ("0 0 31 2,4 *", "no month"),
            ("@reboot", "@reboot"),
        ] {
            let error = Schedule::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(Schedule::parse("0 0 31 2 1").is_ok(), "every Monday in February");
        assert_eq!(Schedule::parse(" 1  0 * *   * ").unwrap().to_string(), "1 0 * * *");
    }
}
