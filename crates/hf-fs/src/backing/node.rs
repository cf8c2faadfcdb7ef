//! Open descriptors, a bounded number of them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::pipeline::FileId;
use crate::table::Known;

const SHARDS: usize = 16;
/// Descriptors for everything else in the process.
const RESERVE: u64 = 512;
/// The kernel's default for the most that a process may have.
const WANTED: u64 = 1 << 20;
/// One directory keeps at most so many open, and a sixteenth of what is allowed: a module may have several.
const OPEN_MAX: u64 = 32_768;

/// An open file. Regular files and directories are really open, everything else by `O_PATH` (opening a FIFO or a device
/// would act on it).
pub struct Node {
    id: FileId,
    kind: u32,
    fd: OwnedFd,
    /// Written since the last sync: closing it might lose a write error that nobody has seen.
    pub(super) unsynced: AtomicBool,
    /// The last operation in the stream that was about this file, for close.
    pub last_seq: AtomicU64,
    used: AtomicBool,
}

impl Node {
    pub(super) fn new(id: FileId, fd: OwnedFd, kind: u32) -> Node {
        Node {
            id,
            kind,
            fd,
            unsynced: AtomicBool::new(false),
            last_seq: AtomicU64::new(0),
            used: AtomicBool::new(true),
        }
    }

    /// Its id.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The `S_IFMT` part of its mode.
    pub fn kind(&self) -> u32 {
        self.kind
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.kind == libc::S_IFDIR
    }

    /// Is it a regular file?
    pub fn is_file(&self) -> bool {
        self.kind == libc::S_IFREG
    }

    /// Can the descriptor only name the file, not read it?
    pub(super) fn is_path_only(&self) -> bool {
        !self.is_dir() && !self.is_file()
    }

    /// The regular file itself, or the error that fits.
    pub(super) fn file(&self) -> io::Result<BorrowedFd<'_>> {
        match self.kind {
            libc::S_IFREG => Ok(self.fd.as_fd()),
            libc::S_IFDIR => Err(io::Error::from_raw_os_error(libc::EISDIR)),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    /// The directory itself, or ENOTDIR.
    pub(super) fn dir(&self) -> io::Result<BorrowedFd<'_>> {
        if self.is_dir() { Ok(self.fd.as_fd()) } else { Err(io::Error::from_raw_os_error(libc::ENOTDIR)) }
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens by handle. Never with the application's flags: `O_APPEND` would move writes, `O_DIRECT` would need alignment, `O_SYNC`
/// would sync twice, and write-only files are read, too (partial pages).
pub(super) fn open(mount: BorrowedFd<'_>, known: &Known) -> io::Result<OwnedFd> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOATIME;
    match known.kind {
        libc::S_IFREG => match known.handle.open(mount, flags | libc::O_RDWR) {
            // An immutable file, or a file system that went read-only: reading goes on.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EROFS | libc::EACCES)) => {
                known.handle.open(mount, flags | libc::O_RDONLY)
            }
            other => other,
        },
        libc::S_IFDIR => known.handle.open(mount, flags | libc::O_RDONLY | libc::O_DIRECTORY),
        _ => known.handle.open(mount, libc::O_NOFOLLOW | libc::O_PATH),
    }
}

/// Least recently used descriptors are closed first (clock algorithm, in shards).
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
    room: usize,
}

#[derive(Default)]
struct Shard {
    nodes: HashMap<FileId, Arc<Node>>,
    clock: Vec<FileId>,
    hand: usize,
}

impl Cache {
    pub(super) fn new() -> Cache {
        let share = raise_limit().saturating_sub(RESERVE) / 16;
        Cache::with_room(share.clamp(64, OPEN_MAX) as usize)
    }

    fn with_room(files: usize) -> Cache {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Cache { shards, room: (files / SHARDS).max(4) }
    }

    pub(super) fn get(&self, id: FileId) -> Option<Arc<Node>> {
        let node = self.shard(id).nodes.get(&id).cloned()?;
        node.used.store(true, Ordering::Relaxed);
        Some(node)
    }

    /// Keeps the node, or gives the one that another thread kept meanwhile.
    pub(super) fn put(&self, node: Node) -> Arc<Node> {
        let mut shard = self.shard(node.id);
        if let Some(other) = shard.nodes.get(&node.id) {
            return other.clone();
        }
        let node = Arc::new(node);
        shard.nodes.insert(node.id, node.clone());
        let victim = shard.make_room(node.id, self.room);
        drop(shard);
        // Closing may take long (the last reference to an unlinked file): not under the lock.
        drop(victim);
        node
    }

    pub(super) fn remove(&self, id: FileId) {
        let mut shard = self.shard(id);
        let node = shard.nodes.remove(&id);
        drop(shard);
        drop(node);
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let nodes = {
                let mut shard = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                std::mem::take(&mut shard.nodes)
            };
            drop(nodes);
        }
    }

    fn shard(&self, id: FileId) -> std::sync::MutexGuard<'_, Shard> {
        let shard = &self.shards[id.0 as usize % SHARDS];
        shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Shard {
    fn make_room(&mut self, new: FileId, room: usize) -> Option<Arc<Node>> {
        if self.clock.len() < room {
            self.clock.push(new);
            return None;
        }
        // Two rounds: the first clears the marks, the second finds one; unsynced ones go only if nothing else is left.
        for step in 0..self.clock.len() * 2 + 1 {
            self.hand = (self.hand + 1) % self.clock.len();
            let id = self.clock[self.hand];
            let stays = self.nodes.get(&id).is_some_and(|node| {
                let last_resort = step == self.clock.len() * 2;
                node.used.swap(false, Ordering::Relaxed) || (node.unsynced.load(Ordering::Relaxed) && !last_resort)
            });
            if !stays {
                self.clock[self.hand] = new;
                return self.nodes.remove(&id);
            }
        }
        self.clock.push(new);
        None
    }
}

/// Raises the limit of open files as far as allowed and says what it is then.
fn raise_limit() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let current = now.current.unwrap_or(WANTED);
    if current >= WANTED {
        return current;
    }
    for wanted in [Some(WANTED), now.maximum] {
        let maximum = now.maximum.map(|m| m.max(wanted.unwrap_or(m)));
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_ok() {
            return wanted.unwrap_or(WANTED);
        }
    }
    tracing::warn!(limit = current, "the limit of open files can't be raised: fewer files stay open");
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64) -> Node {
        let fd = std::fs::File::open("/dev/null").unwrap();
        Node::new(FileId(id), fd.into(), libc::S_IFREG)
    }

    #[test]
    fn the_cache_stays_within_its_room_and_keeps_unsynced_files() {
        let cache = Cache::with_room(SHARDS * 8);
        let kept = cache.put(node(16));
        kept.unsynced.store(true, Ordering::Relaxed);
        for n in 2..200 {
            cache.put(node(n * 16));
        }
        let open = cache.shards[0].lock().unwrap();
        assert_eq!(open.nodes.len(), 8);
        assert!(open.nodes.contains_key(&FileId(16)));
        assert!(open.nodes.contains_key(&FileId(199 * 16)));
    }

    #[test]
    fn removed_ids_leave_no_hole_behind() {
        let cache = Cache::with_room(SHARDS * 4);
        for n in 1..100 {
            cache.put(node(n * 16));
            cache.remove(FileId(n * 16));
        }
        for n in 1..100 {
            cache.put(node(n * 16));
        }
        assert_eq!(cache.shards[0].lock().unwrap().nodes.len(), 4);
    }
}
