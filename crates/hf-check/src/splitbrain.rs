//! `<splitbrain>` (reference 004, 13.17): the witnesses, asked by ping.

use crate::ping::PingProbe;
use crate::probe::{Found, Look, Pace, Probe};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hf_config::SplitbrainCheck;
use hf_types::ResourceValue;
use std::time::Duration;

/// Asks every witness; one that answers is enough.
pub struct SplitbrainProbe {
    witnesses: Vec<PingProbe>,
    interval: Duration,
    timeout: Duration,
}

impl SplitbrainProbe {
    /// Asks each `interval` and waits `timeout` for an answer: how it is decided when the other node falls silent depends on both
    /// (`hf_node::heart`).
    pub fn new(check: &SplitbrainCheck, interval: Duration, timeout: Duration) -> SplitbrainProbe {
        let to = |witness: &hf_config::Target| PingProbe::to(witness.clone(), interval, timeout);
        SplitbrainProbe { witnesses: check.witnesses.iter().map(to).collect(), interval, timeout }
    }

    async fn ask(&mut self) -> Found {
        let mut why = Vec::new();
        let mut unknown = false;
        let mut asked: FuturesUnordered<_> = self.witnesses.iter_mut().map(PingProbe::ask).collect();
        while let Some(found) = asked.next().await {
            match found.value {
                ResourceValue::Up => return Found::up(),
                ResourceValue::Unknown => unknown = true,
                _ => {}
            }
            why.push(found.why);
        }
        let why = why.join("; ");
        if unknown { Found::unknown(why) } else { Found::down(why) }
    }
}

impl Probe for SplitbrainProbe {
    fn pace(&self) -> Pace {
        // The names, then the answers.
        Pace::Every { interval: self.interval, limit: self.timeout * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.ask())
    }
}
