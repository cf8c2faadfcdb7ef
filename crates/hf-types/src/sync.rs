use serde::{Deserialize, Serialize};

/// What an administrator asked of the next synchronisation (reference 004, 5.4, 5.9, 13.6.4.8). Without a wish everything that is
/// not known to be equal is compared by content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncWish {
    /// `fullsync`, `primforce`: nothing is believed of the other copy, everything is compared.
    pub full: bool,
    /// `secondforce -d`: files that were last changed before this moment (seconds since 1970 UTC) on both nodes, with the same size,
    /// may count as equal.
    pub newer_than_s: Option<i64>,
}

impl SyncWish {
    /// Everything is compared.
    pub const FULL: SyncWish = SyncWish { full: true, newer_than_s: None };

    /// What both sides asked for: who wants everything compared gets it.
    pub fn with(self, other: SyncWish) -> SyncWish {
        let full = self.full || other.full;
        SyncWish { full, newer_than_s: self.newer_than_s.or(other.newer_than_s).filter(|_| !full) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_wins_over_a_date() {
        let dated = SyncWish { full: false, newer_than_s: Some(7) };
        assert_eq!(dated.with(SyncWish::default()), dated);
        assert_eq!(SyncWish::default().with(dated), dated);
        assert_eq!(dated.with(SyncWish::FULL), SyncWish::FULL);
        assert_eq!(SyncWish::FULL.with(dated), SyncWish::FULL);
    }
}
