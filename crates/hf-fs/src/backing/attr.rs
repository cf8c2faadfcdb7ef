//! Attributes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{AtFlags, Mode, Timestamps};

use super::{Backing, Node};
use crate::pipeline::{FileId, Stamp};

/// As `fstat` gives it.
pub type Stat = rustix::fs::Stat;

/// What is to change; `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Owner and group.
    pub owner: Option<(u32, u32)>,
    /// Twelve permission bits.
    pub mode: Option<u32>,
    /// Time of last access.
    pub atime: Option<Stamp>,
    /// Time of last modification.
    pub mtime: Option<Stamp>,
}

impl Backing {
    /// The attributes as the file system has them (inode number and link count of an unlinked file aren't corrected).
    pub fn stat(&self, id: FileId) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.node(id)?.as_ref())?)
    }

    /// The time of the last modification.
    pub fn mtime(&self, id: FileId) -> io::Result<Stamp> {
        self.stat(id).map(|stat| mtime(&stat))
    }

    /// Applies the change in the order owner, mode, times: a change of owner clears set-id bits, which mode sets again.
    pub fn set_attr(&self, id: FileId, change: &Change) -> io::Result<()> {
        let node = self.node(id)?;
        let done = apply(&node, change);
        self.unsynced.attributes(id);
        done
    }
}

fn apply(node: &Node, change: &Change) -> io::Result<()> {
    if let Some((uid, gid)) = change.owner {
        chown(node, uid, gid)?;
    }
    if let Some(mode) = change.mode {
        chmod(node, mode)?;
    }
    if change.atime.is_some() || change.mtime.is_some() {
        set_times(node, change.atime, change.mtime)?;
    }
    Ok(())
}

/// The time of the last modification in attributes.
pub fn mtime(stat: &Stat) -> Stamp {
    Stamp { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as u32 }
}

pub(super) fn chown(node: &impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    let uid = Some(rustix::process::Uid::from_raw(uid));
    let gid = Some(rustix::process::Gid::from_raw(gid));
    Ok(rustix::fs::chownat(node, c"", uid, gid, AtFlags::EMPTY_PATH)?)
}

pub(super) fn chmod(node: &Node, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    if node.kind() == libc::S_IFLNK {
        return Ok(());
    }
    if node.is_path_only() {
        return Ok(rustix::fs::chmod(magic_path(node).as_c_str(), mode)?);
    }
    Ok(rustix::fs::fchmod(node, mode)?)
}

pub(super) fn set_times(node: &impl AsFd, atime: Option<Stamp>, mtime: Option<Stamp>) -> io::Result<()> {
    let omit = rustix::fs::Timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let spec = |stamp: Option<Stamp>| {
        stamp.map_or(omit, |s| rustix::fs::Timespec { tv_sec: s.sec, tv_nsec: i64::from(s.nsec) })
    };
    let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
    Ok(rustix::fs::utimensat(node, c"", &times, AtFlags::EMPTY_PATH)?)
}

/// A path to an open descriptor, for calls that take no `O_PATH` descriptor. The kernel resolves it to the very inode, also when that is a symbolic link.
pub(super) fn magic_path(fd: &impl AsFd) -> CString {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    CString::new(path).expect("digits hold no NUL")
}
