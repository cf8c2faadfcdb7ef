//! Content of regular files.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::{Backing, Node};
use crate::pipeline::FileId;

impl Backing {
    /// Reads up to `buffer`'s length; fewer bytes only at the end of the file.
    pub fn read(&self, id: FileId, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let node = self.node(id)?;
        let file = node.file()?;
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// Writes all of `data` or says how many bytes were written before the error (`Ok` with fewer bytes: full disk, limit).
    pub fn write(&self, id: FileId, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.write_node(&*self.node(id)?, offset, data)
    }

    /// The same with the node at hand.
    pub fn write_node(&self, node: &Node, offset: u64, data: &[u8]) -> io::Result<usize> {
        let file = node.file()?;
        node.unsynced.store(true, Ordering::Relaxed);
        let _call = self.calls.begin();
        let done = write_all(file, offset, data);
        self.unsynced.content(node.id());
        done
    }

    /// Sets the size.
    pub fn truncate(&self, id: FileId, size: u64) -> io::Result<()> {
        let node = self.node(id)?;
        node.unsynced.store(true, Ordering::Relaxed);
        let done = rustix::fs::ftruncate(node.file()?, size);
        self.unsynced.content(id);
        Ok(done?)
    }

    /// `fallocate` with the kernel's mode bits.
    pub fn allocate(&self, id: FileId, mode: i32, offset: u64, len: u64) -> io::Result<()> {
        let node = self.node(id)?;
        node.unsynced.store(true, Ordering::Relaxed);
        let mode = FallocateFlags::from_bits_retain(mode as u32);
        let done = rustix::fs::fallocate(node.file()?, mode, offset, len);
        self.unsynced.content(id);
        Ok(done?)
    }

    /// The next data at or after `offset` (`SEEK_DATA`), ENXIO at the end. The descriptor's position is of no use to anybody, so sharing it is fine.
    pub fn seek_data(&self, id: FileId, offset: u64) -> io::Result<u64> {
        Ok(rustix::fs::seek(self.node(id)?.file()?, SeekFrom::Data(offset))?)
    }

    /// The next hole at or after `offset` (`SEEK_HOLE`).
    pub fn seek_hole(&self, id: FileId, offset: u64) -> io::Result<u64> {
        Ok(rustix::fs::seek(self.node(id)?.file()?, SeekFrom::Hole(offset))?)
    }
}

fn write_all(file: BorrowedFd<'_>, offset: u64, data: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < data.len() {
        match rustix::io::pwrite(file, &data[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            // A damaged disk is never hidden behind the bytes before it.
            Err(error @ Errno::IO) => return Err(error.into()),
            Err(error) if done == 0 => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}
