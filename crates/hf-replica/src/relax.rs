//! `syncdelta` (reference 004, 13.6.4.4): an administrator gives up the promise P5 for so many minutes. A copy that isn't known to be
//! the newest may start as primary when nobody answers, if it was in step shortly before.
//!
//! This is the one place where the wall clock decides something, because minutes that a machine was off count, too. Any doubt about
//! the clock means no.

use hf_types::{CopyState, GenerationId};

/// `syncdelta` of at most so many minutes means the same as none.
pub const SYNCDELTA_OFF_MIN: u64 = 1;

/// Whether data that was last in step at `synced_s` counts as synchronised at `now_s` (both in seconds since 1970 UTC): consistent, and
/// younger than `delta_min` minutes. Gives the whole minutes since. A moment that lies ahead says that a clock was set back: how long ago it was isn't known.
pub fn synced_minutes(copy: &CopyState, synced_s: Option<i64>, now_s: i64, delta_min: u64) -> Option<u64> {
    if delta_min <= SYNCDELTA_OFF_MIN || !copy.consistent || copy.generation == GenerationId(0) {
        return None;
    }
    let elapsed_s = u64::try_from(now_s.checked_sub(synced_s?)?).ok()?;
    (elapsed_s < delta_min.saturating_mul(60)).then_some(elapsed_s / 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::{Epoch, Standing};

    fn outdated() -> CopyState {
        CopyState {
            generation: GenerationId(3),
            history: Vec::new(),
            epoch: Epoch(1),
            standing: Standing::Outdated { since: GenerationId(3) },
            consistent: true,
            up_to_date: false,
            was_primary: false,
            orderly: true,
        }
    }

    #[test]
    fn younger_than_the_delta_and_no_older() {
        let copy = outdated();
        let at = |now_s| synced_minutes(&copy, Some(1_000_000), now_s, 10);
        assert_eq!(at(1_000_000), Some(0));
        assert_eq!(at(1_000_000 + 599), Some(9));
        assert_eq!(at(1_000_000 + 600), None, "the boundary itself is too old");
        assert_eq!(at(1_000_000 + 6000), None);
    }

    #[test]
    fn a_clock_that_went_back_says_nothing() {
        let copy = outdated();
        assert_eq!(synced_minutes(&copy, Some(1_000_000), 999_999, 10), None);
        assert_eq!(synced_minutes(&copy, Some(i64::MAX), -5, 10), None);
        assert_eq!(synced_minutes(&copy, Some(i64::MIN), i64::MAX, u64::MAX), None);
    }

    #[test]
    fn off_inconsistent_new_or_unknown() {
        let copy = outdated();
        for delta_min in [0, 1] {
            assert_eq!(synced_minutes(&copy, Some(100), 100, delta_min), None);
        }
        assert_eq!(synced_minutes(&copy, Some(100), 100, 2), Some(0));
        assert_eq!(synced_minutes(&copy, None, 100, 2), None);
        let half = CopyState { consistent: false, ..outdated() };
        assert_eq!(synced_minutes(&half, Some(100), 100, 2), None);
        let new = CopyState { generation: GenerationId(0), ..outdated() };
        assert_eq!(synced_minutes(&new, Some(100), 100, 2), None);
    }
}
