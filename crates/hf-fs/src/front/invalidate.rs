//! Making the kernel forget what it cached.
//!
//! Never called by a thread that answers requests: the kernel may wait for one of those while it forgets.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fuser::INodeNo;
use rustix::fs::{Mode, OFlags};

use super::Front;
use crate::pipeline::{FileId, Op};

/// `FUSE_NOTIFY_INC_EPOCH` (kernel 6.16): all names are asked for again.
const INC_EPOCH: i32 = 8;

impl Front {
    /// On the secondary, after an operation of the primary was applied: nobody here goes on seeing what was before. Cheap for files that
    /// nobody looked at.
    pub fn invalidate(&self, op: &Op<'_>) {
        match op {
            Op::Write { id, offset, data } => self.forget_data(*id, *offset, data.len() as u64),
            Op::Truncate { id, .. } | Op::Allocate { id, .. } => self.forget_data(*id, 0, 0),
            Op::SetAttr { id, .. } | Op::SetXattr { id, .. } | Op::RemoveXattr { id, .. } => self.forget_attr(*id),
            Op::Create { parent, name, .. }
            | Op::Mkdir { parent, name, .. }
            | Op::Symlink { parent, name, .. }
            | Op::Mknod { parent, name, .. } => self.forget_entry(*parent, name),
            Op::Link { id, parent, name, .. }
            | Op::Unlink { id, parent, name, .. }
            | Op::Rmdir { id, parent, name, .. } => {
                self.forget_entry(*parent, name);
                self.forget_attr(*id);
            }
            Op::Rename { parent, name, new_parent, new_name, replaced, .. } => {
                self.forget_entry(*parent, name);
                self.forget_entry(*new_parent, new_name);
                replaced.iter().for_each(|id| self.forget_attr(*id));
            }
            Op::Barrier { .. } => {}
        }
    }

    /// The same for content of a file that the synchronisation changed (`len` 0: all from `offset`).
    pub fn forget_data(&self, id: FileId, offset: u64, len: u64) {
        self.notify(id, |notifier| notifier.inval_inode(INodeNo(id.0), offset as i64, len as i64));
    }

    /// The same for attributes only.
    pub fn forget_attr(&self, id: FileId) {
        self.notify(id, |notifier| notifier.inval_inode(INodeNo(id.0), -1, 0));
    }

    /// The same for a directory entry.
    pub fn forget_entry(&self, parent: FileId, name: &[u8]) {
        let name = OsStr::from_bytes(name);
        self.notify(parent, |notifier| notifier.inval_entry(INodeNo(parent.0), name));
    }

    /// Makes the kernel write back what applications changed through shared mappings; it arrives here as writes. Before a swap, a stop or any change
    /// of role, while the gate is still open, and not on a thread that answers requests.
    pub fn write_back(&self, mountpoint: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(mountpoint, flags, Mode::empty())?;
        rustix::fs::syncfs(&root)?;
        // The kernel doesn't wait for a FUSE server there (tried on 6.18: the last requests were still under way). Forgetting a file's pages
        // does wait for each.
        let table = self.backing.table();
        let is_file = |id: &FileId| table.get(*id).is_some_and(|k| k.kind == libc::S_IFREG);
        table.known_to_kernel().into_iter().filter(is_file).for_each(|id| self.forget_data(id, 0, 0));
        Ok(())
    }

    /// Makes the kernel forget everything: names, attributes, content.
    pub(super) fn invalidate_all(&self) -> io::Result<()> {
        let Some(device) = self.device.get() else { return Ok(()) };
        let known = self.backing.table().known_to_kernel();
        if let Err(error) = notify_raw(device, INC_EPOCH) {
            tracing::debug!(%error, "a kernel before 6.16: names are forgotten one by one");
            self.forget_all_entries(&known)?;
        }
        // The root is never looked up, but its attributes are kept like any other's.
        known.into_iter().chain([FileId::ROOT]).for_each(|id| self.forget_data(id, 0, 0));
        Ok(())
    }

    fn forget_all_entries(&self, known: &[FileId]) -> io::Result<()> {
        let table = self.backing.table();
        let is_dir = |id: &&FileId| table.get(**id).is_some_and(|k| k.kind == libc::S_IFDIR);
        for dir in known.iter().filter(is_dir) {
            let entries = self.backing.list_all(*dir).unwrap_or_default();
            entries.iter().for_each(|entry| self.forget_entry(*dir, &entry.name));
        }
        Ok(())
    }

    fn notify(&self, id: FileId, tell: impl FnOnce(&fuser::Notifier) -> io::Result<()>) {
        let Some(notifier) = self.notifier.get() else { return };
        if id != FileId::ROOT && !self.backing.table().is_known_to_kernel(id) {
            return;
        }
        // ENOTEMPTY, ENOTDIR: the entry is in use, the kernel asks for it at its next use.
        if let Err(error) = tell(notifier) {
            tracing::debug!(file = %id, %error, "the kernel didn't forget");
        }
    }
}

/// A notification without a body: `RESEND`, `INC_EPOCH`.
pub(super) fn notify_raw(device: &OwnedFd, code: i32) -> io::Result<()> {
    let mut message = [0u8; 16];
    message[..4].copy_from_slice(&16u32.to_ne_bytes());
    message[4..8].copy_from_slice(&code.to_ne_bytes());
    rustix::io::write(device.as_fd(), &message)?;
    Ok(())
}
