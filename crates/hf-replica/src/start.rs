use crate::copy::{Relation, compare};
use hf_types::{CopyState, GenerationId, NotPrimary, Standing};

/// Who becomes primary when both nodes wait to start (guide P5, docs/internals/mirror.md "Start").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    Me,
    Peer,
    /// Neither by itself; why this copy doesn't.
    Nobody(NotPrimary),
}

/// Which side wins when the copies can't tell: the node of `defaultprim`, else the first of cluster.xml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preferred {
    Me,
    Peer,
}

/// Whether a copy holds everything acknowledged in its line, as far as it knows: it may become primary after a comparison.
pub fn is_candidate(copy: &CopyState) -> bool {
    let standing = match copy.standing {
        Standing::Connected | Standing::AloneConfirmed | Standing::AloneUnconfirmed => true,
        Standing::New | Standing::Outdated { .. } => false,
    };
    standing && copy.consistent && copy.up_to_date && copy.generation != GenerationId(0)
}

/// Decides between two waiting nodes that know each other's copy. Both evaluate it with sides exchanged, and never do both
/// answer [`Starter::Me`]; if one does, the other answers [`Starter::Peer`].
pub fn who_starts(mine: &CopyState, theirs: &CopyState, preferred: Preferred) -> Starter {
    let winner = match (is_candidate(mine), is_candidate(theirs)) {
        (true, false) => one_candidate(compare(mine, theirs), Preferred::Me),
        (false, true) => one_candidate(compare(theirs, mine), Preferred::Peer),
        (true, true) => two_candidates(mine, theirs, preferred),
        (false, false) => both_resigned(mine, theirs),
    };
    match winner {
        Some(Preferred::Me) => Starter::Me,
        Some(Preferred::Peer) => Starter::Peer,
        None => Starter::Nobody(why_nobody(mine, theirs)),
    }
}

/// The only candidate starts, unless the other copy is a later one of its own line, which went on without it.
fn one_candidate(to_the_other: Relation, candidate: Preferred) -> Option<Preferred> {
    match to_the_other {
        Relation::Equal | Relation::Descendant | Relation::Diverged => Some(candidate),
        Relation::Ancestor => None,
    }
}

/// Both wrote "outdated" in the same generation, because both were stopped at the same moment: neither went on to a later
/// one, and a whole copy of a generation has all that was acknowledged in it. The former primary's is surely durable.
fn both_resigned(mine: &CopyState, theirs: &CopyState) -> Option<Preferred> {
    let resigned = |copy: &CopyState| {
        copy.consistent
            && copy.generation != GenerationId(0)
            && copy.standing == Standing::Outdated { since: copy.generation }
    };
    if !resigned(mine) || !resigned(theirs) || mine.generation != theirs.generation {
        return None;
    }
    match (mine.was_primary, theirs.was_primary) {
        (true, false) => Some(Preferred::Me),
        (false, true) => Some(Preferred::Peer),
        (true, true) | (false, false) => None,
    }
}

fn two_candidates(mine: &CopyState, theirs: &CopyState, preferred: Preferred) -> Option<Preferred> {
    match compare(mine, theirs) {
        Relation::Descendant => Some(Preferred::Me),
        Relation::Ancestor => Some(Preferred::Peer),
        // Both moved on from a common line: only a person can say which one is right.
        Relation::Diverged => None,
        Relation::Equal => Some(match (mine.was_primary, theirs.was_primary) {
            (true, false) => Preferred::Me,
            (false, true) => Preferred::Peer,
            (true, true) | (false, false) => preferred,
        }),
    }
}

fn why_nobody(mine: &CopyState, theirs: &CopyState) -> NotPrimary {
    match compare(mine, theirs) {
        Relation::Ancestor => NotPrimary::PeerNewer,
        Relation::Equal | Relation::Descendant | Relation::Diverged => {
            why_not_alone(mine).unwrap_or(NotPrimary::PeerUnknown)
        }
    }
}

/// Why this copy may not start as primary with nobody to ask; none if it may (guide P5).
pub fn why_not_alone(copy: &CopyState) -> Option<NotPrimary> {
    if !copy.consistent {
        return Some(NotPrimary::Inconsistent);
    }
    match copy.standing {
        Standing::New => Some(NotPrimary::New),
        Standing::Outdated { .. } => Some(NotPrimary::Outdated),
        Standing::Connected if !copy.up_to_date => Some(NotPrimary::RebootedWhileAsync),
        Standing::Connected | Standing::AloneUnconfirmed => Some(NotPrimary::PeerUnknown),
        Standing::AloneConfirmed if !copy.up_to_date => Some(NotPrimary::Outdated),
        Standing::AloneConfirmed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::Epoch;
    use proptest::prelude::*;

    fn copy(generation: u64, history: &[u64], standing: Standing) -> CopyState {
        CopyState {
            generation: GenerationId(generation),
            history: history.iter().copied().map(GenerationId).collect(),
            epoch: Epoch(1),
            standing,
            consistent: true,
            up_to_date: true,
            was_primary: false,
            orderly: false,
        }
    }

    fn outdated(generation: u64) -> CopyState {
        CopyState { up_to_date: false, ..copy(generation, &[], Standing::Outdated { since: GenerationId(generation) }) }
    }

    #[test]
    fn the_table_of_mirror_md() {
        use Standing::{AloneConfirmed, AloneUnconfirmed, Connected, New};
        let me = Preferred::Me;
        let newer = copy(2, &[1], AloneConfirmed);
        assert_eq!(who_starts(&newer, &outdated(1), me), Starter::Me);
        assert_eq!(who_starts(&outdated(1), &newer, me), Starter::Peer);
        assert_eq!(who_starts(&copy(2, &[1], AloneUnconfirmed), &copy(1, &[], Connected), me), Starter::Me);
        assert_eq!(who_starts(&copy(1, &[], Connected), &outdated(1), me), Starter::Me);
        let primary = CopyState { was_primary: true, ..copy(1, &[], Connected) };
        assert_eq!(who_starts(&copy(1, &[], Connected), &primary, me), Starter::Peer);
        assert_eq!(who_starts(&primary, &primary, Preferred::Peer), Starter::Peer);
        let split = copy(3, &[1], AloneUnconfirmed);
        assert_eq!(who_starts(&copy(2, &[1], AloneUnconfirmed), &split, me), Starter::Nobody(NotPrimary::PeerUnknown));
        assert_eq!(who_starts(&copy(0, &[], New), &copy(0, &[], New), me), Starter::Nobody(NotPrimary::New));
        // A candidate that is older than an unusable copy waits: what that one has is missing here.
        let half = CopyState { consistent: false, ..copy(2, &[1], Connected) };
        assert_eq!(who_starts(&copy(1, &[], Connected), &half, me), Starter::Nobody(NotPrimary::PeerNewer));
        assert_eq!(who_starts(&half, &copy(1, &[], Connected), me), Starter::Nobody(NotPrimary::Inconsistent));
    }

    #[test]
    fn stopped_at_the_same_moment() {
        let primary = CopyState { was_primary: true, ..outdated(4) };
        assert_eq!(who_starts(&primary, &outdated(4), Preferred::Peer), Starter::Me);
        assert_eq!(who_starts(&outdated(4), &primary, Preferred::Me), Starter::Peer);
        let half = CopyState { consistent: false, ..primary };
        assert_eq!(who_starts(&half, &outdated(4), Preferred::Me), Starter::Nobody(NotPrimary::Inconsistent));
    }

    #[test]
    fn only_alone_confirmed_starts_with_nobody_to_ask() {
        assert_eq!(why_not_alone(&copy(1, &[], Standing::AloneConfirmed)), None);
        assert_eq!(why_not_alone(&copy(1, &[], Standing::Connected)), Some(NotPrimary::PeerUnknown));
        assert_eq!(why_not_alone(&copy(1, &[], Standing::AloneUnconfirmed)), Some(NotPrimary::PeerUnknown));
        assert_eq!(why_not_alone(&outdated(1)), Some(NotPrimary::Outdated));
    }

    fn any_copy() -> impl Strategy<Value = CopyState> {
        let standing = prop_oneof![
            Just(Standing::New),
            Just(Standing::Connected),
            Just(Standing::AloneConfirmed),
            Just(Standing::AloneUnconfirmed),
            (0u64..5).prop_map(|since| Standing::Outdated { since: GenerationId(since) }),
        ];
        (0u64..5, proptest::collection::vec(0u64..5, 0..4), standing, any::<[bool; 4]>()).prop_map(
            |(generation, history, standing, flags)| CopyState {
                consistent: flags[0],
                up_to_date: flags[1],
                was_primary: flags[2],
                orderly: flags[3],
                ..copy(generation, &history, standing)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn both_sides_agree(mine in any_copy(), theirs in any_copy(), tie: bool) {
            let (here, there) = if tie { (Preferred::Me, Preferred::Peer) } else { (Preferred::Peer, Preferred::Me) };
            let a = who_starts(&mine, &theirs, here);
            let b = who_starts(&theirs, &mine, there);
            match a {
                Starter::Me => prop_assert_eq!(b, Starter::Peer),
                Starter::Peer => prop_assert_eq!(b, Starter::Me),
                Starter::Nobody(_) => prop_assert!(matches!(b, Starter::Nobody(_))),
            }
            if a == Starter::Me {
                prop_assert!(is_candidate(&mine) || (mine.consistent && mine.was_primary && mine.generation == theirs.generation));
            }
        }
    }
}
