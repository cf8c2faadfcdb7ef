//! A record that says "the other copy is outdated", refuted by what was heard of that copy.
//!
//! Such a copy starts with nobody to ask (guide P5). Its word is true when it is written; a disk that is put back to an earlier state says it
//! again when it isn't true any more, and `prim` on the other node makes it untrue while nobody looks. Where this very heart has heard the other
//! copy since it was started, that is the better witness: what would have decided while the other node was heard still decides when it is silent.

use super::actor::HeartActor;
use hf_replica::{Preferred, Relation, Starter, compare, who_starts, why_not_alone};
use hf_types::{CopyState, NotPrimary};
use hf_wire::heartbeat::Heartbeat;
use serde::Serialize;

/// The other copy, as this heart heard of it last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct OtherCopy {
    copy: CopyState,
    /// It was served in this generation while this node didn't serve: something may have been acknowledged that is only there.
    served: bool,
}

impl HeartActor {
    pub(super) fn note_other_copy(&mut self, heartbeat: &Heartbeat) {
        let Some(copy) = heartbeat.copy.clone() else {
            return;
        };
        let before =
            self.other_copy.as_ref().is_some_and(|other| other.served && other.copy.generation == copy.generation);
        // Where both served the meeting of two primaries decides, and who stays has that decision.
        let served = !self.state().is_primary() && (before || heartbeat.state.is_primary());
        self.other_copy = Some(OtherCopy { copy, served });
    }

    /// Why this copy may not start with nobody to ask; none if it may.
    pub(super) fn why_not_unasked(&self, mine: &CopyState) -> Option<NotPrimary> {
        why_not_alone(mine).or_else(|| {
            let other = self.other_copy.as_ref()?;
            if who_starts(mine, &other.copy, Preferred::Peer) == Starter::Me {
                return None;
            }
            match compare(mine, &other.copy) {
                Relation::Ancestor => Some(NotPrimary::PeerNewer),
                Relation::Equal | Relation::Diverged if other.served => Some(NotPrimary::PeerUnknown),
                // Neither went on since `prim` was said here, or since this copy was the one that stayed.
                Relation::Equal | Relation::Diverged | Relation::Descendant => None,
            }
        })
    }
}
