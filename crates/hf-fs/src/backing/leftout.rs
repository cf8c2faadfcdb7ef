//! What the configuration leaves out of the replication (`<notreplicated>`): it lies among the rest, and is this node's own.
//!
//! A file is *own* when its path is left out. The table of ids remembers that ([`OWN`]), so that reading and writing ask for no path; names are asked
//! for each time, because a path changes when a directory above it moves. Where nothing is left out, nothing of this costs anything.
//!
//! On the secondary, the primary's operations and a synchronisation never touch what is own. Where it is in the way, or would lose its directory, it is
//! set aside in `.hold/leftout/<number>`, and the log says so.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use hf_config::Exclusions;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::attr::{magic_path, mtime, set_times};
use super::{Backing, INSIDE, Name, Node, Stat};
use crate::pipeline::FileId;
use crate::table::{HELD, OWN, SAME};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Longer than any path that a directory tree of sane depth has.
const DEEPEST: usize = 4096;

impl Backing {
    /// The same directory with something left out of it. Say it before anybody uses it.
    #[must_use]
    pub fn leaving_out(mut self, left_out: Exclusions) -> Backing {
        // Each file system has these for itself.
        self.left_out = if self.whole { left_out.and_paths(&[INSIDE, "lost+found"]) } else { left_out };
        self
    }

    /// Is this entry ours alone, so that nobody sees it in a listing?
    pub fn is_hidden(&self, dir: FileId, name: &[u8]) -> bool {
        self.whole && dir == FileId::ROOT && name == INSIDE.as_bytes()
    }

    /// Is a path below the directory (no slash at either end) left out?
    pub fn leaves_out(&self, path: &str, is_dir: bool) -> bool {
        !self.left_out.is_empty() && self.left_out.leaves_out(path, is_dir)
    }

    /// Is this file left out, or has it no name any more? Then nothing of it is told to the other copy.
    pub fn is_only_here(&self, id: FileId) -> bool {
        self.table.flags(id) & (HELD | OWN) != 0
    }

    /// Is this file left out?
    pub fn is_own(&self, id: FileId) -> bool {
        self.table.flags(id) & OWN != 0
    }

    /// It is from now on, or isn't any more. Of what is own nobody notes changes: whatever was known of its content is forgotten.
    pub(crate) fn set_own(&self, id: FileId, own: bool) {
        self.table.clear_flags(id, SAME);
        if own {
            self.table.set_flags(id, OWN)
        } else {
            self.table.clear_flags(id, OWN)
        };
    }

    /// Would a file of this kind be left out under this name?
    pub fn is_name_own(&self, parent: FileId, name: &Name, is_dir: bool) -> io::Result<bool> {
        if self.left_out.is_empty() {
            return Ok(false);
        }
        self.is_own_in(&*self.node(parent)?, name.as_c_str(), is_dir)
    }

    fn is_own_in(&self, parent: &Node, name: &CStr, is_dir: bool) -> io::Result<bool> {
        if self.is_own(parent.id()) {
            return Ok(true);
        }
        let path = self.path_within(parent)?;
        Ok(path.is_some_and(|path| self.left_out.leaves_out(&below(&path, name), is_dir)))
    }

    /// A file was found under this name: notes whose it is. `known`: it had an id before. A file that has another name, under which it is replicated,
    /// stays so.
    pub(super) fn note_side(
        &self,
        parent: &Node,
        name: &Name,
        (id, known): (FileId, bool),
        stat: &Stat,
    ) -> io::Result<()> {
        if self.left_out.is_empty() {
            return Ok(());
        }
        let is_dir = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let own = self.is_own_in(parent, name.as_c_str(), is_dir)?;
        let was = self.is_own(id);
        if own != was && !(own && known && !is_dir && stat.st_nlink > 1) {
            self.set_own(id, own);
        }
        Ok(())
    }

    /// Is this entry of a directory left out? `path` is the directory's.
    pub(super) fn is_entry_own(&self, dir: &Node, path: &str, name: &[u8], kind: u32) -> io::Result<bool> {
        let name = CString::new(name).map_err(|_| errno(libc::EINVAL))?;
        let is_dir = match kind {
            0 => is_directory(dir.as_fd(), &name)?,
            kind => kind == libc::S_IFDIR,
        };
        Ok(self.left_out.leaves_out(&below(path, &name), is_dir))
    }

    /// Where a directory is, if something directly in it may be left out.
    pub(super) fn path_within(&self, dir: &Node) -> io::Result<Option<String>> {
        if dir.id() == FileId::ROOT && !self.left_out.is_empty() {
            return Ok(Some(String::new()));
        }
        if self.left_out.is_shallow() { Ok(None) } else { self.path_of(dir.as_fd()) }
    }

    /// Where a directory is, relative to the root; `None` for one that isn't below it (removed, or aside). Bytes that aren't UTF-8 become U+FFFD.
    pub(super) fn path_of(&self, dir: BorrowedFd<'_>) -> io::Result<Option<String>> {
        let root = rustix::fs::readlink(magic_path(&self.root).as_c_str(), Vec::new())?;
        let path = match rustix::fs::readlink(magic_path(&dir).as_c_str(), Vec::new()) {
            // Deeper than the kernel can say in one go.
            Err(Errno::NAMETOOLONG) => return self.climb(dir),
            other => other?,
        };
        let inside = path.as_bytes().strip_prefix(root.as_bytes());
        match inside.and_then(|rest| if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }) {
            Some(rest) => Ok(Some(String::from_utf8_lossy(rest).into_owned())),
            None => Ok(None),
        }
    }

    fn climb(&self, dir: BorrowedFd<'_>) -> io::Result<Option<String>> {
        let root = identity(self.root.as_fd())?;
        let mut parts = Vec::new();
        let mut here = dir.try_clone_to_owned()?;
        while identity(here.as_fd())? != root {
            if parts.len() > DEEPEST {
                return Ok(None);
            }
            let above = rustix::fs::openat(&here, c"..", DIR, Mode::empty())?;
            let own = identity(here.as_fd())?;
            let is_this = |name: &CString| {
                rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == own)
            };
            let Some(name) = entry_names(above.as_fd())?.into_iter().find(is_this) else { return Ok(None) };
            parts.push(name.to_string_lossy().into_owned());
            here = above;
        }
        parts.reverse();
        Ok(Some(parts.join("/")))
    }

    /// Does anything below this directory come to be left out, or cease to be, when it moves from one path to another?
    pub(crate) fn changes_side(&self, dir: FileId, from: &str, to: &str) -> io::Result<bool> {
        if !self.left_out.may_differ(from, to) {
            return Ok(false);
        }
        let inside = open_dir(self.node(dir)?.as_fd(), c".")?;
        self.any_changes(inside.as_fd(), from, to)
    }

    fn any_changes(&self, dir: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<bool> {
        for name in entry_names(dir)? {
            let is_dir = is_directory(dir, &name)?;
            let (old, new) = (below(from, &name), below(to, &name));
            let (was, is) = (self.leaves_out(&old, is_dir), self.leaves_out(&new, is_dir));
            if was != is || (is_dir && !is && self.any_changes(open_dir(dir, &name)?.as_fd(), &old, &new)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The path of an entry; `None` where nothing is left out, or the directory isn't below the root.
    pub(crate) fn path_at(&self, parent: FileId, name: &CStr) -> io::Result<Option<String>> {
        if self.left_out.is_empty() { Ok(None) } else { self.path_below(self.node(parent)?.as_fd(), name) }
    }

    /// The same with the directory at hand.
    pub(crate) fn path_below(&self, parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<String>> {
        if self.left_out.is_empty() {
            return Ok(None);
        }
        Ok(self.path_of(parent)?.map(|path| below(&path, name)))
    }

    /// The secondary is about to give this name to a file of the primary's: what is own under it goes aside.
    pub(crate) fn make_way(&self, parent: FileId, name: &Name) -> io::Result<()> {
        let Some(path) = self.path_at(parent, name.as_c_str())? else { return Ok(()) };
        let dir = self.node(parent)?;
        match is_directory(dir.as_fd(), name.as_c_str()) {
            Ok(is_dir) if self.leaves_out(&path, is_dir) => self.set_aside(dir.as_fd(), name.as_c_str(), &path),
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    /// The secondary is about to lose this directory: what is own in it goes aside.
    pub(crate) fn rescue_below(&self, parent: FileId, name: &Name) -> io::Result<()> {
        let Some(path) = self.path_at(parent, name.as_c_str())? else { return Ok(()) };
        let dir = open_dir(self.node(parent)?.as_fd(), name.as_c_str())?;
        self.rescue(dir.as_fd(), &path, &path, true)
    }

    /// The secondary moved this directory: what was own in it and isn't at its new place goes aside.
    pub(crate) fn rescue_moved(&self, parent: FileId, name: &Name, from: &str) -> io::Result<()> {
        let Some(to) = self.path_at(parent, name.as_c_str())? else { return Ok(()) };
        if !self.left_out.may_differ(from, &to) {
            return Ok(());
        }
        let dir = open_dir(self.node(parent)?.as_fd(), name.as_c_str())?;
        self.rescue(dir.as_fd(), from, &to, false)
    }

    fn rescue(&self, dir: BorrowedFd<'_>, from: &str, to: &str, all: bool) -> io::Result<()> {
        for name in entry_names(dir)? {
            let is_dir = is_directory(dir, &name)?;
            let (old, new) = (below(from, &name), below(to, &name));
            if self.leaves_out(&old, is_dir) {
                if all || !self.leaves_out(&new, is_dir) {
                    self.set_aside(dir, &name, &old)?;
                }
            } else if is_dir {
                self.rescue(open_dir(dir, &name)?.as_fd(), &old, &new, all)?;
            }
        }
        Ok(())
    }

    fn set_aside(&self, dir: BorrowedFd<'_>, name: &CStr, path: &str) -> io::Result<()> {
        let aside = self.new_place_aside()?;
        let before = rustix::fs::fstat(dir)?;
        rustix::fs::renameat_with(dir, name, &aside, name, RenameFlags::NOREPLACE)?;
        // No replicated name changed.
        set_times(&dir, None, Some(mtime(&before)))?;
        let place = rustix::fs::readlink(magic_path(&aside).as_c_str(), Vec::new())?;
        tracing::warn!(
            "{path} isn't replicated, and on the primary there is something else in its place or its directory went away: it is in {} now",
            place.to_string_lossy()
        );
        Ok(())
    }

    fn new_place_aside(&self) -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(&self.hold, c"../leftout", Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let home = open_dir(self.hold.as_fd(), c"../leftout")?;
        for number in 1u32.. {
            let name = CString::new(number.to_string()).expect("digits hold no NUL");
            match rustix::fs::mkdirat(&home, &name, Mode::RWXU) {
                Ok(()) => return open_dir(home.as_fd(), &name),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(errno(libc::EMLINK))
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn below(path: &str, name: &CStr) -> String {
    let name = name.to_string_lossy();
    if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") }
}

fn identity(dir: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn is_directory(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(parent, name, DIR, Mode::empty())?)
}

/// The names in a directory, without `.` and `..`.
pub(crate) fn entry_names(dir: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found.push(entry.file_name().to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
