//! The result memory: what a successor must know about requests that a dead server had begun.
//!
//! It lives in a memory file that the keeper holds. Per request that can't simply be repeated (name operations) there is a slot, and there
//! is one *intent*: name operations run one at a time, so at most one can be half done.
//!
//! # Layout (version 1)
//!
//! Page 0: magic, life (counts servers), tenure (counts changes of role). Pages 1 to 3: the intent; its first word, the request's number, is
//! written last and cleared first. Then slots of 64 bytes: request, mark (sequence of its operation in the stream), id, life.
//!
//! # Why that is enough
//!
//! Without a slot a repeated request was never begun, or failed: executing it is right. With a slot whose mark was published it was executed and
//! is in the stream: only the answer is missing. With a slot and no mark it is the intent: [`super::recover`] finds out from the
//! directory whether it was executed, and if so completes it before any other name operation runs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::intent::Intent;
use crate::pipeline::FileId;

const MAGIC: u64 = 0x3153_4552_5346_4648; // "HFFSRES1"
const PAGE: usize = 4096;
const INTENT: usize = PAGE;
const INTENT_ROOM: usize = 3 * PAGE;
const SLOTS: usize = 4 * PAGE;
const SLOT_COUNT: usize = 16_384;
/// So many slots of dead servers are kept: a death leaves a few.
const LEFT_MAX: usize = SLOT_COUNT / 2;
/// The size of the memory file, in bytes.
pub const RESULT_MEMORY_BYTES: u64 = (SLOTS + SLOT_COUNT * 64) as u64;

#[repr(C)]
struct Header {
    magic: AtomicU64,
    life: AtomicU64,
    tenure: AtomicU64,
}

#[repr(C)]
struct Slot {
    request: AtomicU64,
    mark: AtomicU64,
    id: AtomicU64,
    life: AtomicU64,
    _unused: [u64; 4],
}

const _: () = assert!(size_of::<Slot>() == 64);

/// The number of a slot.
pub(crate) type SlotNo = u32;

/// See the module.
pub struct ResultMemory {
    base: *mut u8,
    free: Mutex<Vec<SlotNo>>,
    /// Slots that an earlier server left, by request.
    left: Mutex<HashMap<u64, SlotNo>>,
}

// SAFETY: slots are atomics; the intent's bytes are only touched by who holds the lock for names (or at the start).
unsafe impl Send for ResultMemory {}
unsafe impl Sync for ResultMemory {}

impl Drop for ResultMemory {
    fn drop(&mut self) {
        // SAFETY: mapped with this length in `attach`.
        unsafe { libc::munmap(self.base.cast(), RESULT_MEMORY_BYTES as usize) };
    }
}

impl ResultMemory {
    /// Maps the memory file (of [`RESULT_MEMORY_BYTES`]; zeros are an empty memory).
    pub fn attach(file: BorrowedFd<'_>) -> io::Result<ResultMemory> {
        // SAFETY: a new shared mapping of a file of that size.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RESULT_MEMORY_BYTES as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = ResultMemory { base: base.cast(), free: Mutex::default(), left: Mutex::default() };
        memory.begin_life()?;
        Ok(memory)
    }

    /// An own memory file, for a mount without a keeper.
    pub fn file() -> io::Result<OwnedFd> {
        let fd = rustix::fs::memfd_create(c"hf-results", rustix::fs::MemfdFlags::CLOEXEC)?;
        rustix::fs::fallocate(&fd, rustix::fs::FallocateFlags::empty(), 0, RESULT_MEMORY_BYTES)?;
        Ok(fd)
    }

    /// A fresh mount: nothing of an earlier one counts.
    pub fn clear(&self) {
        self.clear_intent();
        (0..SLOT_COUNT as SlotNo).for_each(|no| self.slot(no).request.store(0, Ordering::Release));
        lock(&self.left).clear();
        *lock(&self.free) = (0..SLOT_COUNT as SlotNo).rev().collect();
    }

    fn begin_life(&self) -> io::Result<()> {
        match self.header().magic.load(Ordering::Acquire) {
            0 => self.header().magic.store(MAGIC, Ordering::Release),
            MAGIC => {}
            _ => return Err(io::Error::from_raw_os_error(libc::EBADMSG)),
        }
        self.header().life.fetch_add(1, Ordering::AcqRel);
        let (mut free, mut left) = (lock(&self.free), lock(&self.left));
        let mut used = Vec::new();
        for no in (0..SLOT_COUNT as SlotNo).rev() {
            if self.slot(no).request.load(Ordering::Acquire) == 0 { free.push(no) } else { used.push(no) }
        }
        // A request may outlive many servers that died before they came to it; one that was answered, its slot not freed, is never
        // repeated. Nobody can tell them apart: the oldest go when there are too many.
        used.sort_unstable_by_key(|no| std::cmp::Reverse(self.slot(*no).life.load(Ordering::Relaxed)));
        for (n, no) in used.into_iter().enumerate() {
            let slot = self.slot(no);
            if n < LEFT_MAX {
                left.insert(slot.request.load(Ordering::Relaxed), no);
            } else {
                slot.request.store(0, Ordering::Release);
                free.push(no);
            }
        }
        Ok(())
    }

    /// The tenure: descriptors that were opened for writing in an earlier one are no longer good (P8).
    pub fn tenure(&self) -> u64 {
        self.header().tenure.load(Ordering::Acquire)
    }

    /// Ends the tenure.
    pub fn next_tenure(&self) {
        self.header().tenure.fetch_add(1, Ordering::AcqRel);
    }

    /// A slot for a request; `None` when 16,384 are in use (then a death in this very moment would be seen as an error).
    pub(crate) fn take(&self, request: u64, id: FileId) -> Option<SlotNo> {
        let no = lock(&self.free).pop()?;
        let slot = self.slot(no);
        slot.mark.store(0, Ordering::Relaxed);
        slot.id.store(id.0, Ordering::Relaxed);
        slot.life.store(self.header().life.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.request.store(request, Ordering::Release);
        Some(no)
    }

    /// The request was answered.
    pub(crate) fn free(&self, no: SlotNo) {
        self.slot(no).request.store(0, Ordering::Release);
        lock(&self.free).push(no);
    }

    /// Where the sequence of the slot's operation is kept.
    pub(crate) fn mark(&self, no: SlotNo) -> &AtomicU64 {
        &self.slot(no).mark
    }

    /// The file that the slot's operation is about.
    pub(crate) fn id(&self, no: SlotNo) -> FileId {
        FileId(self.slot(no).id.load(Ordering::Acquire))
    }

    /// The slot that an earlier server left for this request; it is the caller's now.
    pub(crate) fn left_by_predecessor(&self, request: u64) -> Option<SlotNo> {
        lock(&self.left).remove(&request)
    }

    /// Keeps what is about to be done. Under the lock for names.
    pub(crate) fn set_intent(&self, intent: &Intent) -> io::Result<()> {
        let bytes = intent.encode();
        if bytes.len() + 16 > INTENT_ROOM {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        // SAFETY: inside the mapping; nobody else touches it (lock for names), readers need the flag that is set after.
        unsafe {
            let area = self.base.add(INTENT);
            area.add(8).cast::<u64>().write(bytes.len() as u64);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), area.add(16), bytes.len());
        }
        self.intent_flag().store(1, Ordering::Release);
        Ok(())
    }

    /// It is done, or it failed.
    pub(crate) fn clear_intent(&self) {
        self.intent_flag().store(0, Ordering::Release);
    }

    /// What a dead server was about to do.
    pub(crate) fn intent(&self) -> Option<Intent> {
        if self.intent_flag().load(Ordering::Acquire) == 0 {
            return None;
        }
        // SAFETY: inside the mapping; written completely before the flag was set.
        let bytes = unsafe {
            let area = self.base.add(INTENT);
            let len = area.add(8).cast::<u64>().read() as usize;
            std::slice::from_raw_parts(area.add(16), len.min(INTENT_ROOM - 16))
        };
        Intent::decode(bytes)
    }

    fn header(&self) -> &Header {
        // SAFETY: page 0, atomics only.
        unsafe { &*self.base.cast() }
    }

    fn intent_flag(&self) -> &AtomicU64 {
        // SAFETY: the first word of the intent's pages, aligned.
        unsafe { &*self.base.add(INTENT).cast() }
    }

    fn slot(&self, no: SlotNo) -> &Slot {
        assert!((no as usize) < SLOT_COUNT);
        // SAFETY: inside the mapping, atomics only.
        unsafe { &*self.base.add(SLOTS + no as usize * size_of::<Slot>()).cast() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn successors_find_the_slots_of_all_that_died() {
        let file = ResultMemory::file().unwrap();
        let first = ResultMemory::attach(file.as_fd()).unwrap();
        let no = first.take(77, FileId(5)).unwrap();
        first.mark(no).store(9, Ordering::Release);
        let done = first.take(78, FileId(6)).unwrap();
        first.free(done);
        drop(first);

        let second = ResultMemory::attach(file.as_fd()).unwrap();
        assert_eq!(second.left_by_predecessor(78), None);
        let fresh = second.take(80, FileId(1)).unwrap();
        drop(second);

        // The second one died before it came to request 77.
        let third = ResultMemory::attach(file.as_fd()).unwrap();
        let again = third.left_by_predecessor(77).unwrap();
        assert_eq!((third.id(again), third.mark(again).load(Ordering::Acquire)), (FileId(5), 9));
        assert_ne!(fresh, again);
        assert_eq!(third.left_by_predecessor(80), Some(fresh));
        third.free(again);
        drop(third);
        assert_eq!(ResultMemory::attach(file.as_fd()).unwrap().left_by_predecessor(77), None);
    }

    #[test]
    fn the_oldest_slots_that_nobody_freed_go_first() {
        let file = ResultMemory::file().unwrap();
        let half = LEFT_MAX as u64;
        for requests in [1..=half, half + 1..=half + 10] {
            let memory = ResultMemory::attach(file.as_fd()).unwrap();
            requests.for_each(|request| assert!(memory.take(request, FileId(request)).is_some()));
        }
        let memory = ResultMemory::attach(file.as_fd()).unwrap();
        let left = (1..=half).filter(|request| memory.left_by_predecessor(*request).is_some()).count();
        assert_eq!(left, LEFT_MAX - 10);
        assert!((half + 1..=half + 10).all(|request| memory.left_by_predecessor(request).is_some()));
    }

    #[test]
    fn tenure_survives_and_clear_forgets() {
        let file = ResultMemory::file().unwrap();
        let first = ResultMemory::attach(file.as_fd()).unwrap();
        first.next_tenure();
        first.take(1, FileId(1)).unwrap();
        drop(first);
        let second = ResultMemory::attach(file.as_fd()).unwrap();
        assert_eq!(second.tenure(), 1);
        second.clear();
        assert_eq!(second.left_by_predecessor(1), None);
    }
}
