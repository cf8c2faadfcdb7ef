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

/// Characters of an external synchronisation's name at most (reference 004, 13.6.4.9).
pub const SYNC_UID_MAX: usize = 24;

/// How the next synchronisation is to be done, kept over a stop until one has succeeded (`rfssync`; reference 004, 13.6.4.9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncPolicy {
    /// What is known to be equal isn't read.
    #[default]
    Default,
    /// Everything is compared.
    Full,
    /// The secondary's copy was restored from a backup of the primary's: everything is compared, and what the backup brought doesn't travel.
    External {
        /// This node's.
        role: SyncRole,
        /// The name that an administrator gave it.
        uid: String,
    },
}

/// A node's part in an external synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncRole {
    Prim,
    Second,
}

impl SyncPolicy {
    /// What it asks of the next synchronisation.
    pub fn wish(&self) -> SyncWish {
        if *self == SyncPolicy::Default { SyncWish::default() } else { SyncWish::FULL }
    }

    /// The values of `usersetting.rfssyncmode`, `rfssyncrole` and `rfssyncuid`.
    pub fn settings(&self) -> (&str, &str, &str) {
        const NONE: &str = "default";
        match self {
            SyncPolicy::Default => (NONE, NONE, NONE),
            SyncPolicy::Full => ("full", NONE, NONE),
            SyncPolicy::External { role, uid } => ("external", role.as_str(), uid),
        }
    }

    /// What [`SyncPolicy`] was shown as; none: something else.
    pub fn from_text(text: &str) -> Option<SyncPolicy> {
        match text.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            ["default"] => Some(SyncPolicy::Default),
            ["full"] => Some(SyncPolicy::Full),
            ["external", "prim", uid] => SyncPolicy::external(SyncRole::Prim, uid).ok(),
            ["external", "second", uid] => SyncPolicy::external(SyncRole::Second, uid).ok(),
            _ => None,
        }
    }

    /// External, if the name can be one. The error says why not.
    pub fn external(role: SyncRole, uid: &str) -> Result<SyncPolicy, String> {
        let good = |c: char| c.is_ascii_graphic();
        if uid.is_empty() || uid.len() > SYNC_UID_MAX || !uid.chars().all(good) {
            return Err(format!(
                "{uid:?} can't name a synchronisation: 1 to {SYNC_UID_MAX} letters, digits and signs, no spaces"
            ));
        }
        Ok(SyncPolicy::External { role, uid: uid.to_owned() })
    }
}

impl SyncRole {
    /// As in commands.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncRole::Prim => "prim",
            SyncRole::Second => "second",
        }
    }
}

/// As the command that chooses it.
impl std::fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SyncPolicy::External { role, uid } => write!(f, "external {} {uid}", role.as_str()),
            SyncPolicy::Full => f.write_str("full"),
            SyncPolicy::Default => f.write_str("default"),
        }
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

    #[test]
    fn a_policy_reads_like_its_command_and_names_have_a_form() {
        let external = SyncPolicy::external(SyncRole::Second, "2026-11-20/backup").unwrap();
        assert_eq!(external.to_string(), "external second 2026-11-20/backup");
        for policy in [external.clone(), SyncPolicy::Full, SyncPolicy::Default] {
            assert_eq!(SyncPolicy::from_text(&policy.to_string()), Some(policy));
        }
        assert_eq!((SyncPolicy::from_text("external prim"), SyncPolicy::from_text("{")), (None, None));
        assert_eq!(external.settings(), ("external", "second", "2026-11-20/backup"));
        assert_eq!((external.wish(), SyncPolicy::Full.wish()), (SyncWish::FULL, SyncWish::FULL));
        assert_eq!(
            (SyncPolicy::Default.wish(), SyncPolicy::Full.to_string()),
            (SyncWish::default(), "full".to_owned())
        );
        assert!(SyncPolicy::external(SyncRole::Prim, &"x".repeat(24)).is_ok());
        for bad in ["", "a b", "a\n", "é", &"x".repeat(25)] {
            assert!(SyncPolicy::external(SyncRole::Prim, bad).is_err(), "{bad:?}");
        }
    }
}
