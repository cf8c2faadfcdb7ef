use hf_types::{CopyState, GenerationId, Record, Standing, UpToDate};

/// How one copy's line of descent stands to the other's (guide P7); never decided by clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    /// The other one descends from this one.
    Ancestor,
    /// This one descends from the other.
    Descendant,
    Diverged,
}

impl Relation {
    /// The same, seen from the other side.
    pub fn reversed(self) -> Relation {
        match self {
            Relation::Ancestor => Relation::Descendant,
            Relation::Descendant => Relation::Ancestor,
            Relation::Equal | Relation::Diverged => self,
        }
    }
}

/// Compares two copies. A copy without data (generation 0) is every other one's ancestor.
pub fn compare(mine: &CopyState, theirs: &CopyState) -> Relation {
    let none = GenerationId(0);
    if mine.generation == theirs.generation {
        Relation::Equal
    } else if mine.generation == none {
        Relation::Ancestor
    } else if theirs.generation == none {
        Relation::Descendant
    } else {
        // Both in the other's history can't come from our own writing; it says nothing then.
        let older = theirs.history.contains(&mine.generation);
        let newer = mine.history.contains(&theirs.generation);
        match (older, newer) {
            (true, false) => Relation::Ancestor,
            (false, true) => Relation::Descendant,
            (true, true) | (false, false) => Relation::Diverged,
        }
    }
}

/// Whether this record holds everything that was acknowledged in its generation, on a kernel with this boot id.
pub fn is_up_to_date(record: &Record, boot_id: &str) -> bool {
    match &record.up_to_date {
        UpToDate::Yes => true,
        UpToDate::WhileBooted(id) => id == boot_id,
        UpToDate::No => false,
    }
}

/// The module's copy: the worst of its directories. None without directories.
///
/// Directories are written one after the other, so a crash can leave them in two generations, one the parent of the other.
/// Nothing was acknowledged in the newer one then (all are written before the first acknowledgement): the older one counts.
/// Unrelated generations mean a replaced disk, or one directory that was synchronised from another line than the next: the copy as a
/// whole has no data of the module. That it is outdated stays true, and the other node waits for that word.
pub fn summary(records: &[Record], boot_id: &str) -> Option<CopyState> {
    let mut copies = records.iter().map(|record| of_record(record, boot_id));
    let first = copies.next()?;
    Some(copies.fold(first, worse))
}

fn of_record(record: &Record, boot_id: &str) -> CopyState {
    CopyState {
        generation: record.generation,
        history: record.history.clone(),
        epoch: record.epoch,
        standing: record.standing,
        consistent: record.consistent,
        up_to_date: is_up_to_date(record, boot_id),
        was_primary: record.was_primary,
        orderly: record.orderly,
    }
}

fn worse(a: CopyState, b: CopyState) -> CopyState {
    let epoch = a.epoch.max(b.epoch);
    let consistent = a.consistent && b.consistent;
    let up_to_date = a.up_to_date && b.up_to_date;
    let orderly = a.orderly && b.orderly;
    let was_primary = a.was_primary && b.was_primary;
    let base = match compare(&a, &b) {
        Relation::Ancestor => a,
        Relation::Descendant => b,
        Relation::Equal if trust(&a.standing) <= trust(&b.standing) => a,
        Relation::Equal => b,
        Relation::Diverged => {
            let resigned = matches!(a.standing, Standing::Outdated { .. }) && a.standing == b.standing;
            let standing = if resigned { a.standing } else { Standing::New };
            CopyState { generation: GenerationId(0), history: Vec::new(), standing, ..a }
        }
    };
    CopyState { epoch, consistent, up_to_date, orderly, was_primary, ..base }
}

/// How much a standing lets a copy do; the least of all directories counts.
fn trust(standing: &Standing) -> u8 {
    match standing {
        Standing::New => 0,
        Standing::Outdated { .. } => 1,
        Standing::Connected => 2,
        Standing::AloneUnconfirmed => 3,
        Standing::AloneConfirmed => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::Epoch;
    use proptest::prelude::*;

    fn record(generation: u64, history: &[u64], standing: Standing) -> Record {
        Record {
            generation: GenerationId(generation),
            history: history.iter().copied().map(GenerationId).collect(),
            standing,
            up_to_date: UpToDate::Yes,
            epoch: Epoch(generation),
            ..Record::new(1)
        }
    }

    #[test]
    fn descent_is_seen_from_both_sides() {
        let copy = |record: Record| of_record(&record, "");
        let old = copy(record(1, &[], Standing::Connected));
        let new = copy(record(3, &[2, 1], Standing::Connected));
        let other = copy(record(4, &[1], Standing::Connected));
        let none = copy(record(0, &[], Standing::New));
        assert_eq!(compare(&old, &new), Relation::Ancestor);
        assert_eq!(compare(&new, &old), Relation::Descendant);
        assert_eq!(compare(&new, &other), Relation::Diverged);
        assert_eq!(compare(&none, &old), Relation::Ancestor);
        assert_eq!(compare(&none, &none), Relation::Equal);
    }

    #[test]
    fn a_torn_change_of_generation_counts_as_the_old_one() {
        let old = record(1, &[], Standing::Connected);
        let new = record(2, &[1], Standing::AloneConfirmed);
        for records in [[old.clone(), new.clone()], [new, old]] {
            let copy = summary(&records, "").unwrap();
            assert_eq!(copy.generation, GenerationId(1));
            assert_eq!(copy.standing, Standing::Connected);
            assert_eq!(copy.epoch, Epoch(2), "that grant may be known elsewhere");
        }
    }

    #[test]
    fn one_replaced_disk_makes_the_copy_new() {
        let good = record(5, &[4], Standing::AloneConfirmed);
        let copy = summary(&[good, Record::new(7)], "").unwrap();
        assert_eq!((copy.generation, copy.standing), (GenerationId(0), Standing::New));
        assert!(!copy.up_to_date);
    }

    #[test]
    fn a_mark_of_another_boot_is_none() {
        let mut marked = record(5, &[4], Standing::Connected);
        marked.up_to_date = UpToDate::WhileBooted("a".to_owned());
        assert!(summary(&[marked.clone()], "a").unwrap().up_to_date);
        assert!(!summary(&[marked], "b").unwrap().up_to_date);
        assert_eq!(summary(&[], ""), None);
    }

    proptest! {
        /// A heart that ordered "outdated since G" asks its copy whether that is done: whatever lines of descent the directories are of.
        #[test]
        fn what_every_directory_says_of_being_outdated_the_copy_says(
            lines in proptest::collection::vec((0u64..4, proptest::collection::vec(0u64..4, 0..3)), 1..4),
            since in 1u64..4,
        ) {
            let standing = Standing::Outdated { since: GenerationId(since) };
            let records: Vec<Record> = lines.iter().map(|(generation, history)| record(*generation, history, standing)).collect();
            prop_assert_eq!(summary(&records, "").map(|copy| copy.standing), Some(standing));
        }
    }
}
