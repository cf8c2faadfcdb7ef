//! Going on where this heart left: a module that was ALONE and waits now, because another module, a machine or a network that it needs
//! was not there, or because its application had to be started anew.
//!
//! Its record says "alone, unconfirmed" if it had taken over from a node that was only silent. After a reboot such a copy waits for the other
//! one (guide P5), because it doesn't know what happened meanwhile. Here the same heart has listened all the time: to go on
//! alone is as good as it was not to leave. Without this a wait, or a stopstart by a checker, after a takeover would end in WAIT for good: the
//! fault that reference 004, 4.4.6 tells of.

use super::actor::HeartActor;
use super::peer::PeerNow;
use hf_replica::{Relation, compare, is_candidate};
use hf_types::{ModuleState, Standing};

impl HeartActor {
    /// Remembers the generation in which this heart is alone, and forgets it when the other copy may have gone on.
    pub(super) fn note_alone(&mut self) {
        let Some(mine) = &self.rfs.copy else {
            return;
        };
        if self.state() == ModuleState::Alone && mine.standing == Standing::AloneUnconfirmed {
            self.alone_in = Some(mine.generation);
        }
        let theirs = self.heard_peer().and_then(|peer| peer.copy.as_ref());
        let went_on = theirs.is_some_and(|theirs| compare(mine, theirs) != Relation::Descendant);
        if went_on || self.daemon_says_primary().is_some() {
            self.alone_in = None;
        }
    }

    /// Nobody was heard since whose copy isn't an older one of this copy's line, and nobody runs the module now as far as is known.
    pub(super) fn may_resume(&self) -> bool {
        let same = |copy: &hf_types::CopyState| {
            copy.standing == Standing::AloneUnconfirmed && is_candidate(copy) && self.alone_in == Some(copy.generation)
        };
        let nobody = matches!(self.peer_now(), PeerNow::Silent | PeerNow::Stopped);
        nobody && self.rfs.copy.as_ref().is_some_and(same)
    }
}
