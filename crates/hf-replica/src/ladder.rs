//! Which step of the ladder a synchronisation takes: what may count as equal without being read (guide P6, P9).
//!
//! Each copy can mark files: "the content of this file hasn't left the state that both copies had in common". The marks of a copy mean something
//! only together with [`Common`], which names that state. If both copies name the same one, a file that is marked on both needn't be read.
//! In every case names and attributes of all files are compared.

use hf_types::SyncWish;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The state that a copy's marks are about: a stream of operations, up to a place in it.
///
/// The sender's marks leave out every file that an operation after `at` is about; the receiver has applied everything up to `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// The stream's number, drawn at random.
    pub stream: u64,
    /// Sender: the other copy confirmed this much. Receiver: this much is applied here.
    pub at: u64,
    /// This copy issued the stream.
    pub sender: bool,
}

/// What a synchronisation may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Files that are marked on both copies, which have this stream in common.
    pub common: Option<u64>,
    /// Files that were last changed before this moment (seconds since 1970 UTC), at the same second and with the same size on both.
    pub before_s: Option<i64>,
    pub why: Why,
}

/// Why it is this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Both copies know what they had in common.
    Common,
    /// `secondforce -d`.
    Date,
    /// `fullsync`, `primforce`.
    Asked,
    /// This copy or the other doesn't know any more what was in common: it is new, or wasn't stopped in good order.
    UnknownHere,
    UnknownThere,
    /// What each of them knows is about different states.
    Different,
    /// The other copy (or this one) has less than it had confirmed: it was put back.
    PutBack,
}

impl Step {
    /// Everything is compared by content.
    pub fn content(why: Why) -> Step {
        Step { common: None, before_s: None, why }
    }
}

/// Decides; any doubt means: compare by content.
pub fn step(wish: SyncWish, mine: Option<Common>, theirs: Option<Common>) -> Step {
    if wish.full {
        return Step::content(Why::Asked);
    }
    let common = in_common(mine, theirs);
    match (common, wish.newer_than_s) {
        (Ok(stream), before_s) => Step { common: Some(stream), before_s, why: Why::Common },
        (Err(_), Some(_)) => Step { common: None, before_s: wish.newer_than_s, why: Why::Date },
        (Err(why), None) => Step::content(why),
    }
}

fn in_common(mine: Option<Common>, theirs: Option<Common>) -> Result<u64, Why> {
    let mine = mine.filter(|common| common.stream != 0).ok_or(Why::UnknownHere)?;
    let theirs = theirs.filter(|common| common.stream != 0).ok_or(Why::UnknownThere)?;
    if mine.stream != theirs.stream || mine.sender == theirs.sender {
        return Err(Why::Different);
    }
    let (sender, receiver) = if mine.sender { (mine, theirs) } else { (theirs, mine) };
    // A receiver that has less than it had confirmed: an old state of its disk came back.
    if receiver.at < sender.at { Err(Why::PutBack) } else { Ok(mine.stream) }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = "Reintegration by content: every file is read on both nodes, what differs is sent";
        match self.why {
            Why::Common if self.before_s.is_some() => write!(
                f,
                "Reintegration of what changed: files that both nodes know to be unchanged since they were in step, and those last changed before the date, are not read"
            ),
            Why::Common => write!(
                f,
                "Reintegration of what changed: files that both nodes know to be unchanged since they were in step are not read"
            ),
            Why::Date => write!(
                f,
                "Reintegration by date: files that were last changed before the date, at the same time and with the same size on both nodes, are not read"
            ),
            Why::Asked => write!(f, "{all}, because it was asked for (fullsync, primforce)"),
            Why::UnknownHere => write!(f, "{all}, because this node doesn't know what both had in common"),
            Why::UnknownThere => write!(f, "{all}, because the other node doesn't know what both had in common"),
            Why::Different => write!(f, "{all}, because the two nodes remember different states in common"),
            Why::PutBack => write!(f, "{all}, because a copy has less than it had confirmed (was its disk put back?)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(stream: u64, at: u64, sender: bool) -> Option<Common> {
        Some(Common { stream, at, sender })
    }

    #[test]
    fn both_must_name_the_same_state_from_both_ends() {
        let plain = SyncWish::default();
        let known = Step { common: Some(7), before_s: None, why: Why::Common };
        assert_eq!(step(plain, common(7, 5, true), common(7, 5, false)), known);
        assert_eq!(step(plain, common(7, 5, true), common(7, 9, false)), known, "applied more than was confirmed");
        assert_eq!(step(plain, common(7, 9, false), common(7, 5, true)), known, "the receiver took over");
        let content = |mine, theirs| step(plain, mine, theirs).why;
        assert_eq!(content(common(7, 5, true), common(7, 4, false)), Why::PutBack);
        assert_eq!(content(common(7, 4, false), common(7, 5, true)), Why::PutBack);
        assert_eq!(content(common(7, 5, true), common(8, 5, false)), Why::Different);
        assert_eq!(content(common(7, 5, true), common(7, 5, true)), Why::Different);
        assert_eq!(content(None, common(7, 5, true)), Why::UnknownHere);
        assert_eq!(content(common(7, 5, true), None), Why::UnknownThere);
        assert_eq!(content(common(0, 5, true), common(0, 5, false)), Why::UnknownHere, "no stream");
    }

    #[test]
    fn wishes() {
        let (mine, theirs) = (common(7, 5, true), common(7, 5, false));
        assert_eq!(step(SyncWish::FULL, mine, theirs), Step::content(Why::Asked));
        let dated = SyncWish { full: false, newer_than_s: Some(99) };
        assert_eq!(step(dated, mine, theirs), Step { common: Some(7), before_s: Some(99), why: Why::Common });
        assert_eq!(step(dated, mine, None), Step { common: None, before_s: Some(99), why: Why::Date });
        assert_eq!(step(SyncWish { full: true, ..dated }, mine, None), Step::content(Why::Asked));
    }

    #[test]
    fn only_what_rests_on_something_is_left_unread() {
        for mine in [None, common(1, 1, true), common(1, 2, false), common(2, 1, true)] {
            for theirs in [None, common(1, 1, false), common(1, 2, true), common(2, 2, false)] {
                for wish in [SyncWish::default(), SyncWish::FULL] {
                    let step = step(wish, mine, theirs);
                    assert_eq!(step.common.is_some(), step.why == Why::Common);
                    assert!(!wish.full || step == Step::content(Why::Asked));
                    if step.common.is_some() {
                        assert_eq!(mine.map(|c| c.stream), theirs.map(|c| c.stream));
                    }
                }
            }
        }
    }
}
