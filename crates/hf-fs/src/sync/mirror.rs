//! The secondary's half: making directories like the primary's listings.
//!
//! A file is *fresh* when it was tied to one of the primary's ids in this synchronisation. Fresh files are in listed directories, or put
//! aside in `.hold/limbo/<id>`; nothing fresh is ever removed before the end. Everything else is the old copy: used where it is
//! of the right kind under the right name, removed where it isn't.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hf_wire::frame::{Body, Entries, Entry, Stamp};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags};

use super::meta;
use crate::backing::handle::Handle;
use crate::backing::{Backing, Change, Inherited, Name, New, Stat};
use crate::link::Directory;
use crate::pipeline::{Attrs, FileId, Op};

/// See the module.
pub struct Mirror {
    dirs: Vec<Side>,
}

struct Side {
    limbo: OwnedFd,
    fresh: HashSet<u64>,
    /// Names of the listing that is being received.
    names: HashSet<Vec<u8>>,
}

/// What is under a name here.
struct Local {
    stat: Stat,
    handle: Handle,
    fd: OwnedFd,
}

impl Local {
    fn kind(&self) -> u32 {
        self.stat.st_mode & libc::S_IFMT
    }
}

impl Mirror {
    /// Prepares the place for what is put aside; what an earlier synchronisation left there goes.
    pub fn begin(dirs: &[Directory]) -> io::Result<Mirror> {
        let side = |dir: &Directory| {
            let limbo = open_limbo(&dir.backing)?;
            empty(&dir.backing, limbo.as_fd())?;
            dir.backing.close_all();
            Ok(Side { limbo, fresh: HashSet::from([FileId::ROOT.0]), names: HashSet::new() })
        };
        Ok(Mirror { dirs: dirs.iter().map(side).collect::<io::Result<_>>()? })
    }

    /// Everything came: what is still aside has no name on the primary.
    pub fn end(&mut self, dirs: &[Directory]) -> io::Result<()> {
        for (side, dir) in self.dirs.iter().zip(dirs) {
            empty(&dir.backing, side.limbo.as_fd())?;
        }
        Ok(())
    }

    /// An ordinary name operation was applied: new files are fresh.
    pub fn applied(&mut self, dir: u16, op: &Op<'_>) {
        if let Op::Create { id, .. } | Op::Mkdir { id, .. } | Op::Symlink { id, .. } | Op::Mknod { id, .. } = op {
            self.dirs[usize::from(dir)].fresh.insert(id.0);
        }
    }

    /// One frame of the synchronisation.
    pub fn apply(&mut self, backing: &Backing, dir: u16, body: &Body<'_>) -> io::Result<()> {
        let side = &mut self.dirs[usize::from(dir)];
        match *body {
            Body::List { id, first, last, entries } => side.list(backing, FileId(id), first, last, entries),
            Body::Attach { parent, entry, stamp } => {
                side.place(backing, FileId(parent), &entry)?;
                restamp(backing, parent, stamp)
            }
            Body::Detach { parent, name, id, stamp } => {
                let name = Name::new(name)?;
                let local = look(backing, FileId(parent), &name)?.ok_or_else(|| errno(libc::ENOENT))?;
                if backing.table().find(&local.handle) != Some(FileId(id)) {
                    return Err(errno(libc::EXDEV));
                }
                side.evict(backing, FileId(parent), &name, &local)?;
                restamp(backing, parent, stamp)
            }
            Body::Meta { id, meta } => match meta::apply(backing, FileId(id), &meta) {
                // It lost its last name after the primary looked.
                Err(error) if error.raw_os_error() == Some(libc::ESTALE) && side.fresh.contains(&id) => Ok(()),
                other => other,
            },
            _ => Err(io::Error::other("not a frame of a synchronisation")),
        }
    }

    /// Does this file belong to the copy that is being made?
    pub fn is_fresh(&self, dir: u16, id: u64) -> bool {
        self.dirs[usize::from(dir)].fresh.contains(&id)
    }
}

impl Side {
    fn list(
        &mut self,
        backing: &Backing,
        dir: FileId,
        first: bool,
        last: bool,
        entries: Entries<'_>,
    ) -> io::Result<()> {
        if first {
            self.names.clear();
        }
        for entry in entries.iter() {
            self.place(backing, dir, &entry)?;
            self.names.insert(entry.name.to_vec());
        }
        if last {
            let names = std::mem::take(&mut self.names);
            for other in backing.list(dir)?.into_iter().filter(|other| !names.contains(&other.name)) {
                let name = Name::new(&other.name)?;
                if let Some(local) = look(backing, dir, &name)? {
                    self.evict(backing, dir, &name, &local)?;
                }
            }
        }
        Ok(())
    }

    /// Sees to it that this name is this file.
    fn place(&mut self, backing: &Backing, dir: FileId, entry: &Entry<'_>) -> io::Result<()> {
        let (name, id) = (Name::new(entry.name)?, FileId(entry.id));
        backing.make_way(dir, &name)?;
        let local = look(backing, dir, &name)?;
        let known = if self.is_fresh(backing, id) { backing.table().get(id) } else { None };
        match (local, known) {
            (Some(local), Some(known)) if known.handle == local.handle => Ok(()),
            (local, Some(known)) => {
                if let Some(local) = local {
                    self.evict(backing, dir, &name, &local)?;
                }
                self.bring(backing, dir, &name, id, known.kind)
            }
            (Some(local), None) if self.fits(backing, &local, entry)? => self.claim(backing, &local, id),
            (local, None) => {
                if let Some(local) = local {
                    self.evict(backing, dir, &name, &local)?;
                }
                self.create(backing, dir, &name, entry)
            }
        }
    }

    fn is_fresh(&self, backing: &Backing, id: FileId) -> bool {
        self.fresh.contains(&id.0) && backing.table().get(id).is_some()
    }

    /// Can what is here become this file? Not when it is another file of the primary already.
    fn fits(&self, backing: &Backing, local: &Local, entry: &Entry<'_>) -> io::Result<bool> {
        let taken = backing.table().find(&local.handle).is_some_and(|id| self.fresh.contains(&id.0));
        if taken || local.kind() != entry.kind {
            return Ok(false);
        }
        Ok(match entry.kind {
            libc::S_IFLNK => rustix::fs::readlinkat(&local.fd, c"", Vec::new())?.as_bytes() == entry.target,
            libc::S_IFBLK | libc::S_IFCHR => local.stat.st_rdev == entry.rdev,
            _ => true,
        })
    }

    fn claim(&mut self, backing: &Backing, local: &Local, id: FileId) -> io::Result<()> {
        if let Some(old) = backing.table().find(&local.handle) {
            backing.close(old);
        }
        backing.close(id);
        backing.table().bind(id, &local.handle, local.kind()).map_err(io::Error::other)?;
        self.fresh.insert(id.0);
        Ok(())
    }

    fn create(&mut self, backing: &Backing, dir: FileId, name: &Name, entry: &Entry<'_>) -> io::Result<()> {
        let new = match entry.kind {
            libc::S_IFREG => New::File,
            libc::S_IFDIR => New::Directory,
            libc::S_IFLNK => New::Symlink(entry.target),
            kind => New::Special { kind, rdev: entry.rdev },
        };
        // Nobody's until its attributes come.
        let closed = Inherited { attrs: Attrs { mode: 0o600, uid: 0, gid: 0 }, acl: false };
        let id = FileId(entry.id);
        backing.close(id);
        backing.make(dir, name, id, &new, &closed)?;
        self.fresh.insert(id.0);
        Ok(())
    }

    /// Gives a fresh file this name: directories move, others get one more name (and lose the one aside).
    fn bring(&mut self, backing: &Backing, dir: FileId, name: &Name, id: FileId, kind: u32) -> io::Result<()> {
        let aside = aside_name(id.0);
        if kind != libc::S_IFDIR {
            backing.link(id, dir, name)?;
            return match rustix::fs::unlinkat(&self.limbo, &aside, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        let to = backing.node(dir)?;
        let moved = rustix::fs::renameat_with(&self.limbo, &aside, &*to, name.as_c_str(), RenameFlags::NOREPLACE);
        if moved != Err(rustix::io::Errno::NOENT) {
            return Ok(moved?);
        }
        let (parent, old) = whereabouts(backing, id)?;
        let from = backing.path_below(parent.as_fd(), &old)?;
        rustix::fs::renameat_with(parent, old.as_c_str(), &*to, name.as_c_str(), RenameFlags::NOREPLACE)?;
        from.map_or(Ok(()), |from| backing.rescue_moved(dir, name, &from))
    }

    /// Takes a name away: what is fresh is put aside, what is old goes.
    fn evict(&mut self, backing: &Backing, dir: FileId, name: &Name, local: &Local) -> io::Result<()> {
        let parent = backing.node(dir)?;
        if local.kind() == libc::S_IFDIR {
            backing.rescue_below(dir, name)?;
        }
        let fresh = backing.table().find(&local.handle).filter(|id| self.fresh.contains(&id.0));
        let Some(id) = fresh else {
            return remove(backing, parent.as_fd(), name.as_c_str());
        };
        let aside = aside_name(id.0);
        match rustix::fs::renameat_with(&*parent, name.as_c_str(), &self.limbo, &aside, RenameFlags::NOREPLACE) {
            // Aside already, under another of its names.
            Err(rustix::io::Errno::EXIST) => Ok(rustix::fs::unlinkat(&*parent, name.as_c_str(), AtFlags::empty())?),
            other => Ok(other?),
        }
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn restamp(backing: &Backing, dir: u64, stamp: Stamp) -> io::Result<()> {
    let mtime = Some(crate::pipeline::Stamp { sec: stamp.sec, nsec: stamp.nsec });
    backing.set_attr(FileId(dir), &Change { mtime, ..Change::default() })
}

fn aside_name(id: u64) -> CString {
    CString::new(format!("{id:x}")).expect("digits hold no NUL")
}

fn open_limbo(backing: &Backing) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(backing.hold(), c"../limbo", Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(backing.hold(), c"../limbo", flags, Mode::empty())?)
}

fn open_path(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is under a name; no id is given.
fn look(backing: &Backing, dir: FileId, name: &Name) -> io::Result<Option<Local>> {
    let dir = backing.node(dir)?;
    let Some(fd) = open_path(dir.as_fd(), name.as_c_str())? else { return Ok(None) };
    Ok(Some(Local { stat: rustix::fs::fstat(&fd)?, handle: Handle::of(fd.as_fd())?, fd }))
}

/// Removes a name with everything below it, and forgets the ids.
fn remove(backing: &Backing, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let Some(fd) = open_path(dir, name)? else { return Ok(()) };
    let stat = rustix::fs::fstat(&fd)?;
    let is_dir = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    if is_dir {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        empty(backing, inside.as_fd())?;
    }
    let last = is_dir || stat.st_nlink == 1;
    if last && let Some(id) = backing.table().find(&Handle::of(fd.as_fd())?) {
        backing.close(id);
        backing.table().forget(id);
    }
    let flags = if is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(rustix::fs::unlinkat(dir, name, flags)?)
}

fn empty(backing: &Backing, dir: BorrowedFd<'_>) -> io::Result<()> {
    names(dir)?.iter().try_for_each(|name| remove(backing, dir, name))
}

fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let fd = rustix::fs::openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found.push(entry.file_name().to_owned());
        }
    }
    Ok(found)
}

/// Where a directory is now: its parent, and its name there.
fn whereabouts(backing: &Backing, id: FileId) -> io::Result<(OwnedFd, CString)> {
    let node = backing.node(id)?;
    let parent =
        rustix::fs::openat(&*node, c"..", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let handle = Handle::of(node.as_fd())?;
    for name in names(parent.as_fd())? {
        if matches!(Handle::of_entry(parent.as_fd(), &name), Ok(other) if other == handle) {
            return Ok((parent, name));
        }
    }
    Err(errno(libc::ENOENT))
}
