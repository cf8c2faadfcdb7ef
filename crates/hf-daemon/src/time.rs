//! Wall-clock times for people.

/// A time from microseconds since 1970 UTC, in this machine's time zone.
pub fn local(us: i64, format: &str) -> String {
    match jiff::Timestamp::from_microsecond(us) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string(),
        Err(_) => format!("{us} us"),
    }
}
