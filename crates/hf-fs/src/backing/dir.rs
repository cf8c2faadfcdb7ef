//! Listing directories.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

use super::Backing;
use crate::pipeline::FileId;

/// One entry as the file system lists it, `.` and `..` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// One component.
    pub name: Vec<u8>,
    /// Where the next entry is: the file system's own cookie, valid also after a restart of ours.
    pub next: u64,
    /// The `S_IFMT` part of its mode, 0 when the listing doesn't say.
    pub kind: u32,
}

/// A listing in progress, on a descriptor of its own.
pub struct ReadDir {
    fd: OwnedFd,
    buffer: Vec<MaybeUninit<u8>>,
}

impl Backing {
    /// Starts listing at a cookie, 0 for the beginning.
    pub fn read_dir(&self, id: FileId, cookie: u64) -> io::Result<ReadDir> {
        let node = self.node(id)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOATIME;
        let fd = rustix::fs::openat(node.dir()?, c".", flags, Mode::empty())?;
        if cookie != 0 {
            rustix::fs::seek(&fd, SeekFrom::Start(cookie))?;
        }
        Ok(ReadDir { fd, buffer: vec![MaybeUninit::uninit(); 32 * 1024] })
    }

    /// All entries that are replicated, without `.` and `..`.
    pub fn list(&self, id: FileId) -> io::Result<Vec<DirEntry>> {
        let all = self.list_all(id)?;
        if self.is_own(id) {
            return Ok(Vec::new());
        }
        let dir = self.node(id)?;
        let Some(path) = self.path_within(&dir)? else { return Ok(all) };
        let mut replicated = Vec::with_capacity(all.len());
        for entry in all {
            if !self.is_entry_own(&dir, &path, &entry.name, entry.kind)? {
                replicated.push(entry);
            }
        }
        Ok(replicated)
    }

    /// All entries but `.` and `..`, also those that are left out of the replication.
    pub fn list_all(&self, id: FileId) -> io::Result<Vec<DirEntry>> {
        let mut all = Vec::new();
        self.read_dir(id, 0)?.for_each(|entry| {
            if entry.name != b"." && entry.name != b".." {
                all.push(entry);
            }
            true
        })?;
        Ok(all)
    }
}

impl ReadDir {
    /// Calls `take` for each entry until it says false or there are no more.
    pub fn for_each(mut self, mut take: impl FnMut(DirEntry) -> bool) -> io::Result<()> {
        let mut entries = RawDir::new(&self.fd, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let kind = entry.file_type().as_raw_mode() & libc::S_IFMT;
            let more =
                take(DirEntry { name: entry.file_name().to_bytes().to_vec(), next: entry.next_entry_cookie(), kind });
            if !more {
                break;
            }
        }
        Ok(())
    }
}
