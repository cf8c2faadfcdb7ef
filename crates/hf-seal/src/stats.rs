//! What was dropped, and why.

/// Why a datagram or a link was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not one of our sealed frames at all: a stranger, or a node without a key.
    Unsealed,
    /// One of our frames, but too short or of an unknown kind.
    Malformed,
    /// Sealed under another key or for another purpose.
    WrongKey,
    /// Names our key but was not made by it, or was changed on the way.
    Forged,
    /// Genuine, but seen before, or the answer to a challenge that is no longer open.
    Replayed,
    /// Genuine and not known as seen, but further behind than the window reaches.
    TooOld,
    /// Belongs to a session that this side doesn't have: a restart of either side, or a recording.
    StaleSession,
}

/// Counters of one channel since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Data frames handed to the caller.
    pub accepted: u64,
    /// Sessions begun.
    pub sessions: u64,
    pub unsealed: u64,
    pub malformed: u64,
    pub wrong_key: u64,
    pub forged: u64,
    pub replayed: u64,
    pub too_old: u64,
    pub stale_session: u64,
}

impl Stats {
    /// All refused datagrams.
    pub fn rejected(&self) -> u64 {
        self.unsealed
            + self.malformed
            + self.wrong_key
            + self.forged
            + self.replayed
            + self.too_old
            + self.stale_session
    }

    /// Counts one refusal.
    pub fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Unsealed => &mut self.unsealed,
            Reason::Malformed => &mut self.malformed,
            Reason::WrongKey => &mut self.wrong_key,
            Reason::Forged => &mut self.forged,
            Reason::Replayed => &mut self.replayed,
            Reason::TooOld => &mut self.too_old,
            Reason::StaleSession => &mut self.stale_session,
        } += 1;
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Unsealed => "not sealed",
            Reason::Malformed => "malformed",
            Reason::WrongKey => "sealed under another key",
            Reason::Forged => "forged",
            Reason::Replayed => "replayed",
            Reason::TooOld => "too old",
            Reason::StaleSession => "of a session that doesn't exist here",
        })
    }
}
