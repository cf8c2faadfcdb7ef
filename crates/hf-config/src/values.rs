//! Attribute values: numbers, switches, durations, names, addresses. Each reader reports what is wrong with a value
//! and then goes on with a stand-in, so that one bad value hides no other error.

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::spec::Form;
use hf_types::nearest;

/// The unit of a duration that is written as a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
}

impl Unit {
    fn in_ms(self) -> u64 {
        match self {
            Unit::Milliseconds => 1,
            Unit::Seconds => 1_000,
            Unit::Minutes => 60_000,
            Unit::Hours => 3_600_000,
        }
    }

    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Milliseconds => "milliseconds",
            Unit::Seconds => "seconds",
            Unit::Minutes => "minutes",
            Unit::Hours => "hours",
        }
    }

    fn from_suffix(suffix: &str) -> Option<Unit> {
        match suffix {
            "ms" => Some(Unit::Milliseconds),
            "s" => Some(Unit::Seconds),
            "m" => Some(Unit::Minutes),
            "h" => Some(Unit::Hours),
            _ => None,
        }
    }
}

/// `30s`, `700ms`, `5m`, `24h`, or a bare number in `bare` (the reference's old unit), as milliseconds.
pub(crate) fn duration_ms(text: &str, bare: Unit) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = if digits == text.len() { bare } else { Unit::from_suffix(&text[digits..])? };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit.in_ms())
}

impl Element<'_> {
    /// A duration in milliseconds, or the table's default where it is absent or wrong.
    pub(crate) fn duration(&self, name: &str, context: &mut Context) -> u64 {
        match self.form(name) {
            Some(Form::Duration { default, .. }) => self.duration_or(name, default, context),
            _ => 0,
        }
    }

    /// As [`Element::duration`], with a default that another tag gives.
    pub(crate) fn duration_or(&self, name: &str, default: u64, context: &mut Context) -> u64 {
        let (Some(value), Some(Form::Duration { bare, from, to, .. })) = (self.get(name), self.form(name)) else {
            return default;
        };
        let (message, help) = match duration_ms(&value.text, bare) {
            Some(ms) if (from..=to).contains(&ms) => return ms,
            Some(_) => {
                (format!("{name}=\"{}\" is out of range", value.text), format!("from {} to {}", shown(from), shown(to)))
            }
            None => (
                format!("{name}=\"{}\" isn't a duration", value.text),
                format!("a number of {}, or with a unit: 700ms, 30s, 5m, 24h", bare.name()),
            ),
        };
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
        default
    }

    /// A whole number; the table's default, if it has one, where it is absent or wrong.
    pub(crate) fn number(&self, name: &str, context: &mut Context) -> Option<u64> {
        let Some(Form::Number { from, to, default, .. }) = self.form(name) else {
            return None;
        };
        let Some(value) = self.get(name) else {
            return default;
        };
        let digits_only = !value.text.is_empty() && value.text.bytes().all(|byte| byte.is_ascii_digit());
        match value.text.parse::<u64>() {
            Ok(number) if digits_only && (from..=to).contains(&number) => return Some(number),
            _ => {}
        }
        let wrong = if digits_only { "is out of range" } else { "isn't a whole number" };
        let message = format!("{name}=\"{}\" {wrong}", value.text);
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(format!("a number from {from} to {to}")));
        default
    }

    /// A whole number with a default, whose range fits 32 bits.
    pub(crate) fn count(&self, name: &str, context: &mut Context) -> u32 {
        self.number(name, context).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    }

    /// A UDP or TCP port.
    pub(crate) fn port(&self, name: &str, context: &mut Context) -> Option<u16> {
        self.number(name, context).and_then(|number| u16::try_from(number).ok())
    }

    /// `on` or `off`.
    pub(crate) fn switch(&self, name: &str, context: &mut Context) -> bool {
        let default = matches!(self.form(name), Some(Form::Switch(true)));
        self.word(name, &[("on", true), ("off", false)], default, context)
    }

    /// One of the table's words; `meanings` says what each stands for.
    pub(crate) fn choice<T: Copy + Default>(&self, name: &str, meanings: &[(&str, T)], context: &mut Context) -> T {
        let form = self.form(name);
        debug_assert!(
            form.is_some_and(|form| form.is_words(meanings.iter().map(|(word, _)| *word))),
            "words of {name}"
        );
        let default = form.map(|form| form.default_text()).unwrap_or_default();
        let default = meanings.iter().find(|(word, _)| *word == default).map(|(_, meaning)| *meaning);
        self.word(name, meanings, default.unwrap_or_default(), context)
    }

    /// One of the table's words that `meanings` explains; an attribute without a default has to be there.
    pub(crate) fn one_of<T: Copy + Default>(&self, name: &str, meanings: &[(&str, T)], context: &mut Context) -> T {
        let Some(Form::Words { words, default }) = self.form(name) else {
            debug_assert!(false, "{name} has no words");
            return T::default();
        };
        if default.is_none() && self.require(name, context).is_none() {
            return T::default();
        }
        let possible: Vec<(&str, T)> = meanings.iter().filter(|(word, _)| words.contains(word)).copied().collect();
        debug_assert_eq!(possible.len(), words.len(), "words of {name}");
        let fallback = possible.iter().find(|(word, _)| Some(*word) == default).map(|(_, meaning)| *meaning);
        self.word(name, &possible, fallback.unwrap_or_default(), context)
    }

    /// One of these words. Blanks around it are let pass: pages that one copies from have them.
    pub(crate) fn word<T: Copy>(&self, name: &str, meanings: &[(&str, T)], default: T, context: &mut Context) -> T {
        let Some(value) = self.get(name) else {
            return default;
        };
        match meanings.iter().find(|(word, _)| *word == value.text.trim()) {
            Some((_, meaning)) => *meaning,
            None => {
                report_choice(name, value, meanings.iter().map(|(word, _)| *word), context);
                default
            }
        }
    }

    fn form(&self, name: &str) -> Option<Form> {
        let attribute = self.spec.attribute(name);
        debug_assert!(attribute.is_some(), "{name} isn't in the table of <{}>", self.spec.tag);
        attribute.map(|attribute| attribute.form)
    }

    /// A name that has to be there: letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first.
    pub(crate) fn require_name(&self, name: &str, context: &mut Context) -> Option<Value> {
        let value = self.require(name, context)?.clone();
        if is_name(&value.text) {
            return Some(value);
        }
        let message = format!("{name}=\"{}\" isn't a valid name", value.text);
        let help = "letters, digits, '.', '_' and '-', at most 63, a letter or digit first".to_owned();
        context.sink.error(Code::BadValue, value.span, message, Some(help));
        None
    }
}

fn report_choice<'a>(name: &str, value: &Value, words: impl Iterator<Item = &'a str> + Clone, context: &mut Context) {
    let all = words.clone().collect::<Vec<_>>().join(", ");
    let help = match nearest(&value.text, words) {
        Some(near) => format!("did you mean {near}? (one of {all})"),
        None => format!("one of {all}"),
    };
    let message = format!("{name}=\"{}\" isn't possible", value.text);
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
}

pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A length of time in its largest whole unit.
pub(crate) fn shown(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms >= 3_600_000 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        ms if ms >= 60_000 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        ms if ms >= 1_000 && ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_and_without_units() {
        assert_eq!(duration_ms("700", Unit::Milliseconds), Some(700));
        assert_eq!(duration_ms("24", Unit::Hours), Some(86_400_000));
        assert_eq!(duration_ms("30s", Unit::Milliseconds), Some(30_000));
        assert_eq!(duration_ms("700ms", Unit::Hours), Some(700));
        assert_eq!(duration_ms("5m", Unit::Seconds), Some(300_000));
        assert_eq!(duration_ms("24h", Unit::Seconds), Some(86_400_000));
    }

    #[test]
    fn what_is_no_duration() {
        for text in ["", "s", "-1", "1.5s", "1 s", "10d", "99999999999999999999", "18446744073709551615h"] {
            assert_eq!(duration_ms(text, Unit::Seconds), None, "{text}");
        }
    }

    #[test]
    fn lengths_in_their_largest_unit() {
        assert_eq!(
            [shown(0), shown(700), shown(30_000), shown(90_000), shown(300_000), shown(86_400_000)],
            ["0", "700ms", "30s", "90s", "5m", "24h"]
        );
    }
}
