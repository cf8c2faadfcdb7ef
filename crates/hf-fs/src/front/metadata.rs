//! Attributes and extended attributes.

use std::ffi::CString;
use std::io;

use super::Front;
use super::answer::{Answer, Asker};
use super::memory::SlotNo;
use crate::backing::{Change, Node, Stat};
use crate::pipeline::{Admission, FileId, Op, Refusal, Stamp};
use crate::table::TIMES;

/// What an application wants to change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Stamp>,
    pub mtime: Option<Stamp>,
}

/// A change of an extended attribute.
#[derive(Clone, Debug)]
pub(super) enum XattrChange {
    /// `flags` is 0, `XATTR_CREATE` or `XATTR_REPLACE`.
    Set {
        value: Vec<u8>,
        flags: i32,
    },
    Remove,
}

impl XattrChange {
    /// Is the answer the same if it is executed twice?
    fn is_repeatable(&self) -> bool {
        matches!(self, XattrChange::Set { flags: 0, .. })
    }

    fn op<'a>(&'a self, id: FileId, name: &'a CString) -> Op<'a> {
        match self {
            XattrChange::Set { value, .. } => Op::SetXattr { id, name: name.to_bytes(), value },
            XattrChange::Remove => Op::RemoveXattr { id, name: name.to_bytes() },
        }
    }
}

impl Front {
    pub(super) fn setattr(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        id: FileId,
        wanted: &Wanted,
        reply: fuser::ReplyAttr,
    ) {
        let done = self.set_and_append(&admission, asker, id, wanted);
        drop(admission);
        match done {
            Ok(Ok(stat)) => reply.attr(&self.ttl(), &self.file_attr(id, &stat)),
            Ok(Err(refusal)) => reply.fail(refusal.errno()),
            Err(error) => self.failed("setattr", id, &error, reply),
        }
    }

    fn set_and_append(
        &self,
        admission: &Admission<'_>,
        asker: &Asker,
        id: FileId,
        wanted: &Wanted,
    ) -> io::Result<Result<Stat, Refusal>> {
        let node = self.backing.node(id)?;
        let _file = self.pipeline.order().file(id);
        if let Some(size) = wanted.size {
            self.backing.truncate(id, size)?;
            let mut told = self.append(admission, &node, &Op::Truncate { id, size });
            if asker.uid != 0 && told.is_ok() {
                told = self.kill_set_id(admission, &node)?;
            }
            if let Err(refusal) = told {
                return Ok(Err(refusal));
            }
        }
        if let Err(refusal) = self.change_and_append(admission, &node, wanted)? {
            return Ok(Err(refusal));
        }
        Ok(Ok(rustix::fs::fstat(&*node)?))
    }

    fn change_and_append(
        &self,
        admission: &Admission<'_>,
        node: &Node,
        wanted: &Wanted,
    ) -> io::Result<Result<(), Refusal>> {
        let id = node.id();
        let owner = match (wanted.uid, wanted.gid) {
            (None, None) => None,
            (uid, gid) => {
                let now = rustix::fs::fstat(node)?;
                Some((uid.unwrap_or(now.st_uid), gid.unwrap_or(now.st_gid)))
            }
        };
        let change = Change { owner, mode: wanted.mode, atime: wanted.atime, mtime: wanted.mtime };
        if change == Change::default() {
            return Ok(Ok(()));
        }
        self.backing.set_attr(id, &change)?;
        // A new owner clears set-id bits: the other copy gets the mode that came out.
        let mode = match (owner, wanted.mode) {
            (None, None) => None,
            _ => Some(rustix::fs::fstat(node)?.st_mode & 0o7777),
        };
        let op = Op::SetAttr { id, owner, mode, atime: wanted.atime, mtime: wanted.mtime };
        let times = self.backing.table().flags(id) & TIMES;
        let told = self.append(admission, node, &op);
        // Appending notes that times changed: here they were told, or didn't change.
        if wanted.mtime.is_some() || times == 0 {
            self.backing.table().clear_flags(id, TIMES);
        }
        Ok(told)
    }

    pub(super) fn change_xattr(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        id: FileId,
        name: &CString,
        change: &XattrChange,
        reply: fuser::ReplyEmpty,
    ) {
        let done = self.change_xattr_and_append(&admission, asker, id, name, change);
        drop(admission);
        match done {
            Ok(Ok(slot)) => {
                reply.ok();
                slot.into_iter().for_each(|no| self.memory.free(no));
            }
            Ok(Err(refusal)) => reply.fail(refusal.errno()),
            Err(error) => self.failed("setxattr", id, &error, reply),
        }
    }

    /// With a slot where repeating would answer something else: one without a mark says that the condition was fulfilled before the server died,
    /// so it may be executed again without asking; one with a mark, that only the answer is missing. (The kernel lets nobody else change
    /// the file's attributes meanwhile.)
    pub(super) fn change_xattr_and_append(
        &self,
        admission: &Admission<'_>,
        asker: &Asker,
        id: FileId,
        name: &CString,
        change: &XattrChange,
    ) -> io::Result<Result<Option<SlotNo>, Refusal>> {
        let node = self.backing.node(id)?;
        let _file = self.pipeline.order().file(id);
        let (begun, published) = self.begun_by_predecessor(asker).unzip();
        if published == Some(true) {
            return Ok(Ok(begun));
        }
        let slot = match begun {
            Some(slot) => Some(slot),
            None if change.is_repeatable() => None,
            None => {
                self.may_change_xattr(id, name, change)?;
                self.memory.take(asker.request, id)
            }
        };
        let told = self.execute_xattr(id, name, change, begun.is_some()).and_then(|()| {
            let mark = slot.map(|no| self.memory.mark(no));
            if self.backing.is_own_list(name.to_bytes()) {
                // Only the mode that comes with it is told.
                let mode = Some(rustix::fs::fstat(&*node)?.st_mode & 0o7777);
                let op = Op::SetAttr { id, owner: None, mode, atime: None, mtime: None };
                return Ok(self.append_marked(admission, &node, &op, mark));
            }
            Ok(self.append_marked(admission, &node, &change.op(id, name), mark))
        });
        if !matches!(told, Ok(Ok(()))) {
            slot.into_iter().for_each(|no| self.memory.free(no));
        }
        Ok(told?.map(|()| slot))
    }

    fn may_change_xattr(&self, id: FileId, name: &CString, change: &XattrChange) -> io::Result<()> {
        let there = self.backing.xattr(id, name);
        let there = if errno_is(&there, libc::ENODATA) { false } else { there.map(|_| true)? };
        match change {
            XattrChange::Set { flags: libc::XATTR_CREATE, .. } if there => {
                Err(io::Error::from_raw_os_error(libc::EEXIST))
            }
            XattrChange::Set { flags: libc::XATTR_REPLACE, .. } | XattrChange::Remove if !there => {
                Err(io::Error::from_raw_os_error(libc::ENODATA))
            }
            _ => Ok(()),
        }
    }

    /// `again`: the condition was fulfilled when a dead server began.
    fn execute_xattr(&self, id: FileId, name: &CString, change: &XattrChange, again: bool) -> io::Result<()> {
        match change {
            XattrChange::Set { value, .. } if again => self.backing.set_xattr(id, name, value, 0),
            XattrChange::Set { value, flags } => self.backing.set_xattr(id, name, value, *flags),
            XattrChange::Remove => {
                let removed = self.backing.remove_xattr(id, name);
                if again && errno_is(&removed, libc::ENODATA) { Ok(()) } else { removed }
            }
        }
    }

    /// Answers the size, the value, or ERANGE.
    pub(super) fn reply_xattr(&self, value: io::Result<Vec<u8>>, size: u32, reply: fuser::ReplyXattr) {
        match value {
            Ok(value) if size == 0 => reply.size(value.len() as u32),
            Ok(value) if value.len() > size as usize => reply.fail(libc::ERANGE),
            Ok(value) => reply.data(&value),
            Err(error) => reply.fail(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
}

fn errno_is<T>(result: &io::Result<T>, errno: i32) -> bool {
    result.as_ref().is_err_and(|error| error.raw_os_error() == Some(errno))
}
