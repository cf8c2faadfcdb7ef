//! File ids: a number of ours for each file, the same on both nodes.
//!
//! The id is the FUSE node id, the inode number that applications see and the identity on the wire. This table ties it to
//! the local file's handle. It lives in a memory file that the keeper holds, so that it survives a death of this process;
//! the maps beside it are built again from it.
//!
//! # Layout of the memory file
//!
//! One page: magic, version, range, the counter of new ids. Then entries of 64 bytes. An entry's id is written last and cleared first,
//! so a process that dies in between leaves an entry that nobody sees. Version 1: this.
//!
//! # Who gives ids
//!
//! New ids are `range << 37 | counter`; each node and each life of a table has a range of its own, so two nodes never give
//! the same id to different files. The secondary takes the primary's ids with [`Table::bind`]. All ids are below 2^53.

mod memory;

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::RwLock;

use crate::backing::handle::Handle;
use crate::pipeline::FileId;
use memory::Memory;

/// Set on an entry whose file has no name any more and lives on under `.hold/open` because it may be open.
pub const HELD: u32 = 2;
/// Set on an entry whose times were changed by writes and not yet told to the secondary.
pub const TIMES: u32 = 4;
/// Set on an entry whose file is left out of the replication: it is this node's own.
pub const OWN: u32 = 8;
/// Set on an entry whose content is that of the state in common with the other copy: `link/common.rs`.
pub const SAME: u32 = 16;

/// What the table knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The local file.
    pub handle: Handle,
    /// The `S_IFMT` part of its mode, which never changes.
    pub kind: u32,
    /// [`HELD`], [`TIMES`], [`OWN`], [`SAME`].
    pub flags: u32,
    /// How often the kernel was told of it and didn't forget yet; too high after a death of ours, never too low.
    pub lookups: u32,
}

/// Why the table can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The memory file can't be made, grown or mapped.
    #[error("the table of file ids can't be {what}: no memory?")]
    Memory { what: &'static str, source: io::Error },
    /// The keeper handed over something else.
    #[error(
        "the table of file ids that the keeper holds isn't one of this version ({found}); stop the module and start it again"
    )]
    Foreign { found: String },
}

/// See the module.
pub struct Table {
    memory: Memory,
    maps: RwLock<Maps>,
}

#[derive(Default)]
struct Maps {
    by_id: HashMap<u64, u32>,
    by_handle: HashMap<Handle, u32>,
    free: Vec<u32>,
}

impl Table {
    /// A new, empty table. `range` (0 to 65535) must differ from every other table's whose ids may still be in use.
    pub fn create(range: u16) -> Result<Table, TableError> {
        Table::attach(Memory::file("hf-ids")?, range)
    }

    /// The table in this memory file; an empty file becomes a new table. `range` is used for new ids from now on.
    pub fn attach(file: OwnedFd, range: u16) -> Result<Table, TableError> {
        let memory = Memory::map(file, range)?;
        let mut maps = Maps::default();
        for slot in 0..memory.used() {
            match memory.read(slot) {
                Some((id, known)) => {
                    maps.by_id.insert(id, slot);
                    maps.by_handle.insert(known.handle, slot);
                }
                None => maps.free.push(slot),
            }
        }
        Ok(Table { memory, maps: RwLock::new(maps) })
    }

    /// The memory file, for the keeper.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// New ids come from this range from now on (a new epoch, another role). The counter goes on.
    pub fn set_range(&self, range: u16) {
        self.memory.set_range(range);
    }

    /// An id that nobody has.
    pub fn new_id(&self) -> FileId {
        FileId(self.memory.next_id())
    }

    /// The id of this file, a new one if it has none.
    pub fn id_of(&self, handle: &Handle, kind: u32) -> Result<FileId, TableError> {
        if let Some(id) = self.find(handle) {
            return Ok(id);
        }
        let mut maps = self.write();
        if let Some(&slot) = maps.by_handle.get(handle) {
            return Ok(FileId(self.memory.id(slot)));
        }
        let id = self.memory.next_id();
        self.insert(&mut maps, id, Known { handle: *handle, kind, flags: 0, lookups: 0 })?;
        Ok(FileId(id))
    }

    /// The id of this file, if it has one.
    pub fn find(&self, handle: &Handle) -> Option<FileId> {
        let maps = self.read();
        maps.by_handle.get(handle).map(|&slot| FileId(self.memory.id(slot)))
    }

    /// What is known of this id.
    pub fn get(&self, id: FileId) -> Option<Known> {
        let maps = self.read();
        self.memory.read(*maps.by_id.get(&id.0)?).map(|(_, known)| known)
    }

    /// Ties this id to this file. Earlier ties of either are cut.
    pub fn bind(&self, id: FileId, handle: &Handle, kind: u32) -> Result<(), TableError> {
        let mut maps = self.write();
        if let Some(&slot) = maps.by_id.get(&id.0) {
            let same = self.memory.read(slot).is_some_and(|(_, known)| known.handle == *handle);
            if same {
                return Ok(());
            }
            self.remove(&mut maps, slot);
        }
        if let Some(&slot) = maps.by_handle.get(handle) {
            self.remove(&mut maps, slot);
        }
        self.insert(&mut maps, id.0, Known { handle: *handle, kind, flags: 0, lookups: 0 })
    }

    /// The file of this id is gone for good.
    pub fn forget(&self, id: FileId) {
        let mut maps = self.write();
        if let Some(&slot) = maps.by_id.get(&id.0) {
            self.remove(&mut maps, slot);
        }
    }

    /// Sets flags; says which of them were set before. Nothing for an id that isn't known.
    pub fn set_flags(&self, id: FileId, flags: u32) -> u32 {
        self.with_slot(id, |slot| self.memory.set_flags(slot, flags))
    }

    /// Clears flags; says which of them were set before.
    pub fn clear_flags(&self, id: FileId, flags: u32) -> u32 {
        self.with_slot(id, |slot| self.memory.clear_flags(slot, flags))
    }

    /// The flags of this id, 0 for one that isn't known.
    pub fn flags(&self, id: FileId) -> u32 {
        self.with_slot(id, |slot| self.memory.flags(slot))
    }

    /// The kernel is about to be told of this file: call it before the reply.
    pub fn looked_up(&self, id: FileId) {
        self.with_slot(id, |slot| self.memory.add_lookup(slot));
    }

    /// The kernel forgot so many lookups. True when none is left.
    pub fn forgotten(&self, id: FileId, lookups: u64) -> bool {
        self.read().by_id.get(&id.0).is_some_and(|&slot| self.memory.take_lookups(slot, lookups) == 0)
    }

    /// May the kernel know this file?
    pub fn is_known_to_kernel(&self, id: FileId) -> bool {
        self.with_slot(id, |slot| self.memory.lookups(slot)) != 0
    }

    /// All files that the kernel may know.
    pub fn known_to_kernel(&self) -> Vec<FileId> {
        let maps = self.read();
        let known = maps.by_id.iter().filter(|(_, slot)| self.memory.lookups(**slot) != 0);
        known.map(|(id, _)| FileId(*id)).collect()
    }

    /// The kernel knows nothing any more: a fresh mount.
    pub fn clear_lookups(&self) {
        let maps = self.read();
        for &slot in maps.by_id.values() {
            self.memory.take_lookups(slot, u64::MAX);
        }
    }

    /// How many files have an id.
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Does no file have an id?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All ids that have one of these flags.
    pub fn with_flags(&self, flags: u32) -> Vec<FileId> {
        let maps = self.read();
        let chosen = maps.by_id.iter().filter(|(_, slot)| self.memory.flags(**slot) & flags != 0);
        chosen.map(|(id, _)| FileId(*id)).collect()
    }

    /// Clears flags of all files.
    pub fn clear_everywhere(&self, flags: u32) {
        let maps = self.read();
        for &slot in maps.by_id.values() {
            self.memory.clear_flags(slot, flags);
        }
    }

    /// The counter that new ids are made of.
    pub fn counter(&self) -> u64 {
        self.memory.counter()
    }

    /// New ids come after this counter: earlier ones are in use again.
    pub fn count_from(&self, counter: u64) {
        self.memory.count_from(counter);
    }

    fn with_slot(&self, id: FileId, act: impl FnOnce(u32) -> u32) -> u32 {
        self.read().by_id.get(&id.0).map_or(0, |&slot| act(slot))
    }

    fn insert(&self, maps: &mut Maps, id: u64, known: Known) -> Result<(), TableError> {
        let slot = match maps.free.pop() {
            Some(slot) => slot,
            None => self.memory.grow()?,
        };
        self.memory.write(slot, id, &known);
        maps.by_id.insert(id, slot);
        maps.by_handle.insert(known.handle, slot);
        Ok(())
    }

    fn remove(&self, maps: &mut Maps, slot: u32) {
        if let Some((id, known)) = self.memory.read(slot) {
            self.memory.clear(slot);
            maps.by_id.remove(&id);
            maps.by_handle.remove(&known.handle);
            maps.free.push(slot);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests;
