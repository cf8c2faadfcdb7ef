//! The table's memory file: layout, mapping, growth.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Known, TableError};
use crate::backing::handle::{Handle, MAX_HANDLE_BYTES};

const MAGIC: u64 = 0x3153_4449_5346_4648; // "HFFSIDS1"
const HEADER: usize = 4096;
const ENTRY: usize = 64;
/// Room in the address space only: 32 million files.
const RESERVED: usize = HEADER + (32 << 20) * ENTRY;
const STEP: u64 = 1 << 20;
/// Bits of the counter below the range: ids stay below 2^53, which scripts and JSON can carry.
const COUNTER_BITS: u32 = 37;

#[repr(C)]
struct Header {
    magic: AtomicU64,
    range: AtomicU64,
    counter: AtomicU64,
    used: AtomicU64,
}

#[repr(C)]
struct Entry {
    id: AtomicU64,
    lookups: AtomicU32,
    flags: AtomicU32,
    handle_kind: i32,
    kind: u16,
    len: u8,
    _unused: u8,
    bytes: [u8; MAX_HANDLE_BYTES],
}

const _: () = assert!(size_of::<Entry>() == ENTRY);

pub(super) struct Memory {
    file: OwnedFd,
    base: *mut u8,
}

// SAFETY: all access goes through atomics, or through fields of an entry that only its inserter writes while no one has
// its number (the table's lock sees to that).
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map` with this length.
        unsafe { libc::munmap(self.base.cast(), RESERVED) };
    }
}

impl Memory {
    pub(super) fn file(name: &str) -> Result<OwnedFd, TableError> {
        let name = std::ffi::CString::new(name).expect("a literal without NUL");
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(TableError::Memory { what: "made", source: io::Error::last_os_error() });
        }
        // SAFETY: see above.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub(super) fn map(file: OwnedFd, range: u16) -> Result<Memory, TableError> {
        let fresh = length(&file)? == 0;
        if fresh {
            extend(&file, STEP)?;
        }
        // SAFETY: a new shared mapping; pages beyond the file's end are not touched before `grow` made them.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RESERVED,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(TableError::Memory { what: "mapped", source: io::Error::last_os_error() });
        }
        let memory = Memory { file, base: base.cast() };
        if fresh {
            memory.header().magic.store(MAGIC, Ordering::Release);
            memory.header().counter.store(1, Ordering::Release);
        }
        memory.check()?;
        memory.set_range(range);
        Ok(memory)
    }

    fn check(&self) -> Result<(), TableError> {
        let magic = self.header().magic.load(Ordering::Acquire);
        let needed = HEADER as u64 + u64::from(self.used()) * ENTRY as u64;
        let length = length(&self.file)?;
        if magic == MAGIC && needed <= length {
            return Ok(());
        }
        Err(TableError::Foreign { found: format!("magic {magic:x}, {length} of {needed} bytes") })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(super) fn set_range(&self, range: u16) {
        self.header().range.store(u64::from(range), Ordering::Release);
    }

    pub(super) fn counter(&self) -> u64 {
        self.header().counter.load(Ordering::Acquire)
    }

    pub(super) fn count_from(&self, counter: u64) {
        self.header().counter.fetch_max(counter, Ordering::AcqRel);
    }

    pub(super) fn next_id(&self) -> u64 {
        let counter = self.header().counter.fetch_add(1, Ordering::AcqRel) + 1;
        self.header().range.load(Ordering::Acquire) << COUNTER_BITS | counter
    }

    pub(super) fn used(&self) -> u32 {
        self.header().used.load(Ordering::Acquire) as u32
    }

    /// One more entry at the end, made of zeros. Called under the table's lock.
    pub(super) fn grow(&self) -> Result<u32, TableError> {
        let slot = self.used();
        let end = (HEADER + (slot as usize + 1) * ENTRY) as u64;
        if end as usize > RESERVED {
            return Err(TableError::Memory {
                what: "grown beyond 32 million files",
                source: io::Error::from_raw_os_error(libc::ENOSPC),
            });
        }
        if end > length(&self.file)? {
            extend(&self.file, STEP)?;
        }
        self.header().used.store(u64::from(slot) + 1, Ordering::Release);
        Ok(slot)
    }

    pub(super) fn id(&self, slot: u32) -> u64 {
        self.entry(slot).id.load(Ordering::Acquire)
    }

    pub(super) fn read(&self, slot: u32) -> Option<(u64, Known)> {
        let entry = self.entry(slot);
        let id = entry.id.load(Ordering::Acquire);
        if id == 0 {
            return None;
        }
        let handle = Handle::from_parts(entry.handle_kind, entry.bytes.get(..usize::from(entry.len))?)?;
        let flags = entry.flags.load(Ordering::Relaxed);
        let lookups = entry.lookups.load(Ordering::Relaxed);
        Some((id, Known { handle, kind: u32::from(entry.kind), flags, lookups }))
    }

    pub(super) fn write(&self, slot: u32, id: u64, known: &Known) {
        let entry = self.entry_ptr(slot);
        let mut bytes = [0; MAX_HANDLE_BYTES];
        bytes[..known.handle.bytes().len()].copy_from_slice(known.handle.bytes());
        // SAFETY: `slot` is below `used`, so its page exists; the table's lock is held for writing, so nobody reads the
        // plain fields of an entry without an id.
        unsafe {
            (*entry).flags.store(known.flags, Ordering::Relaxed);
            (*entry).lookups.store(known.lookups, Ordering::Relaxed);
            (&raw mut (*entry).handle_kind).write(known.handle.kind());
            (&raw mut (*entry).kind).write((known.kind & libc::S_IFMT) as u16);
            (&raw mut (*entry).len).write(known.handle.bytes().len() as u8);
            (&raw mut (*entry).bytes).write(bytes);
            (*entry).id.store(id, Ordering::Release);
        }
    }

    pub(super) fn clear(&self, slot: u32) {
        self.entry(slot).id.store(0, Ordering::Release);
    }

    pub(super) fn flags(&self, slot: u32) -> u32 {
        self.entry(slot).flags.load(Ordering::Relaxed)
    }

    pub(super) fn set_flags(&self, slot: u32, flags: u32) -> u32 {
        self.entry(slot).flags.fetch_or(flags, Ordering::Relaxed) & flags
    }

    pub(super) fn clear_flags(&self, slot: u32, flags: u32) -> u32 {
        self.entry(slot).flags.fetch_and(!flags, Ordering::Relaxed) & flags
    }

    pub(super) fn lookups(&self, slot: u32) -> u32 {
        self.entry(slot).lookups.load(Ordering::Relaxed)
    }

    pub(super) fn add_lookup(&self, slot: u32) -> u32 {
        self.entry(slot).lookups.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What is left.
    pub(super) fn take_lookups(&self, slot: u32, lookups: u64) -> u32 {
        let less = |now: u32| Some(u64::from(now).saturating_sub(lookups) as u32);
        let count = &self.entry(slot).lookups;
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_or(0, |old| less(old).unwrap_or(0))
    }

    fn header(&self) -> &Header {
        // SAFETY: the first page exists since `map`, is aligned, and holds only atomics.
        unsafe { &*self.base.cast::<Header>() }
    }

    fn entry_ptr(&self, slot: u32) -> *mut Entry {
        debug_assert!(slot < self.used());
        // SAFETY: inside the mapping: `grow` bounds `used`.
        unsafe { self.base.add(HEADER + slot as usize * ENTRY).cast() }
    }

    fn entry(&self, slot: u32) -> &Entry {
        // SAFETY: the page exists because `slot` is below `used`; the table's lock keeps writers of the plain fields out.
        unsafe { &*self.entry_ptr(slot) }
    }
}

fn length(file: &OwnedFd) -> Result<u64, TableError> {
    let stat = rustix::fs::fstat(file);
    stat.map(|s| s.st_size as u64).map_err(|e| TableError::Memory { what: "measured", source: e.into() })
}

/// Allocated, not only made longer: running out of memory is an error here instead of a signal later.
fn extend(file: &OwnedFd, by: u64) -> Result<(), TableError> {
    let from = length(file)?;
    let all = rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, by);
    all.map_err(|e| TableError::Memory { what: "grown", source: e.into() })
}
