//! Looking up and making names.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::attr::{chmod, chown, mtime, set_times};
use super::handle::Handle;
use super::{Backing, Name, Node, Stat, open_entry};
use crate::pipeline::{Attrs, FileId, Stamp};

/// A directory entry's file.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its id (given now if it had none).
    pub id: FileId,
    /// Its attributes.
    pub stat: Stat,
}

impl Found {
    /// The `S_IFMT` part of its mode.
    pub fn kind(&self) -> u32 {
        self.stat.st_mode & libc::S_IFMT
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
}

/// What kind of file to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New<'a> {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this target, of any bytes but NUL.
    Symlink(&'a [u8]),
    /// A FIFO, socket or device; `kind` is the `S_IFMT` part.
    Special { kind: u32, rdev: u64 },
}

impl New<'_> {
    /// The `S_IFMT` part of its mode.
    pub fn kind(&self) -> u32 {
        match self {
            New::File => libc::S_IFREG,
            New::Directory => libc::S_IFDIR,
            New::Symlink(_) => libc::S_IFLNK,
            New::Special { kind, .. } => *kind,
        }
    }
}

/// What an application asked for, before the parent directory has its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested {
    /// Permission bits as given to the system call.
    pub mode: u32,
    /// The application's mask.
    pub umask: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a new file gets from the request and its parent directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// Owner, group, mode. With `acl` the mode that the file system derives the list from.
    pub attrs: Attrs,
    /// The parent has a default access control list; it replaces the mask.
    pub acl: bool,
}

impl Backing {
    /// The file of a directory entry.
    pub fn lookup(&self, parent: FileId, name: &Name) -> io::Result<Found> {
        let parent = self.node(parent)?;
        self.lookup_in(&parent, name)
    }

    /// The same with the directory at hand.
    pub fn lookup_in(&self, parent: &Node, name: &Name) -> io::Result<Found> {
        let fd = open_entry(parent.dir()?, name, OFlags::PATH, 0)?;
        let stat = rustix::fs::fstat(&fd)?;
        let handle = Handle::of(fd.as_fd())?;
        let known = self.table.find(&handle).is_some();
        let id = self.table.id_of(&handle, stat.st_mode & libc::S_IFMT).map_err(no_memory)?;
        self.note_side(parent, name, (id, known), &stat)?;
        Ok(Found { id, stat })
    }

    /// The same, `None` when there is no such entry.
    pub fn lookup_if_there(&self, parent: FileId, name: &Name) -> io::Result<Option<Found>> {
        match self.lookup(parent, name) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Owner, group and mode of a new file, by the rules of mask, set-group-id directories and default access control lists.
    pub fn inherit(&self, parent: &Node, new: &New<'_>, requested: &Requested) -> io::Result<Inherited> {
        let dir = rustix::fs::fstat(parent)?;
        let setgid = dir.st_mode & libc::S_ISGID != 0;
        let acl = !matches!(new, New::Symlink(_)) && self.has_default_acl(parent);
        let mut mode = requested.mode & 0o7777;
        if !acl {
            mode &= !requested.umask;
        }
        if setgid && matches!(new, New::Directory) {
            mode |= libc::S_ISGID;
        }
        let gid = if setgid { dir.st_gid } else { requested.gid };
        Ok(Inherited { attrs: Attrs { mode, uid: requested.uid, gid }, acl })
    }

    /// Makes a file: closed to everybody at first, then with its owner, then with its mode. Ties it to `id`. When a step after the first
    /// fails, the file is taken away again.
    pub fn make(
        &self,
        parent: FileId,
        name: &Name,
        id: FileId,
        new: &New<'_>,
        wanted: &Inherited,
    ) -> io::Result<Found> {
        let dir = self.node(parent)?;
        // With a default list the file system needs the mode from the start to derive the new file's list; set-id bits come later.
        let first = if wanted.acl { wanted.attrs.mode & 0o777 } else { 0o600 | dir_bits(new) };
        let fd = create(dir.dir()?, name, new, first)?;
        self.names_changed(parent);
        let made = self.finish(fd, id, new.kind(), wanted);
        if made.is_err() {
            let flags = if *new == New::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            rustix::fs::unlinkat(dir.dir()?, name.as_c_str(), flags)?;
        }
        made
    }

    /// The second half of [`Backing::make`], also for a file that a dead process of ours left half made.
    pub(crate) fn finish(&self, fd: OwnedFd, id: FileId, kind: u32, wanted: &Inherited) -> io::Result<Found> {
        let handle = Handle::of(fd.as_fd())?;
        let node = Node::new(id, fd, kind);
        chown(&node, wanted.attrs.uid, wanted.attrs.gid)?;
        let special = wanted.attrs.mode & 0o7000;
        if !wanted.acl {
            chmod(&node, wanted.attrs.mode)?;
        } else if special != 0 {
            chmod(&node, (rustix::fs::fstat(&node)?.st_mode & 0o777) | special)?;
        }
        let stat = rustix::fs::fstat(&node)?;
        self.table.bind(id, &handle, kind).map_err(no_memory)?;
        if !node.is_path_only() {
            self.cache.put(node);
        }
        Ok(Found { id, stat })
    }

    /// Opens an entry as [`Backing::make`] leaves it open.
    pub(crate) fn open_made(&self, parent: FileId, name: &Name, kind: u32) -> io::Result<OwnedFd> {
        let flags = match kind {
            libc::S_IFREG => OFlags::RDWR,
            libc::S_IFDIR => OFlags::RDONLY | OFlags::DIRECTORY,
            _ => OFlags::PATH,
        };
        Ok(open_entry(self.node(parent)?.dir()?, name, flags, 0)?)
    }

    /// One more name for a file.
    pub fn link(&self, id: FileId, parent: FileId, name: &Name) -> io::Result<()> {
        let (node, dir) = (self.node(id)?, self.node(parent)?);
        rustix::fs::linkat(&*node, c"", dir.dir()?, name.as_c_str(), AtFlags::EMPTY_PATH)?;
        self.names_changed(parent);
        Ok(())
    }

    /// A symbolic link's target.
    pub fn read_link(&self, id: FileId) -> io::Result<Vec<u8>> {
        let node = self.node(id)?;
        Ok(rustix::fs::readlinkat(&*node, c"", Vec::new())?.into_bytes())
    }

    /// A new file gets the time of its directory's change, here and on the other copy: one stamp says both.
    pub(crate) fn stamp_new(&self, id: FileId, stamp: Stamp) -> io::Result<()> {
        set_times(&*self.node(id)?, Some(stamp), Some(stamp))
    }

    /// A directory's names changed at this time, here and on the other copy.
    pub(crate) fn restamp(&self, dir: FileId, stamp: Stamp) -> io::Result<()> {
        set_times(&*self.node(dir)?, None, Some(stamp))
    }

    /// When the names of a directory changed last.
    pub fn stamp(&self, dir: FileId) -> io::Result<Stamp> {
        Ok(mtime(&rustix::fs::fstat(&*self.node(dir)?)?))
    }
}

fn dir_bits(new: &New<'_>) -> u32 {
    if *new == New::Directory { 0o100 } else { 0 }
}

fn create(dir: BorrowedFd<'_>, name: &Name, new: &New<'_>, mode: u32) -> io::Result<OwnedFd> {
    let bits = Mode::from_raw_mode(mode);
    match new {
        New::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
            return Ok(open_entry(dir, name, flags, mode)?);
        }
        New::Directory => {
            rustix::fs::mkdirat(dir, name.as_c_str(), bits)?;
            return as_made(open_entry(dir, name, OFlags::RDONLY | OFlags::DIRECTORY, 0)?, new.kind());
        }
        New::Symlink(target) => rustix::fs::symlinkat(*target, dir, name.as_c_str())?,
        New::Special { kind, rdev } => {
            let kind = FileType::from_raw_mode(*kind);
            rustix::fs::mknodat(dir, name.as_c_str(), kind, bits, *rdev)?;
        }
    }
    as_made(open_entry(dir, name, OFlags::PATH, 0)?, new.kind())
}

/// Between making and opening somebody with rights below the mount can put another file there: it isn't ours to give an owner and a mode.
fn as_made(fd: OwnedFd, kind: u32) -> io::Result<OwnedFd> {
    let stat = rustix::fs::fstat(&fd)?;
    let same_kind = stat.st_mode & libc::S_IFMT == kind;
    let one_name = kind == libc::S_IFDIR || stat.st_nlink == 1;
    if same_kind && one_name && stat.st_uid == rustix::process::geteuid().as_raw() {
        return Ok(fd);
    }
    tracing::warn!("a new file was swapped for another while it was made: somebody works in the backing directory");
    Err(io::Error::from_raw_os_error(libc::ESTALE))
}

pub(super) fn no_memory(error: crate::table::TableError) -> io::Error {
    tracing::error!("{error}");
    io::Error::from_raw_os_error(libc::ENOMEM)
}
