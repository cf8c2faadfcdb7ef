//! When a primary that was given permission to go alone again and again connects to the other copy.
//!
//! The other node's heart may stand still while its rfs goes on: then the copies are in step a moment after they are connected, the
//! heart here hears nobody and gives the next permission at once, and so on. Each round writes records and says lines in two logs. So every
//! one that follows soon after another waits longer with its connection. The first one waits for nothing.

use hf_types::{Epoch, Instant};
use serde::Serialize;
use std::time::Duration;

/// A permission so long after the one before is a first one.
const CALM: Duration = Duration::from_secs(60);
/// The first wait; each one after it is twice as long, up to the last.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(16);

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Patience {
    /// The permission that came last.
    last: Option<(Epoch, Instant)>,
    /// How often in a row it came too soon.
    soon: u32,
}

impl Patience {
    /// How long the connection after this permission waits. The same one, said again, changes nothing.
    pub(super) fn granted(&mut self, epoch: Epoch, now: Instant) -> Duration {
        if self.last.is_some_and(|(last, _)| last == epoch) {
            return Duration::ZERO;
        }
        let soon = self.last.is_some_and(|(_, at)| now.since(at) < CALM);
        self.soon = if soon { self.soon.saturating_add(1) } else { 0 };
        self.last = Some((epoch, now));
        match self.soon {
            0 => Duration::ZERO,
            soon => FIRST.saturating_mul(1 << (soon - 1).min(8)).min(LAST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_longer_and_longer_and_forgets() {
        let mut patience = Patience::default();
        let second = 1_000_000_000;
        let mut at = 0;
        let waits: Vec<u64> = (1..8)
            .map(|epoch| {
                let wait = patience.granted(Epoch(epoch), Instant(at));
                assert_eq!(patience.granted(Epoch(epoch), Instant(at)), Duration::ZERO, "said again");
                at += second + wait.as_nanos() as u64;
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 16]);
        at += 61 * second;
        assert_eq!(patience.granted(Epoch(9), Instant(at)), Duration::ZERO);
    }
}
