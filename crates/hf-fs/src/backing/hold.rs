//! Files without a name that somebody may have open: kept under `.hold/open/<id>` until the kernel forgets them.
//!
//! A server of files without state can't keep them by a descriptor: it would be gone with the process.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};

use super::{Backing, BackingError, INSIDE, Name, Node, open_directory};
use crate::pipeline::FileId;
use crate::table::HELD;

/// What happens to a file that loses its last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It has other names, or nobody can have it open.
    Goes,
    /// It was put under `.hold/open`.
    Held,
}

pub(super) fn open(root: &Path, root_fd: &OwnedFd, control: &Path) -> Result<OwnedFd, BackingError> {
    for dir in [control.to_owned(), control.join("open")] {
        match rustix::fs::mkdir(&dir, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(source) => {
                return Err(BackingError::Directory { path: dir, what: "made", source: source.into() });
            }
        }
    }
    let hold = open_directory(&control.join("open"))?;
    if mount_of(root_fd).is_some_and(|m| mount_of(&hold) == Some(m)) {
        return Ok(hold);
    }
    if is_mount_root(root_fd) {
        return open_inside(root, root_fd);
    }
    Err(BackingError::OtherMount { root: root.to_owned(), hold: control.to_owned() })
}

fn mount_of(fd: &OwnedFd) -> Option<u64> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok().map(|s| s.stx_mnt_id)
}

fn is_mount_root(fd: &OwnedFd) -> bool {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// A file system of its own has the place inside: files can't be moved to another one.
fn open_inside(root: &Path, root_fd: &OwnedFd) -> Result<OwnedFd, BackingError> {
    let failed = |source: rustix::io::Errno| BackingError::Directory {
        path: root.join(INSIDE).join("open"),
        what: "made",
        source: source.into(),
    };
    for dir in [INSIDE.to_owned(), format!("{INSIDE}/open")] {
        match rustix::fs::mkdirat(root_fd, dir, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(root_fd, format!("{INSIDE}/open"), flags, Mode::empty()).map_err(failed)
}

impl Backing {
    /// Moves an entry's file there.
    pub(super) fn hold_entry(&self, dir: &Node, name: &Name, id: FileId) -> io::Result<()> {
        let to = held_name(id);
        rustix::fs::renameat_with(dir.dir()?, name.as_c_str(), &self.hold, &to, RenameFlags::NOREPLACE)?;
        self.held(id)
    }

    /// Notes that the file is there now. On a secondary the kernel may have forgotten it meanwhile: then it goes at once.
    pub(super) fn held(&self, id: FileId) -> io::Result<()> {
        self.table.set_flags(id, HELD);
        if self.table.is_known_to_kernel(id) { Ok(()) } else { self.release(id) }
    }

    /// Gives a file that is about to be replaced one more name there.
    pub(super) fn hold_link(&self, dir: &Node, name: &Name, id: FileId) -> io::Result<()> {
        let to = held_name(id);
        rustix::fs::linkat(dir.dir()?, name.as_c_str(), &self.hold, &to, AtFlags::empty())?;
        Ok(())
    }

    /// Takes that name away again; nothing when there is none.
    pub(crate) fn unhold(&self, id: FileId) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.hold, held_name(id), AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Is it there?
    pub(crate) fn is_in_hold(&self, id: FileId) -> io::Result<bool> {
        match rustix::fs::statat(&self.hold, held_name(id), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The kernel forgot a file without names: it goes for good.
    pub fn release(&self, id: FileId) -> io::Result<()> {
        self.cache.remove(id);
        let done = self.unhold(id);
        self.forget(id);
        done
    }

    /// Has the file no name any more?
    pub fn is_held(&self, id: FileId) -> bool {
        self.table.flags(id) & HELD != 0
    }

    /// Removes everything there: at a fresh mount nobody can have anything open. Says how many files went.
    pub fn sweep(&self) -> io::Result<usize> {
        let fd = rustix::fs::openat(&self.hold, c".", rustix::fs::OFlags::RDONLY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        for name in &names {
            rustix::fs::unlinkat(self.hold.as_fd(), name, AtFlags::empty())?;
        }
        for id in self.table.with_flags(HELD) {
            self.forget(id);
        }
        Ok(names.len())
    }
}

fn held_name(id: FileId) -> CString {
    CString::new(format!("{:x}", id.0)).expect("digits hold no NUL")
}
