//! Making things durable.
//!
//! A barrier promises that all name operations before it are durable, too (P1), and `fdatasync` of a file that was only
//! overwritten commits none on ext4. So directories that changed are remembered and synced before a barrier returns; on a
//! journalling file system the first of them commits them all.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::unsynced::Taken;
use super::{Backing, Node};
use crate::pipeline::FileId;

/// When more files than this have unsynced changes, one `syncfs` is cheaper than a journal commit for each.
const SINGLY: usize = 32;

pub(super) struct Names {
    /// Counts name operations.
    changed: AtomicU64,
    /// All name operations up to this count are durable.
    durable: AtomicU64,
    dirty: Mutex<HashSet<FileId>>,
    /// Held while syncing: who comes meanwhile waits for the result.
    syncing: Mutex<Pending>,
}

/// What an earlier process of ours left, or a sync that failed: nothing is known, so everything is synced.
struct Pending {
    everything: bool,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            changed: AtomicU64::new(1),
            durable: AtomicU64::new(0),
            dirty: Mutex::default(),
            syncing: Mutex::new(Pending { everything: true }),
        }
    }
}

impl Backing {
    /// A name in this directory changed.
    pub(super) fn names_changed(&self, dir: FileId) {
        let mut dirty = self.names.dirty.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        dirty.insert(dir);
        self.names.changed.fetch_add(1, Ordering::Release);
        drop(dirty);
        self.unsynced.attributes(dir);
    }

    fn names_are_durable(&self) -> bool {
        self.names.durable.load(Ordering::Acquire) >= self.names.changed.load(Ordering::Acquire)
    }

    /// Makes all name operations so far durable. Cheap when there were none.
    pub fn sync_names(&self) -> io::Result<()> {
        let wanted = self.names.changed.load(Ordering::Acquire);
        if self.names.durable.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let mut pending = self.names.syncing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if self.names.durable.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let (upto, dirs) = {
            let mut dirty = self.names.dirty.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            (self.names.changed.load(Ordering::Acquire), std::mem::take(&mut *dirty))
        };
        let everything = std::mem::replace(&mut pending.everything, true);
        if everything {
            self.sync_all()?;
        } else {
            dirs.into_iter().try_for_each(|dir| self.sync_dir(dir))?;
        }
        pending.everything = false;
        self.names.durable.store(upto, Ordering::Release);
        Ok(())
    }

    /// Makes a file durable (`data_only`: as `fdatasync`), and all name operations so far. Cheap when nothing of it changed: a database that
    /// recovers syncs every file it has, and after a takeover all of them are on the disk.
    pub fn sync(&self, id: FileId, data_only: bool) -> io::Result<()> {
        let node = self.node(id)?;
        if self.names_are_durable() && self.unsynced.is_durable(id) {
            return Ok(());
        }
        self.sync_node(&node, data_only)?;
        self.sync_names()
    }

    /// Makes everything on the backing file system durable.
    pub fn sync_all(&self) -> io::Result<()> {
        let running = self.unsynced.begin();
        self.unsynced.take();
        let _call = self.calls.begin();
        running.end(rustix::fs::syncfs(&self.root).map_err(io::Error::from))
    }

    /// Makes durable what no barrier covered since it was changed. Cheap when there is nothing; no lock is held while the disk works.
    /// After an error the rest is synced all the same, and nothing of it is tried again by the next call.
    pub fn sync_changed(&self) -> io::Result<()> {
        let running = self.unsynced.begin();
        let mut done = Ok(());
        let whole = match self.unsynced.take() {
            Taken::Files(files) if files.len() <= SINGLY => {
                let mut whole = false;
                for (id, data_only) in files {
                    match self.sync_changed_file(FileId(id), data_only) {
                        Ok(known) => whole |= !known,
                        error => done = done.and(error.map(drop)),
                    }
                }
                whole
            }
            Taken::Files(_) | Taken::Everything => true,
        };
        running.end(if whole { done.and(self.sync_all()) } else { done })
    }

    /// False when only `syncfs` can do it.
    fn sync_changed_file(&self, id: FileId, data_only: bool) -> io::Result<bool> {
        if self.is_held(id) {
            // Nobody finds it after a power cut.
            return Ok(true);
        }
        match self.node(id) {
            Ok(node) if node.is_path_only() => Ok(false),
            Ok(node) => self.sync_node(&node, data_only).map(|()| true),
            // ESTALE: it is gone. Others: it can't be opened now.
            Err(error) => Ok(error.raw_os_error() == Some(libc::ESTALE)),
        }
    }

    fn sync_node(&self, node: &Node, data_only: bool) -> io::Result<()> {
        if node.is_path_only() {
            return Ok(());
        }
        let running = self.unsynced.begin();
        self.unsynced.clear(node.id(), data_only);
        let unsynced = node.unsynced.swap(false, Ordering::Relaxed);
        let _call = self.calls.begin();
        let done = if data_only { rustix::fs::fdatasync(node) } else { rustix::fs::fsync(node) };
        if done.is_err() && unsynced {
            node.unsynced.store(true, Ordering::Relaxed);
        }
        running.end(done.map_err(io::Error::from))
    }

    fn sync_dir(&self, dir: FileId) -> io::Result<()> {
        match self.node(dir) {
            Ok(node) => self.sync_node(&node, false),
            // A directory that was removed since: its parent is dirty, too, and commits both.
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
