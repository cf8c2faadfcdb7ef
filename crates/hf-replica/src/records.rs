//! Every change that a record can go through, each a pure function from the durable record to the next one.
//!
//! Rfs writes the result durably before anything that follows from it (docs/internals/mirror.md, "Who knows what").

use crate::grant::Grant;
use hf_types::{Epoch, GenerationId, GrantReason, Record, Standing, UpToDate};

/// This copy goes on alone under a grant: a new generation begins (before the first acknowledgement under it).
pub fn alone(record: &Record, grant: &Grant) -> Record {
    let standing = match grant.why {
        GrantReason::Silence | GrantReason::Promised | GrantReason::SyncDelta { .. } => Standing::AloneUnconfirmed,
        // An administrator takes the responsibility that the other copy's own word has otherwise.
        GrantReason::OutdatedConfirmed
        | GrantReason::Witness
        | GrantReason::Administrator
        | GrantReason::Connected
        | GrantReason::NoData => Standing::AloneConfirmed,
    };
    Record {
        generation: grant.generation,
        history: descended(record, grant.generation),
        epoch: record.epoch.max(grant.epoch),
        standing,
        consistent: true,
        up_to_date: UpToDate::Yes,
        was_primary: true,
        orderly: false,
        ..record.clone()
    }
}

/// The generation of a period in step: follows from the one that both copies had and the permission, so that no randomness
/// is needed here; the first of the two was drawn at random (the finisher of splitmix64 spreads its bits).
fn period(generation: GenerationId, epoch: Epoch) -> GenerationId {
    let mut mixed = generation.0 ^ epoch.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    GenerationId((mixed ^ (mixed >> 31)).max(1))
}

/// The history of a copy that goes on to `next`.
fn descended(record: &Record, next: GenerationId) -> Vec<GenerationId> {
    let mut history = record.history.clone();
    if record.generation != GenerationId(0) && record.generation != next {
        history.retain(|ancestor| *ancestor != record.generation);
        history.insert(0, record.generation);
    }
    history.retain(|ancestor| *ancestor != next);
    history.truncate(Record::HISTORY_MAX);
    history
}

/// The other copy said that its data is being replaced by ours: it is durably not up to date, whatever it was before.
pub fn peer_resigned(record: &Record) -> Record {
    let standing = match record.standing {
        Standing::AloneUnconfirmed => Standing::AloneConfirmed,
        other => other,
    };
    Record { standing, ..record.clone() }
}

/// Primary: from now on neither copy may go on without asking (before `SyncEnd`).
///
/// A new generation begins, because "outdated since G" must be about exactly one period in step: were two copies in step
/// twice in the same generation, a word from the first time could be taken for one about the second.
pub fn connected_primary(record: &Record, epoch: Epoch) -> Record {
    let generation = period(record.generation, epoch);
    Record {
        generation,
        history: descended(record, generation),
        epoch: record.epoch.max(epoch),
        standing: Standing::Connected,
        was_primary: true,
        orderly: false,
        ..record.clone()
    }
}

/// Secondary: a synchronisation begins; half of the old, half of the new from here to its end.
pub fn half(record: &Record, epoch: Epoch) -> Record {
    Record {
        epoch: record.epoch.max(epoch),
        consistent: false,
        up_to_date: UpToDate::No,
        was_primary: false,
        orderly: false,
        ..record.clone()
    }
}

/// Secondary: everything up to the end of the synchronisation is durable here.
pub fn in_step(
    record: &Record,
    epoch: Epoch,
    generation: GenerationId,
    history: &[GenerationId],
    mark: UpToDate,
) -> Record {
    Record {
        generation,
        history: history.iter().copied().take(Record::HISTORY_MAX).collect(),
        epoch: record.epoch.max(epoch),
        standing: Standing::Connected,
        consistent: true,
        up_to_date: mark,
        was_primary: false,
        orderly: false,
        ..record.clone()
    }
}

/// This copy lets the other one go on without it.
pub fn outdated(record: &Record, since: GenerationId) -> Record {
    Record { standing: Standing::Outdated { since }, up_to_date: UpToDate::No, ..record.clone() }
}

/// Swap, former primary: in step, and secondary from now on.
pub fn handed_over(record: &Record, epoch: Epoch, mark: UpToDate) -> Record {
    Record {
        epoch: record.epoch.max(epoch),
        standing: Standing::Connected,
        up_to_date: mark,
        was_primary: false,
        orderly: false,
        ..record.clone()
    }
}

/// Swap, new primary: in step, everything received is durable here.
pub fn taken_over(record: &Record, epoch: Epoch) -> Record {
    Record {
        epoch: record.epoch.max(epoch),
        standing: Standing::Connected,
        up_to_date: UpToDate::Yes,
        was_primary: true,
        orderly: false,
        ..record.clone()
    }
}

/// The module was stopped in good order.
pub fn stopped(record: &Record, orderly: bool) -> Record {
    Record { orderly, ..record.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(generation: u64, why: GrantReason) -> Grant {
        Grant { epoch: Epoch(7), generation: GenerationId(generation), why }
    }

    #[test]
    fn a_grant_begins_a_generation_and_says_on_what_ground() {
        let mut record = Record::new(1);
        for generation in 1..=40 {
            record = alone(&record, &grant(generation, GrantReason::Silence));
        }
        assert_eq!(record.generation, GenerationId(40));
        assert_eq!(record.history.len(), Record::HISTORY_MAX);
        assert_eq!(record.history[0], GenerationId(39));
        assert_eq!(record.standing, Standing::AloneUnconfirmed);
        assert_eq!(alone(&record, &grant(41, GrantReason::OutdatedConfirmed)).standing, Standing::AloneConfirmed);
        let again = alone(&record, &grant(40, GrantReason::Silence));
        assert_eq!(again, record, "the same grant again changes nothing");
    }

    #[test]
    fn every_period_in_step_has_a_generation_of_its_own() {
        let first = alone(&Record::new(1), &grant(3, GrantReason::Administrator));
        let connected = connected_primary(&first, Epoch(7));
        assert_ne!(connected.generation, first.generation);
        assert_eq!(connected.history, [GenerationId(3)]);
        assert_ne!(connected_primary(&first, Epoch(8)).generation, connected.generation);
    }

    #[test]
    fn a_half_copy_never_passes_for_a_whole_one() {
        let record = half(&alone(&Record::new(1), &grant(3, GrantReason::Administrator)), Epoch(9));
        assert!(!record.consistent && record.up_to_date == UpToDate::No);
        assert!(!outdated(&record, GenerationId(3)).consistent, "outdating does not make it whole");
    }
}
