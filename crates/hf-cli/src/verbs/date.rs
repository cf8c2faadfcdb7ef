//! The dates of `secondforce -d` (reference 004, 13.6.4.8).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Seconds since 1970 UTC of `YYYY-MM-DD[Z]`, `YYYY-MM-DD hh:mm:ss[Z]` or `YYYY-MM-DDThh:mm:ss[Z]`.
///
/// # Errors
/// A sentence for the person who wrote it.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    parse_in(text, &TimeZone::system())
}

fn parse_in(text: &str, here: &TimeZone) -> Result<i64, String> {
    let (date, zone) = match text.strip_suffix('Z') {
        Some(date) => (date, TimeZone::UTC),
        None => (text, here.clone()),
    };
    let wrong =
        || format!("{text:?} is no date: write it as 2016-03-01, \"2016-03-01 12:00:00\" or 2016-03-01T12:00:00Z");
    let moment = match date.len() {
        10 => date.parse::<Date>().map(|date| date.at(0, 0, 0, 0)).map_err(|_| wrong())?,
        19 => date.parse::<DateTime>().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let zoned = moment.to_zoned(zone).map_err(|error| format!("{text:?}: {error}"))?;
    Ok(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_reference() {
        let east = TimeZone::fixed(jiff::tz::offset(2));
        let parse = |text| parse_in(text, &east);
        assert_eq!(parse("2016-03-01Z"), Ok(1_456_790_400));
        assert_eq!(parse("2016-03-01"), Ok(1_456_790_400 - 7200));
        assert_eq!(parse("2016-03-01 12:00:00"), Ok(1_456_790_400 + 10 * 3600));
        assert_eq!(parse("2016-03-01T12:00:00Z"), Ok(1_456_790_400 + 12 * 3600));
        for wrong in ["", "yesterday", "2016-13-01", "2016-03-01T12:00", "2016-03-01T12:00:00+02:00", "01.03.2016"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
