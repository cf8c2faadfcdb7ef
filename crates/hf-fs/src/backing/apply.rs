//! Repeating the primary's operations on the secondary.
//!
//! Nothing is tolerated (P3): an operation that fails here, or that meets something else than the primary did, is an error, and the
//! caller takes this copy out until it is compared again.

use std::ffi::CString;
use std::io;

use rustix::fs::RenameFlags;

use super::names::Inherited;
use super::{Backing, Change, Found, Name, New};
use crate::pipeline::{Attrs, FileId, Op, Stamp};

/// An operation that couldn't be repeated. The copy isn't up to date any more.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of file {id} can't be repeated on this copy")]
pub struct ApplyError {
    /// Its name.
    pub operation: &'static str,
    /// The file.
    pub id: FileId,
    /// ESTALE: the id isn't known here. EXDEV: the name belongs to another file here. ENOSPC: full disk...
    pub source: io::Error,
}

impl ApplyError {
    /// Is this disk full? Then the copy may be completed when there is room.
    pub fn is_full_disk(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}

impl Backing {
    /// Repeats one operation. A barrier does nothing here: the caller decides what is synced when.
    pub fn apply(&self, op: &Op<'_>) -> Result<(), ApplyError> {
        let _call = self.calls.begin();
        let done = match op {
            Op::Create { parent, name, id, attrs, stamp } => {
                self.apply_new(*parent, name, *id, &New::File, attrs, *stamp)
            }
            Op::Mkdir { parent, name, id, attrs, stamp } => {
                self.apply_new(*parent, name, *id, &New::Directory, attrs, *stamp)
            }
            Op::Symlink { parent, name, id, target, attrs, stamp } => {
                self.apply_new(*parent, name, *id, &New::Symlink(target), attrs, *stamp)
            }
            Op::Mknod { parent, name, id, kind, rdev, attrs, stamp } => {
                let new = New::Special { kind: *kind, rdev: *rdev };
                self.apply_new(*parent, name, *id, &new, attrs, *stamp)
            }
            Op::Link { .. } | Op::Unlink { .. } | Op::Rmdir { .. } | Op::Rename { .. } => self.apply_names(op),
            _ => self.apply_content(op),
        };
        done.map_err(|source| ApplyError { operation: kind_of(op), id: op.id(), source })
    }

    fn apply_content(&self, op: &Op<'_>) -> io::Result<()> {
        match op {
            Op::Write { id, offset, data } => {
                let written = self.write(*id, *offset, data)?;
                if written == data.len() { Ok(()) } else { Err(errno(libc::ENOSPC)) }
            }
            Op::Truncate { id, size } => self.truncate(*id, *size),
            Op::Allocate { id, mode, offset, len } => self.allocate(*id, *mode, *offset, *len),
            Op::SetAttr { id, owner, mode, atime, mtime } => {
                let change = Change { owner: *owner, mode: *mode, atime: *atime, mtime: *mtime };
                self.set_attr(*id, &change)
            }
            Op::SetXattr { id, name, value } => self.set_xattr(*id, &c_string(name)?, value, 0),
            Op::RemoveXattr { id, name } => self.remove_xattr(*id, &c_string(name)?),
            _ => Ok(()),
        }
    }

    fn apply_new(
        &self,
        parent: FileId,
        name: &[u8],
        id: FileId,
        new: &New<'_>,
        attrs: &Attrs,
        stamp: Stamp,
    ) -> io::Result<()> {
        let (wanted, name) = (Inherited { attrs: *attrs, acl: false }, Name::new(name)?);
        self.make_way(parent, &name)?;
        self.make(parent, &name, id, new, &wanted)?;
        self.stamp_new(id, stamp)?;
        self.restamp(parent, stamp)
    }

    fn apply_names(&self, op: &Op<'_>) -> io::Result<()> {
        match op {
            Op::Link { id, parent, name, stamp } => {
                let name = Name::new(name)?;
                self.make_way(*parent, &name)?;
                self.link(*id, *parent, &name)?;
                self.restamp(*parent, *stamp)
            }
            Op::Unlink { parent, name, id, stamp } => {
                let name = Name::new(name)?;
                let found = self.expect(*parent, &name, *id)?;
                self.unlink(*parent, &name, &found)?;
                self.restamp(*parent, *stamp)
            }
            Op::Rmdir { parent, name, id, stamp } => {
                let name = Name::new(name)?;
                let found = self.expect(*parent, &name, *id)?;
                self.rescue_below(*parent, &name)?;
                self.rmdir(*parent, &name, &found)?;
                self.restamp(*parent, *stamp)
            }
            Op::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp } => {
                let (name, new_name) = (Name::new(name)?, Name::new(new_name)?);
                self.make_way(*new_parent, &new_name)?;
                let source = self.expect(*parent, &name, *id)?;
                let target = match replaced {
                    Some(target) => Some(self.expect(*new_parent, &new_name, *target)?),
                    None => None,
                };
                let flags = match (*exchange, replaced) {
                    (true, _) => RenameFlags::EXCHANGE,
                    (false, None) => RenameFlags::NOREPLACE,
                    (false, Some(_)) => RenameFlags::empty(),
                };
                let from = (*parent, &name, &source);
                let to = (*new_parent, &new_name, target.as_ref());
                self.rename_keeping_own(from, to, flags)?;
                self.restamp(*parent, *stamp)?;
                self.restamp(*new_parent, *stamp)
            }
            _ => Ok(()),
        }
    }

    /// What isn't replicated stays where it is, or goes aside.
    fn rename_keeping_own(
        &self,
        from: (FileId, &Name, &Found),
        to: (FileId, &Name, Option<&Found>),
        flags: RenameFlags,
    ) -> io::Result<()> {
        let exchanged = to.2.filter(|_| flags.contains(RenameFlags::EXCHANGE));
        if let (None, Some(target)) = (exchanged, to.2)
            && target.is_dir()
        {
            self.rescue_below(to.0, to.1)?;
        }
        let (old, new) = (self.path_at(from.0, from.1.as_c_str())?, self.path_at(to.0, to.1.as_c_str())?);
        self.rename(from, to, flags)?;
        if let Some(old) = old.filter(|_| from.2.is_dir()) {
            self.rescue_moved(to.0, to.1, &old)?;
        }
        if let Some(new) = new.filter(|_| exchanged.is_some_and(Found::is_dir)) {
            self.rescue_moved(from.0, from.1, &new)?;
        }
        Ok(())
    }

    /// The entry's file, which must be this one.
    fn expect(&self, parent: FileId, name: &Name, id: FileId) -> io::Result<Found> {
        let found = self.lookup(parent, name)?;
        if found.id == id { Ok(found) } else { Err(errno(libc::EXDEV)) }
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn c_string(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| errno(libc::EINVAL))
}

fn kind_of(op: &Op<'_>) -> &'static str {
    match op {
        Op::Write { .. } => "write",
        Op::Truncate { .. } => "truncate",
        Op::Allocate { .. } => "fallocate",
        Op::Create { .. } => "create",
        Op::Mkdir { .. } => "mkdir",
        Op::Symlink { .. } => "symlink",
        Op::Mknod { .. } => "mknod",
        Op::Link { .. } => "link",
        Op::Unlink { .. } => "unlink",
        Op::Rmdir { .. } => "rmdir",
        Op::Rename { .. } => "rename",
        Op::SetAttr { .. } => "setattr",
        Op::SetXattr { .. } => "setxattr",
        Op::RemoveXattr { .. } => "removexattr",
        Op::Barrier { .. } => "barrier",
    }
}
