//! `syncat`: when a scheduled synchronisation runs, as the five fields of a crontab line (reference 004, 13.6.4.10).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;

/// What each field counts, with its limits.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("weekday", 0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(super) fn sync_at(rfs: &Element, context: &mut Context) -> Option<String> {
    let value = rfs.get("syncat")?;
    let fields: Vec<&str> = value.text.split_ascii_whitespace().collect();
    let wrong = if value.text.starts_with("/SC") {
        Some("this is the syntax of Windows".to_owned())
    } else if fields.len() != FIELDS.len() {
        Some(format!("it has {} fields", fields.len()))
    } else {
        let bad = FIELDS.iter().zip(&fields).find(|((name, from, to), field)| !is_field(field, name, *from, *to));
        bad.map(|((name, from, to), field)| format!("{field} is no {name} ({from} to {to})"))
    };
    if let Some(wrong) = wrong {
        let message = format!("syncat=\"{}\" isn't a schedule: {wrong}", value.text);
        let help = "minute, hour, day, month, weekday, as in \"01 0 * * *\"".to_owned();
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
        return None;
    }
    Some(fields.join(" "))
}

/// `*`, `5`, `1-5`, `*/10`, `1-20/2`, `mon`, or several of these with commas.
fn is_field(field: &str, name: &str, from: u32, to: u32) -> bool {
    field.split(',').all(|part| {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let steps_well = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| (1..=to).contains(&step)));
        steps_well && is_range(range, name, from, to, step.is_some())
    })
}

fn is_range(range: &str, name: &str, from: u32, to: u32, stepped: bool) -> bool {
    let number = |text: &str| number(text, name).filter(|number| (from..=to).contains(number));
    match range.split_once('-') {
        _ if range == "*" => true,
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => !stepped && number(range).is_some(),
    }
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

    #[test]
    fn fields_of_a_crontab() {
        for good in ["*", "0", "59", "*/10", "1-5", "1-20/2", "0,15,30,45"] {
            assert!(is_field(good, "minute", 0, 59), "{good}");
        }
        for bad in ["", "60", "5-1", "*/0", "1/2", "-", "1-", "a", "1,,2", "+1", "99999999999"] {
            assert!(!is_field(bad, "minute", 0, 59), "{bad}");
        }
        assert!(is_field("mon-fri", "weekday", 0, 7) && is_field("Jan,DEC", "month", 1, 12));
        assert!(!is_field("mon", "month", 1, 12));
    }
}
