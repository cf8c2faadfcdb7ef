//! The locks that tie the order in the stream to the order on disk.

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::FileId;

const STRIPES: usize = 256;

/// Lock order: names before a file; never two files.
pub struct Order {
    names: RwLock<()>,
    files: Vec<Mutex<()>>,
}

impl Default for Order {
    fn default() -> Order {
        Order { names: RwLock::new(()), files: (0..STRIPES).map(|_| Mutex::new(())).collect() }
    }
}

impl Order {
    /// For one name operation: executing it and appending it.
    pub fn change_names(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// For listing a directory (synchronisation): no name changes meanwhile. Hold it for one directory at a time.
    pub fn read_names(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// For one modification of a file's content or attributes, and for reading a zone and appending it as a copy. Files share
    /// locks, so never take a second one while holding one.
    pub fn file(&self, id: FileId) -> MutexGuard<'_, ()> {
        self.files[stripe(id)].lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn stripe(id: FileId) -> usize {
    // Fibonacci hashing: ids are counters, neighbours should not meet.
    (id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize % STRIPES
}
