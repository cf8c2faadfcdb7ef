//! Listing directories.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use fuser::{FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use super::Front;
use super::answer::Answer;
use super::attr::file_type;
use crate::backing::{DirEntry, Found, Name};
use crate::pipeline::FileId;

impl Front {
    pub(super) fn readdir(&self, id: FileId, cookie: u64, mut reply: ReplyDirectory) {
        let listed = self.each_entry(id, cookie, |entry| {
            let kind = if entry.kind == 0 { FileType::RegularFile } else { file_type(entry.kind) };
            let ino = self.ino_of(id, entry);
            let full = reply.add(INodeNo(ino), entry.next, kind, OsStr::from_bytes(&entry.name));
            Ok(!full)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.fail(errno),
        }
    }

    pub(super) fn readdirplus(&self, id: FileId, cookie: u64, mut reply: ReplyDirectoryPlus) {
        let listed = self.each_entry(id, cookie, |entry| {
            // The kernel takes no attributes of these two.
            let is_dot = is_dot(&entry.name);
            let found = if is_dot { self.stat_dot(id) } else { self.stat_entry(id, &entry.name) };
            let Ok(found) = found else { return Ok(true) };
            if !is_dot {
                self.backing.table().looked_up(found.id);
            }
            let attr = self.file_attr(found.id, &found.stat);
            let name = OsStr::from_bytes(&entry.name);
            let ino = INodeNo(found.id.0);
            let full = reply.add(ino, entry.next, name, &self.ttl(), &attr, Generation(0));
            if full && !is_dot {
                self.backing.table().forgotten(found.id, 1);
            }
            Ok(!full)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.fail(errno),
        }
    }

    /// A directory that was removed has no entries; anything else that fails is told.
    fn each_entry(
        &self,
        id: FileId,
        cookie: u64,
        mut take: impl FnMut(&DirEntry) -> io::Result<bool>,
    ) -> Result<(), i32> {
        let mut failed = None;
        let listed = self.backing.read_dir(id, cookie).and_then(|listing| {
            listing.for_each(|entry| {
                let taken = if self.backing.is_hidden(id, &entry.name) { Ok(true) } else { take(&entry) };
                taken.unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            })
        });
        match listed.err().or(failed) {
            None => Ok(()),
            Some(_) if self.backing.is_held(id) => Ok(()),
            Some(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// The inode number that `stat` would give, so that tools that compare them work.
    fn ino_of(&self, dir: FileId, entry: &DirEntry) -> u64 {
        let found = match entry.name.as_slice() {
            b"." => return dir.0,
            b".." => self.stat_dot(dir),
            name => self.stat_entry(dir, name),
        };
        found.map_or(u64::MAX, |found| found.id.0)
    }

    fn stat_entry(&self, dir: FileId, name: &[u8]) -> io::Result<Found> {
        self.backing.lookup(dir, &Name::new(name)?)
    }

    fn stat_dot(&self, dir: FileId) -> io::Result<Found> {
        Ok(Found { id: dir, stat: self.backing.stat(dir)? })
    }
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}
