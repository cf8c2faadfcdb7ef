//! The loser's copy is put by before it is overwritten (guide P7).
//!
//! No time-out of the primary runs meanwhile: the link is hung up and listened on again when the copy is kept; the primary tries to connect
//! every second.

use super::RfsEffect;
use super::actor::{Course, Link, Mount, Out, RfsActor, engine, to_heart};
use hf_replica::engine::EngineCommand;
use hf_replica::{Relation, compare, summary};
use hf_types::{Event, GenerationId, Instant, Record, RfsFault};
use hf_wire::bus::{RfsRole, RfsToHeart};
use serde::Serialize;
use std::time::Duration;

/// How long after it could not be kept it is tried again.
const KEEP_RETRY: Duration = Duration::from_secs(10);

/// Where this copy is on its way to being put by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) enum Keeping {
    #[default]
    No,
    UnderWay(GenerationId),
    /// It may be overwritten.
    Done(GenerationId),
}

impl RfsActor {
    /// Secondary, before anything is synchronised: has this copy something that no other has? True: nobody is followed now.
    pub(super) fn keep_first(&mut self, theirs: &[Record], out: &mut Out) -> bool {
        // The other node's boot id doesn't matter here: only the lines of descent are compared.
        let (Some(mine), Some(theirs)) = (summary(&self.records, ""), summary(theirs, "")) else {
            return false;
        };
        let diverged = compare(&mine, &theirs) == Relation::Diverged;
        // Half of it is overwritten already: what was worth keeping was kept before.
        if !diverged || !mine.consistent || self.keeping == Keeping::Done(mine.generation) {
            return false;
        }
        engine(out, EngineCommand::Hangup);
        self.link = Link::Down;
        if !matches!(self.keeping, Keeping::UnderWay(_)) {
            self.keeping = Keeping::UnderWay(mine.generation);
            engine(out, EngineCommand::KeepCopy { generation: mine.generation });
            let text = "Both nodes went on by themselves: the copy of this one is kept before it is overwritten";
            out.push(RfsEffect::Log(Event::Text(text.to_owned())));
        }
        true
    }

    pub(super) fn is_keeping(&self) -> bool {
        matches!(self.keeping, Keeping::UnderWay(_))
    }

    pub(super) fn on_kept(&mut self, generation: GenerationId, files: u64, out: &mut Out) {
        self.keeping = Keeping::Done(generation);
        let text = match files {
            0 => "The copy of this node is not kept, as an administrator said".to_owned(),
            files => format!("The copy of this node is kept ({files} files): 'holdfast conflict list' shows it"),
        };
        out.push(RfsEffect::Log(Event::CopyKept(text)));
        self.listen_again(out);
    }

    pub(super) fn on_not_kept(&mut self, now: Instant, why: String, out: &mut Out) {
        self.keeping = Keeping::No;
        let why = format!("the copy of this node must be kept before it is overwritten, and can't be: {why}");
        out.push(RfsEffect::Log(Event::RfsFault(RfsFault::Diverged(why.clone()))));
        to_heart(out, RfsToHeart::Fault(RfsFault::Diverged(why)));
        self.retry_at = Some(now + KEEP_RETRY);
    }

    pub(super) fn listen_again(&mut self, out: &mut Out) {
        let free = self.course == Course::None && self.link == Link::Down && !self.is_keeping();
        if free && self.wanted == RfsRole::Secondary && self.mount == Mount::Yes {
            engine(out, EngineCommand::Listen);
        }
    }
}
