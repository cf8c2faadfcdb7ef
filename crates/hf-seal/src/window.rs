//! The replay window: which counters of the peer were seen.

use crate::stats::Reason;

/// Counters this far behind the newest are still told apart.
pub(crate) const WINDOW_BITS: u64 = 1024;
const WORDS: usize = (WINDOW_BITS / 64) as usize;

/// Remembers the newest counter and, in a ring of bits, the 1023 below it. Counters start at 1.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    newest: u64,
    seen: [u64; WORDS],
}

impl Window {
    /// Notes `counter` as seen, or says why it must not be accepted.
    /// To be called only for frames that were proven genuine.
    pub(crate) fn accept(&mut self, counter: u64) -> Result<(), Reason> {
        if counter == 0 {
            return Err(Reason::Malformed);
        }
        if counter > self.newest {
            self.advance(counter);
        } else if self.newest - counter >= WINDOW_BITS {
            return Err(Reason::TooOld);
        } else if self.bit(counter) {
            return Err(Reason::Replayed);
        }
        let (word, mask) = place(counter);
        self.seen[word] |= mask;
        Ok(())
    }

    /// Moves the window up and clears the places that now stand for newer counters.
    fn advance(&mut self, newest: u64) {
        if newest - self.newest >= WINDOW_BITS {
            self.seen = [0; WORDS];
        } else {
            for counter in self.newest + 1..=newest {
                let (word, mask) = place(counter);
                self.seen[word] &= !mask;
            }
        }
        self.newest = newest;
    }

    fn bit(&self, counter: u64) -> bool {
        let (word, mask) = place(counter);
        self.seen[word] & mask != 0
    }
}

fn place(counter: u64) -> (usize, u64) {
    let bit = counter % WINDOW_BITS;
    ((bit / 64) as usize, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn edges_of_the_window() {
        let mut window = Window::default();
        assert_eq!(window.accept(0), Err(Reason::Malformed));
        assert_eq!(window.accept(1024), Ok(()));
        assert_eq!(window.accept(1), Ok(()));
        assert_eq!(window.accept(1), Err(Reason::Replayed));
        assert_eq!(window.accept(1025), Ok(()));
        assert_eq!(window.accept(1), Err(Reason::TooOld));
        assert_eq!(window.accept(u64::MAX), Ok(()));
        assert_eq!(window.accept(u64::MAX), Err(Reason::Replayed));
        assert_eq!(window.accept(1026), Err(Reason::TooOld));
    }

    proptest! {
        /// The ring of bits agrees with a plain set of everything ever seen.
        #[test]
        fn agrees_with_a_set(counters in prop::collection::vec(1u64..5000, 1..400)) {
            let mut window = Window::default();
            let mut seen = BTreeSet::new();
            for counter in counters {
                let newest = seen.last().copied().unwrap_or(0);
                let expected = if counter + WINDOW_BITS <= newest {
                    Err(Reason::TooOld)
                } else if seen.contains(&counter) {
                    Err(Reason::Replayed)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.accept(counter), expected);
                if expected.is_ok() {
                    seen.insert(counter);
                }
            }
        }
    }
}
