//! What a value may look like.

use crate::values::{Unit, duration_ms, shown};

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// The form of an attribute's value, with what holds where the attribute is absent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// A length of time; limits and default in milliseconds.
    Duration { bare: Unit, from: u64, to: u64, default: u64 },
    /// A whole number of something.
    Number { of: &'static str, from: u64, to: u64, default: Option<u64>, absent: &'static str },
    /// `on` or `off`.
    Switch(bool),
    /// One of some words.
    Words { words: &'static [&'static str], default: Option<&'static str> },
    /// Anything else: what it is, and what holds where it is absent.
    Text { what: &'static str, absent: &'static str },
}

pub(crate) const REQUIRED: &str = "required";

impl Form {
    pub(super) const fn milliseconds(from: u64, to: u64, default: u64) -> Form {
        Form::Duration { bare: Unit::Milliseconds, from, to, default }
    }

    /// Limits and default in milliseconds; a bare number means seconds.
    pub(super) const fn seconds(from: u64, to: u64, default: u64) -> Form {
        Form::Duration { bare: Unit::Seconds, from, to, default }
    }

    /// A time-out of a tenth of a second to a day, default in seconds.
    pub(super) const fn timeout_s(default: u64) -> Form {
        Form::seconds(100, DAY_MS, default * SECOND_MS)
    }

    /// A number with a default.
    pub(super) const fn number(of: &'static str, from: u64, to: u64, default: u64) -> Form {
        Form::Number { of, from, to, default: Some(default), absent: "" }
    }

    /// A number without a default; `absent` says what holds without it.
    pub(super) const fn optional(of: &'static str, from: u64, to: u64, absent: &'static str) -> Form {
        Form::Number { of, from, to, default: None, absent }
    }

    /// A UDP or TCP port.
    pub(super) const fn port(absent: &'static str) -> Form {
        Form::optional("port", 1, 65_535, absent)
    }

    pub(super) const fn words(words: &'static [&'static str], default: &'static str) -> Form {
        Form::Words { words, default: Some(default) }
    }

    pub(super) const fn text(what: &'static str, absent: &'static str) -> Form {
        Form::Text { what, absent }
    }

    /// Whether a value says what holds without it anyway.
    pub(crate) fn is_default(&self, text: &str) -> bool {
        match self {
            Form::Duration { bare, default, .. } => duration_ms(text, *bare) == Some(*default),
            Form::Number { default, .. } => default.is_some_and(|default| text == default.to_string()),
            Form::Switch(default) => text == switch(*default),
            Form::Words { default, .. } => *default == Some(text),
            Form::Text { .. } => false,
        }
    }

    /// Whether these are the words that are possible.
    pub(crate) fn is_words<'a>(&self, mut others: impl Iterator<Item = &'a str>) -> bool {
        matches!(self, Form::Words { words, .. } if words.iter().all(|word| others.next() == Some(*word)))
    }

    /// The default as it is written in a file; empty where there is none.
    pub(crate) fn default_text(&self) -> String {
        match self {
            Form::Duration { default, .. } => shown(*default),
            Form::Number { default: Some(default), .. } => default.to_string(),
            Form::Switch(default) => switch(*default).to_owned(),
            Form::Words { default: Some(default), .. } => (*default).to_owned(),
            Form::Number { .. } | Form::Words { .. } | Form::Text { .. } => String::new(),
        }
    }
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Form {
    /// What a value is, for the help of a message.
    pub(crate) fn in_words(&self) -> String {
        self.described().replace('`', "")
    }

    /// The column "value" of the page.
    pub(super) fn described(&self) -> String {
        match self {
            Form::Duration { bare, from, to, .. } => {
                format!("time, {} to {}; a bare number: {}", shown(*from), shown(*to), bare.name())
            }
            Form::Number { of, from, to, .. } => format!("{of}, {from} to {to}"),
            Form::Switch(_) => "`on`, `off`".to_owned(),
            Form::Words { words, .. } => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Form::Text { what, .. } => (*what).to_owned(),
        }
    }

    /// The column "default" of the page.
    pub(crate) fn absence(&self) -> String {
        match self {
            Form::Number { default: None, absent, .. } | Form::Text { absent, .. } => (*absent).to_owned(),
            Form::Words { default: None, .. } => REQUIRED.to_owned(),
            other => format!("`{}`", other.default_text()),
        }
    }
}

#[cfg(test)]
impl Form {
    pub(super) fn is_sound(&self) -> bool {
        match self {
            Form::Duration { from, to, default, .. } => (from..=to).contains(&default),
            Form::Number { from, to, default, absent, .. } => {
                from < to && default.map_or(!absent.is_empty(), |default| (*from..=*to).contains(&default))
            }
            Form::Words { words, default } => default.is_none_or(|default| words.contains(&default)),
            Form::Switch(_) => true,
            Form::Text { what, absent } => !what.is_empty() && !absent.is_empty(),
        }
    }
}
