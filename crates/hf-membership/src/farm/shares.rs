use hf_wire::farm::{NOBODY, SHARES};
use serde::Serialize;
use std::fmt;

/// A set of shares: the bitmap of one node in one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share([u32; SHARES / 32]);

impl Share {
    /// None of them.
    pub const NONE: Share = Share([0; SHARES / 32]);

    /// Adds a share; one that isn't there changes nothing.
    pub fn insert(&mut self, share: usize) {
        if let Some(word) = self.0.get_mut(share / 32) {
            *word |= 1 << (share % 32);
        }
    }

    /// Takes a share away.
    pub fn remove(&mut self, share: usize) {
        if let Some(word) = self.0.get_mut(share / 32) {
            *word &= !(1 << (share % 32));
        }
    }

    pub fn contains(&self, share: usize) -> bool {
        self.0.get(share / 32).is_some_and(|word| word & (1 << (share % 32)) != 0)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        *self == Share::NONE
    }

    /// Each of them, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..SHARES).filter(|share| self.contains(*share))
    }

    /// The bitmap, lowest shares first.
    pub fn words(&self) -> [u32; SHARES / 32] {
        self.0
    }

    /// In percent, as the resource `farm.<group>` shows it.
    pub fn percent(&self) -> u64 {
        (self.len() as u64 * 100 + SHARES as u64 / 2) / SHARES as u64
    }
}

impl FromIterator<usize> for Share {
    fn from_iter<I: IntoIterator<Item = usize>>(shares: I) -> Share {
        let mut all = Share::NONE;
        shares.into_iter().for_each(|share| all.insert(share));
        all
    }
}

/// As `vip_if_ctrl -l` prints it (reference 004, 4.3.5): eight words, the highest shares first.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().rev().map(|word| format!("{word:08x}")).collect();
        f.write_str(&words.join(":"))
    }
}

/// How many of the 256 shares each of these powers gets (reference 004, 13.5.7.4), by Sainte-Laguë: who loses a neighbour never
/// loses a share by it, and who gets a neighbour never gains one. Equal claims: the first one. All 0: nobody gets any.
pub fn quotas(powers: &[u32]) -> Vec<usize> {
    let mut given = vec![0usize; powers.len()];
    if powers.iter().all(|power| *power == 0) {
        return given;
    }
    for _ in 0..SHARES {
        let mut best: Option<usize> = None;
        for (place, power) in powers.iter().enumerate().filter(|(_, power)| **power > 0) {
            // power / (2 given + 1), compared without fractions.
            let claim = |place: usize| 2 * given[place] as u64 + 1;
            let better =
                best.is_none_or(|other| u64::from(*power) * claim(other) > u64::from(powers[other]) * claim(place));
            if better {
                best = Some(place);
            }
        }
        if let Some(best) = best {
            given[best] += 1;
        }
    }
    given
}

/// Who has which share of one group: places in a list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Vec<u8>);

impl Shares {
    /// `before`: for each share who had it, as a place among the present members; none: nobody of them. `powers`: of each member.
    ///
    /// Nobody keeps more than its quota and nobody gives anything away that it could keep: as few shares as possible move.
    pub fn assign(before: &[Option<usize>], powers: &[u32]) -> Shares {
        let mut wanted = quotas(powers);
        let mut owners = vec![NOBODY; SHARES];
        for (share, owner) in owners.iter_mut().enumerate() {
            let Some(had) = before.get(share).copied().flatten() else { continue };
            if let Some(left) = wanted.get_mut(had).filter(|left| **left > 0) {
                *left -= 1;
                *owner = place(had);
            }
        }
        let mut next = 0;
        for owner in owners.iter_mut().filter(|owner| **owner == NOBODY) {
            while wanted.get(next) == Some(&0) {
                next += 1;
            }
            let Some(left) = wanted.get_mut(next) else { break };
            *left -= 1;
            *owner = place(next);
        }
        Shares(owners)
    }

    /// As they go over the wire.
    pub fn into_owners(self) -> Vec<u8> {
        self.0
    }
}

/// A list of members is never longer than [`hf_wire::farm::NODES_MAX`].
fn place(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(owners: &[u8], members: usize) -> Vec<usize> {
        (0..members).map(|member| owners.iter().filter(|owner| usize::from(**owner) == member).count()).collect()
    }

    #[test]
    fn two_servers_are_those_of_the_reference() {
        let owners = Shares::assign(&[], &[1, 1]).into_owners();
        let of = |member: u8| (0..SHARES).filter(|share| owners[*share] == member).collect::<Share>();
        let (low, high) = ("00000000:00000000:00000000:00000000", "ffffffff:ffffffff:ffffffff:ffffffff");
        assert_eq!(of(0).to_string(), format!("{low}:{high}"), "004, 4.3.5: Bitmap 1");
        assert_eq!(of(1).to_string(), format!("{high}:{low}"), "Bitmap 2");
        assert_eq!((of(0).len(), of(0).percent()), (128, 50));
    }

    #[test]
    fn powers_are_weights() {
        assert_eq!(quotas(&[3, 1, 1]), [154, 51, 51]);
        assert_eq!(quotas(&[1, 1, 1]), [86, 85, 85]);
        assert_eq!(quotas(&[0, 5]), [0, 256]);
        assert_eq!(quotas(&[0, 0]), [0, 0]);
        assert_eq!(quotas(&[]), [0; 0]);
    }

    fn members() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(0u32..=1000, 1..=32)
    }

    proptest! {
        #[test]
        fn a_node_that_goes_moves_only_its_own_shares(powers in members(), gone in 0usize..32) {
            let gone = gone % powers.len();
            let before = Shares::assign(&[], &powers).into_owners();
            let mut left = powers.clone();
            left.remove(gone);
            let had: Vec<Option<usize>> = before.iter().map(|owner| match usize::from(*owner) {
                owner if owner == gone || owner >= powers.len() => None,
                owner => Some(owner - usize::from(owner > gone)),
            }).collect();
            let after = Shares::assign(&had, &left).into_owners();
            for (share, had) in had.iter().enumerate() {
                if let Some(had) = had {
                    prop_assert_eq!(usize::from(after[share]), *had, "share {}", share);
                }
            }
            prop_assert_eq!(counted(&after, left.len()), quotas(&left));
        }

        #[test]
        fn a_node_that_comes_takes_its_quota_and_no_other_share_moves(powers in members(), power in 0u32..=1000) {
            let before = Shares::assign(&[], &powers).into_owners();
            let mut more = powers.clone();
            more.push(power);
            let had: Vec<Option<usize>> = before.iter().map(|owner| (*owner != NOBODY).then_some(usize::from(*owner))).collect();
            let after = Shares::assign(&had, &more).into_owners();
            let moved = (0..SHARES).filter(|share| had[*share].is_some() && had[*share] != Some(usize::from(after[*share])));
            for share in moved {
                prop_assert_eq!(usize::from(after[share]), powers.len(), "share {}", share);
            }
            prop_assert_eq!(counted(&after, more.len()), quotas(&more));
        }

        #[test]
        fn every_share_has_an_owner_with_a_power(powers in members()) {
            let owners = Shares::assign(&[], &powers).into_owners();
            let some = powers.iter().any(|power| *power > 0);
            for owner in owners {
                prop_assert_eq!(powers.get(usize::from(owner)).is_some_and(|power| *power > 0), some);
            }
        }
    }
}
