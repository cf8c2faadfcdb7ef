//! Attributes and extended attributes.

use std::ffi::CString;
use std::io;

use super::Front;
use super::answer::{Answer, Asker};
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

    pub(super) fn set_xattr(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        id: FileId,
        (name, value, flags): (&CString, &[u8], i32),
        reply: fuser::ReplyEmpty,
    ) {
        let done = self.change_xattr(&admission, id, || {
            let set = self.backing.set_xattr(id, name, value, flags);
            // Executed by a server that died before it answered?
            if asker.resent && errno_is(&set, libc::EEXIST) && self.backing.xattr(id, name)? == value {
                return Ok(Op::SetXattr { id, name: name.to_bytes(), value });
            }
            set.map(|()| Op::SetXattr { id, name: name.to_bytes(), value })
        });
        drop(admission);
        self.answer_xattr("setxattr", id, done, reply);
    }

    pub(super) fn remove_xattr(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        id: FileId,
        name: &CString,
        reply: fuser::ReplyEmpty,
    ) {
        let done = self.change_xattr(&admission, id, || {
            let removed = self.backing.remove_xattr(id, name);
            if asker.resent && errno_is(&removed, libc::ENODATA) {
                return Ok(Op::RemoveXattr { id, name: name.to_bytes() });
            }
            removed.map(|()| Op::RemoveXattr { id, name: name.to_bytes() })
        });
        drop(admission);
        self.answer_xattr("removexattr", id, done, reply);
    }

    fn change_xattr<'a>(
        &self,
        admission: &Admission<'_>,
        id: FileId,
        change: impl FnOnce() -> io::Result<Op<'a>>,
    ) -> io::Result<Result<(), Refusal>> {
        let node = self.backing.node(id)?;
        let _file = self.pipeline.order().file(id);
        let op = change()?;
        Ok(self.append(admission, &node, &op))
    }

    fn answer_xattr(
        &self,
        call: &'static str,
        id: FileId,
        done: io::Result<Result<(), Refusal>>,
        reply: fuser::ReplyEmpty,
    ) {
        match done {
            Ok(Ok(())) => reply.ok(),
            Ok(Err(refusal)) => reply.fail(refusal.errno()),
            Err(error) => self.failed(call, id, &error, reply),
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
