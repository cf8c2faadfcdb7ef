//! The backing directory: where the data really is.
//!
//! Two users share it: the front end on the primary (by the kernel's requests) and the applier on the secondary (by the
//! primary's operations, [`Backing::apply`]). Both name files by [`FileId`] or by parent and one name, never by a path: application users own
//! parts of the tree and could put symbolic links into any path. Files are opened by handle, directory entries by
//! `openat2` that stays beneath, follows nothing and crosses no mount.
//!
//! Descriptors are a cache (least recently used go first): nothing depends on one being open.

pub mod apply;
mod attr;
mod calls;
mod data;
mod dir;
mod durable;
pub mod handle;
mod hold;
mod leftout;
mod name;
mod names;
mod node;
mod remove;
mod unsynced;
mod xattr;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hf_config::Exclusions;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::pipeline::FileId;
use crate::table::{Table, TableError};
use calls::DiskCalls;
use durable::Names;
use handle::Handle;
use node::Cache;
use unsynced::Unsynced;

pub use attr::{Change, Stat};
pub use dir::{DirEntry, ReadDir};
pub use hold::Replaced;
pub(crate) use leftout::entry_names;
pub use name::Name;
pub use names::{Found, Inherited, New, Requested};
pub use node::Node;
pub use remove::Removed;
pub(crate) use xattr::{ACL_ACCESS, ACL_DEFAULT};

/// Why the backing directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// A directory can't be opened or made.
    #[error("the directory {path} can't be {what}")]
    Directory { path: PathBuf, what: &'static str, source: io::Error },
    /// The file system has no file handles.
    #[error(
        "the file system of {path} gives no file handles (name_to_handle_at): a replicated directory needs ext4, XFS, Btrfs or another that can be exported"
    )]
    NoHandles { path: PathBuf, source: io::Error },
    /// The control directory must be on the same mount, or files can't be moved there.
    #[error("{hold} isn't on the same mounted file system as {root}")]
    OtherMount { root: PathBuf, hold: PathBuf },
    /// See there.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A directory that is a file system of its own has our place in itself, under this name, which nobody sees.
pub const INSIDE: &str = ".holdfast";

/// See the module.
pub struct Backing {
    root: OwnedFd,
    hold: OwnedFd,
    table: Arc<Table>,
    cache: Cache,
    names: Names,
    unsynced: Unsynced,
    calls: DiskCalls,
    left_out: Exclusions,
    /// It is a file system of its own.
    whole: bool,
    /// Access control lists are part of the copy.
    lists: bool,
}

impl Backing {
    /// Opens the backing directory `root` and the control directory `control` (`<root>.hold`, made 0700 if it isn't there) and ties the root to
    /// [`FileId::ROOT`]. Open it before its path is covered.
    pub fn open(root: &Path, control: &Path, table: Arc<Table>) -> Result<Backing, BackingError> {
        let root_fd = open_directory(root)?;
        let hold = hold::open(root, &root_fd, control)?;
        Backing::from_descriptors(root_fd, hold, table).map_err(|error| match error {
            BackingError::NoHandles { source, .. } => BackingError::NoHandles { path: root.to_owned(), source },
            other => other,
        })
    }

    /// The same from descriptors that were opened before (a takeover: the paths are covered by then).
    pub fn from_descriptors(root: OwnedFd, hold: OwnedFd, table: Arc<Table>) -> Result<Backing, BackingError> {
        let handle = Handle::of(root.as_fd())
            .map_err(|source| BackingError::NoHandles { path: PathBuf::from("the backing directory"), source })?;
        table.bind(FileId::ROOT, &handle, libc::S_IFDIR)?;
        let backing = Backing {
            root,
            hold,
            table,
            cache: Cache::new(),
            names: Names::default(),
            unsynced: Unsynced::default(),
            calls: DiskCalls::default(),
            left_out: Exclusions::default(),
            whole: false,
            lists: true,
        };
        let whole = backing.path_of(backing.hold.as_fd()).is_ok_and(|path| path.is_some());
        Ok(Backing { whole, ..backing }.leaving_out(Exclusions::default()))
    }

    /// The root directory's descriptor, for the keeper.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The descriptor of the directory of files that were unlinked while open, for the keeper.
    pub fn hold(&self) -> BorrowedFd<'_> {
        self.hold.as_fd()
    }

    /// What waits for the disk.
    pub fn calls(&self) -> &DiskCalls {
        &self.calls
    }

    /// The table of ids.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The open file of an id. ESTALE when the id isn't known or its file is gone.
    pub fn node(&self, id: FileId) -> io::Result<Arc<Node>> {
        if let Some(node) = self.cache.get(id) {
            return Ok(node);
        }
        let known = self.table.get(id).ok_or_else(stale)?;
        let fd = node::open(self.root.as_fd(), &known)?;
        Ok(self.cache.put(Node::new(id, fd, known.kind)))
    }

    /// Closes everything that is open: ids get other meanings.
    pub(crate) fn close_all(&self) {
        self.unsynced.everything();
        self.cache.clear();
    }

    /// The file is gone for good.
    fn forget(&self, id: FileId) {
        self.cache.remove(id);
        self.table.forget(id);
        self.unsynced.clear(id, false);
    }

    /// Closes what is open of this id.
    pub fn close(&self, id: FileId) {
        self.cache.remove(id);
    }
}

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

fn open_directory(path: &Path) -> Result<OwnedFd, BackingError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|source| BackingError::Directory {
        path: path.to_owned(),
        what: "opened",
        source: source.into(),
    })
}

/// One entry of a directory, never outside of it, through no link and on the same mount.
fn open_entry(dir: BorrowedFd<'_>, name: &Name, flags: OFlags, mode: u32) -> rustix::io::Result<OwnedFd> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(dir, name.as_c_str(), flags, Mode::from_raw_mode(mode), resolve)
}

#[cfg(test)]
mod tests;
