//! What a checker is.

use hf_types::ResourceValue;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// One look, under way.
pub type Look<'a> = Pin<Box<dyn Future<Output = Found> + Send + 'a>>;

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// [`ResourceValue::Up`], [`ResourceValue::Down`], or [`ResourceValue::Unknown`] where nothing could be learnt.
    pub value: ResourceValue,
    /// Why it isn't up, for the log: a part of a sentence, such as "10.0.0.1:80 refuses connections". Empty if it is up.
    pub why: String,
    /// What was seen, where another thing is another text: the run of another module's application. Empty for most.
    pub seen: String,
}

impl Found {
    /// It is as it should be.
    pub fn up() -> Found {
        Found { value: ResourceValue::Up, why: String::new(), seen: String::new() }
    }

    /// It isn't.
    pub fn down(why: impl Into<String>) -> Found {
        Found { value: ResourceValue::Down, why: why.into(), seen: String::new() }
    }

    /// This machine could not look (no descriptors left, say): no reason to act.
    pub fn unknown(why: impl Into<String>) -> Found {
        Found { value: ResourceValue::Unknown, why: why.into(), seen: String::new() }
    }
}

/// When a probe is asked to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once, then with `interval` between the beginnings of two looks. A look that isn't over after `limit` is dropped, and what it
    /// looks at is down.
    Every { interval: Duration, limit: Duration },
    /// The first look says how it is; each later one waits until something may have changed. None has a limit.
    OnEvents,
}

/// A checker.
pub trait Probe: Send {
    /// When it looks.
    fn pace(&self) -> Pace;

    /// One look. The future may be dropped at any await. It must not block: see [`Aside`](crate::Aside).
    fn look(&mut self) -> Look<'_>;
}
