//! Marks of unchanged files, and the state in common that they are about (`hf_replica::ladder`).
//!
//! # What a mark says
//!
//! [`SAME`](crate::table::SAME) in the table of ids: *the content of this file here is the content that it has in the state in common, changed by
//! nothing but operations of the stream.* The state in common is [`Common`]: a stream, up to the place that the other copy
//! confirmed (its sender), or that was applied (its receiver). If two copies agree on it, a file that is marked on both has the
//! same content on both, as long as both get the same operations from then on. A mark on one side says nothing.
//!
//! # Why it holds
//!
//! 1. *Set* on the sender under the file's lock, before a frame of that file is appended that the other copy gets when the contents are
//!    equal there: the attributes that end a file's comparison, or its creation. On the receiver: when that frame was applied.
//! 2. *Cleared* on the side that modifies whenever an operation on content is carried out and no frame of it is appended (it is
//!    alone; the other copy doesn't know the file yet; the frame was refused).
//! 3. *Cleared* when frames that weren't confirmed are dropped, for each file that they are about: so what was done here and may not have
//!    arrived there has no mark. Because of 1 also a mark that was set too late for its stream goes with the frame that was
//!    appended after it. While that is under way nothing is in common: a death in the middle leaves nothing to rely on.
//! 4. *All cleared* when a synchronisation begins that isn't on top of the state in common, when a disk failed, when the copies were
//!    found different, and in the successor of a process that died while it was primary (what it had carried out but not
//!    noted isn't known).
//!
//! A mark belongs to an id and a local file: [`Table::bind`](crate::table::Table::bind) of another pair begins without. Marks survive a death of
//! this process with the table; an orderly stop writes them down ([`crate::manifest`]).

use std::sync::atomic::Ordering;
use std::time::Duration;

use hf_replica::ladder::Common;

use super::{Flow, Link, lock};
use crate::pipeline::{FileId, Op};
use crate::table::SAME;

/// A disk that lets somebody wait for so long isn't asked for more than it must be.
const PATIENCE: Duration = Duration::from_secs(1);

impl Link {
    /// The state that this copy's marks are about now.
    pub fn common(&self) -> Option<Common> {
        match self.flow() {
            Flow::Following => self.ring.common_received().or_else(|| self.ring.common()),
            Flow::Alone | Flow::Syncing | Flow::InStep => self.ring.common_sent().or_else(|| self.ring.common()),
        }
    }

    /// The stream that is applied here, 0 for none.
    pub(crate) fn applied_stream(&self) -> u64 {
        self.ring.counters().applied_stream.load(Ordering::SeqCst)
    }

    /// What the other copy's marks are about, as its core said on this connection.
    pub fn peer_common(&self) -> Option<Common> {
        *lock(&self.peer_common)
    }

    pub(super) fn set_peer_common(&self, common: Option<Common>) {
        *lock(&self.peer_common) = common;
    }

    /// Is the content of this file as in the state in common?
    pub fn is_same(&self, dir: u16, id: FileId) -> bool {
        self.dirs[usize::from(dir)].backing.table().flags(id) & SAME != 0
    }

    pub(crate) fn mark_same(&self, dir: u16, id: FileId) {
        self.dirs[usize::from(dir)].backing.table().set_flags(id, SAME);
    }

    pub(crate) fn clear_same(&self, dir: u16, id: FileId) {
        if let Some(dir) = self.dirs.get(usize::from(dir)) {
            dir.backing.table().clear_flags(id, SAME);
        }
    }

    /// Nothing is to be asked of the disk any more that can be left undone: it failed, or it lets somebody wait just now.
    pub fn spares_disk(&self) -> bool {
        let longest = self.dirs.iter().map(|dir| dir.backing.calls().longest()).max().unwrap_or_default();
        self.disk_failed.load(Ordering::SeqCst) || longest >= PATIENCE
    }

    /// What a failed disk holds isn't known.
    pub(crate) fn distrust_disk(&self) {
        self.disk_failed.store(true, Ordering::SeqCst);
        self.distrust();
    }

    /// Nothing is known of the other copy's content any more.
    pub(crate) fn distrust(&self) {
        self.ring.set_common(None);
        for dir in &self.dirs {
            dir.backing.table().clear_everywhere(SAME);
        }
    }

    /// Ends the stream that is issued, and begins `next` (0: none). `common`: what stays common.
    pub(super) fn leave_stream(&self, next: u64, common: Option<Common>) {
        self.leave_stream_for(next, common, None);
    }

    /// The same; `flow` becomes of operations from then on.
    pub(super) fn leave_stream_for(&self, next: u64, common: Option<Common>, flow: Option<Flow>) {
        self.ring.set_common(None);
        for (dir, id) in self.out.restart(&self.ring, next, flow) {
            self.clear_same(dir, FileId(id));
        }
        self.ring.set_common(common);
    }

    /// This copy follows from now on: what it issued and wasn't confirmed may not be there.
    pub(super) fn follow_from_now_on(&self) {
        let common = self.common();
        self.ring.set_common(None);
        for (dir, id) in self.ring.unconfirmed() {
            self.clear_same(dir, FileId(id));
        }
        self.ring.set_common(common);
    }

    /// The received stream counts no more, nor what was in common: a disk failed, or the copies were found different.
    pub(super) fn break_received(&self) {
        self.ring.counters().applied_stream.store(0, Ordering::SeqCst);
        self.distrust();
    }

    /// Before the directories can be changed by others again: nothing that isn't confirmed keeps its mark. Gates are closed, the link hung up.
    pub fn settle_marks(&self) -> Option<Common> {
        let common = self.common();
        self.leave_stream(0, common);
        common
    }
}

/// Does it change what a file holds? A creation does: also of a file that had been left out of the replication, and changed meanwhile.
pub(super) fn changes_content(op: &Op<'_>) -> bool {
    match op {
        Op::Write { .. } | Op::Truncate { .. } | Op::Allocate { .. } | Op::Create { .. } => true,
        Op::Mkdir { .. }
        | Op::Symlink { .. }
        | Op::Mknod { .. }
        | Op::Link { .. }
        | Op::Unlink { .. }
        | Op::Rmdir { .. }
        | Op::Rename { .. }
        | Op::SetAttr { .. }
        | Op::SetXattr { .. }
        | Op::RemoveXattr { .. }
        | Op::Barrier { .. } => false,
    }
}
