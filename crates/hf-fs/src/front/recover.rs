//! Finishing what a dead server had half done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Front;
use super::intent::{Intent, NO_SLOT, Side, What};
use super::names::Failure;
use crate::backing::{Found, Name};
use crate::pipeline::{Admission, FileId, Refusal, was_published};
use crate::table::HELD;

impl Front {
    /// Under the lock for names, before any other name operation: what was executed and not appended is appended now. Otherwise
    /// a later operation could reach the secondary before one that it depends on.
    pub(super) fn recover(&self, admission: &Admission<'_>) -> Result<(), Failure> {
        if self.recovered.load(Ordering::Acquire) {
            return Ok(());
        }
        if let Some(intent) = self.memory.intent() {
            let executed = self.finish(admission, &intent)?;
            tracing::info!(what = ?intent.what, file = %intent.id, executed, "a name operation of the dead server was settled");
        }
        self.memory.clear_intent();
        self.recovered.store(true, Ordering::Release);
        Ok(())
    }

    /// As soon as the gate lets the first modification in, before all that wait there. Until then nothing is lost by waiting; later a drain would
    /// miss it.
    pub(super) fn recover_when_admitted(self: &Arc<Self>) {
        let front = self.clone();
        let settle = move |admitted: Result<Admission<'_>, Refusal>| {
            let Ok(admission) = admitted else { return front.give_up_unfinished() };
            let _names = front.pipeline.order().change_names();
            if let Err(Failure::Local(_, error)) = front.recover(&admission) {
                tracing::error!(%error, "what a dead server left half done can't be settled");
            }
        };
        self.pipeline.gate().park(Box::new(settle));
    }

    /// A secondary follows the primary: what it had half done in an earlier role is found by comparing.
    pub(super) fn give_up_unfinished(&self) {
        let _names = self.pipeline.order().change_names();
        if !self.recovered.swap(true, Ordering::AcqRel) {
            self.memory.clear_intent();
        }
    }

    /// True when the dead server had executed it.
    fn finish(&self, admission: &Admission<'_>, intent: &Intent) -> Result<bool, Failure> {
        let published =
            intent.slot != NO_SLOT && was_published(self.memory.mark(intent.slot), &*self.pipeline).is_some();
        if published {
            if intent.wanted.acl {
                self.publish_lists(admission, intent.id)?;
            }
            return Ok(true);
        }
        let executed = self.was_executed(intent)?;
        if intent.side == Side::Comes {
            self.give_up_coming(intent, executed);
        }
        if !executed {
            intent.other.map_or(Ok(()), |id| self.backing.unhold(id))?;
            return Ok(false);
        }
        let made = self.complete(intent)?;
        if intent.side == Side::Comes {
            let mark = (intent.slot != NO_SLOT).then(|| self.memory.mark(intent.slot));
            self.pipeline.note(admission, mark)?;
            return Ok(true);
        }
        self.publish(admission, intent, made.as_ref())?;
        Ok(true)
    }

    fn was_executed(&self, intent: &Intent) -> io::Result<bool> {
        let here = self.id_at(intent.parent, &intent.name);
        let there = || self.id_at(intent.new_parent, &intent.new_name);
        Ok(match intent.what {
            // There was nothing before, or the intent would not have been made.
            What::Make => here?.is_some(),
            What::Link => there()? == Some(intent.id),
            What::Unlink | What::Rmdir => here? != Some(intent.id),
            What::Rename => there()? == Some(intent.id),
            What::Exchange => here? == intent.other,
        })
    }

    fn id_at(&self, parent: FileId, name: &[u8]) -> io::Result<Option<FileId>> {
        if name.is_empty() {
            return Ok(None);
        }
        let found = self.backing.lookup_if_there(parent, &Name::new(name)?)?;
        Ok(found.map(|found| found.id))
    }

    /// The steps after the first, which may be missing.
    fn complete(&self, intent: &Intent) -> io::Result<Option<Found>> {
        match intent.what {
            What::Make => {
                let name = Name::new(&intent.name)?;
                let fd = self.backing.open_made(intent.parent, &name, intent.kind)?;
                self.backing.finish(fd, intent.id, intent.kind, &intent.wanted).map(Some)
            }
            What::Unlink => self.settle(intent.id).map(|()| None),
            What::Rename => intent.other.map_or(Ok(()), |id| self.settle(id)).map(|()| None),
            What::Rmdir => {
                self.backing.dir_gone(intent.id);
                Ok(None)
            }
            What::Link | What::Exchange => Ok(None),
        }
    }

    /// A file that lost a name: held, gone, or alive under another name.
    fn settle(&self, id: FileId) -> io::Result<()> {
        let table = self.backing.table();
        if self.backing.is_in_hold(id)? {
            table.set_flags(id, HELD);
        } else if table.get(id).is_some_and(|known| known.kind == libc::S_IFDIR) {
            self.backing.dir_gone(id);
        } else if self.backing.stat(id).is_err() {
            table.forget(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
