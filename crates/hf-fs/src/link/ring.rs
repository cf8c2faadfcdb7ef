//! Frames that the other node hasn't acknowledged yet, in a memory file that the keeper holds: it outlives this process.
//!
//! # Layout of the memory file
//!
//! One page: magic, capacity, then the counters of [`Counters`]. Then the ring of `capacity` bytes, mapped twice in a row, so that
//! a frame that runs over the end is contiguous in memory. Positions are bytes since the ring was made and never wrap.
//! Version 1 ("HFRING1"): this. (Counters may be added at the end: they are 0 in a ring that an older version made.)
//!
//! # What a successor finds after a kill -9 at any instruction
//!
//! A frame is written beyond `head` first; then `head` moves over it: that publishes it. `last` follows. A successor takes `last` from the
//! last frame in the ring when that is newer. The mark of an append is written before `head` moves, so a mark at most
//! `last` is a frame that is there.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use hf_replica::ladder::Common;
use hf_wire::frame::{Encoded, HEADER_LEN, Header, Place};

const MAGIC: u64 = u64::from_le_bytes(*b"HFRING1\0");
const PAGE: usize = 4096;
/// How many of the files that lost their last name on this copy are remembered.
const DEAD: usize = 128;

/// Why the ring can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error("the memory for unacknowledged operations can't be {what}")]
    Memory { what: &'static str, source: io::Error },
    #[error("the memory that the keeper holds is no ring of this version; stop the module and start it again")]
    Foreign,
}

/// There is no room; see [`Ring::free`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Numbers that survive this process.
#[repr(C)]
pub struct Counters {
    magic: AtomicU64,
    capacity: AtomicU64,
    /// Sending: the stream's number (0: none), end and beginning of what is kept, the last sequence given out, of which the last fence.
    stream: AtomicU64,
    head: AtomicU64,
    tail: AtomicU64,
    last: AtomicU64,
    fence: AtomicU64,
    /// What the other node said: received, barriers fulfilled, durable.
    pub received: AtomicU64,
    pub fulfilled: AtomicU64,
    pub peer_durable: AtomicU64,
    /// Receiving: the stream that was applied last (0: none, or broken), how far; a fence that was begun; how far durable.
    pub applied_stream: AtomicU64,
    pub applied: AtomicU64,
    pub started: AtomicU64,
    pub own_fulfilled: AtomicU64,
    pub own_durable: AtomicU64,
    /// What becomes of operations, see [`Flow`](super::Flow).
    pub flow: AtomicU64,
    /// A synchronisation is being sent, received: after a death of this process it begins again.
    pub sending_sync: AtomicU64,
    pub receiving_sync: AtomicU64,
    /// The sequence before the stream's first frame.
    before_first: AtomicU64,
    dead_next: AtomicU64,
    dead: [AtomicU64; DEAD],
    /// What marks are about while no stream is under way: stream (0: nothing), place, 1 for its sender. See [`super::common`].
    common_stream: AtomicU64,
    common_at: AtomicU64,
    common_sender: AtomicU64,
}

const _: () = assert!(size_of::<Counters>() <= PAGE);

/// See the module.
pub struct Ring {
    file: OwnedFd,
    counters: *mut u8,
    data: *mut u8,
    capacity: usize,
    /// Held while a frame is written.
    append: Mutex<()>,
}

// SAFETY: the counters are atomics; bytes of the ring are written only beyond `head` under the lock `append`, and read only
// between `tail` and `head`, where nobody writes.
unsafe impl Send for Ring {}
unsafe impl Sync for Ring {}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: both mappings were made in `attach` with these lengths.
        unsafe {
            libc::munmap(self.counters.cast(), PAGE);
            libc::munmap(self.data.cast(), self.capacity * 2);
        }
    }
}

impl Ring {
    /// A new ring with room for at least `capacity` bytes of frames.
    pub fn create(capacity: usize) -> Result<Ring, RingError> {
        let fail = |source: rustix::io::Errno| RingError::Memory { what: "made", source: source.into() };
        let file = rustix::fs::memfd_create(c"hf-ring", rustix::fs::MemfdFlags::CLOEXEC).map_err(fail)?;
        rustix::fs::ftruncate(&file, Ring::file_size(capacity)).map_err(fail)?;
        Ring::attach(file)
    }

    /// The size of a memory file with room for at least `capacity` bytes of frames.
    pub fn file_size(capacity: usize) -> u64 {
        (PAGE + capacity.max(PAGE).next_power_of_two()) as u64
    }

    /// The ring that an earlier process left; a file of [`Ring::file_size`] with nothing but zeros becomes a new one.
    pub fn attach(file: OwnedFd) -> Result<Ring, RingError> {
        let size = rustix::fs::fstat(&file)
            .map_err(|source| RingError::Memory { what: "read", source: source.into() })?
            .st_size;
        let capacity = usize::try_from(size).unwrap_or(0).saturating_sub(PAGE);
        if capacity < PAGE || !capacity.is_power_of_two() {
            return Err(RingError::Foreign);
        }
        let ring = Ring::map(file, capacity)?;
        let counters = ring.counters();
        if counters.magic.load(Ordering::SeqCst) == 0 {
            counters.capacity.store(capacity as u64, Ordering::SeqCst);
            counters.magic.store(MAGIC, Ordering::SeqCst);
            return Ok(ring);
        }
        if counters.magic.load(Ordering::SeqCst) != MAGIC || counters.capacity.load(Ordering::SeqCst) != capacity as u64
        {
            return Err(RingError::Foreign);
        }
        ring.recover()?;
        Ok(ring)
    }

    fn map(file: OwnedFd, capacity: usize) -> Result<Ring, RingError> {
        let counters = map(&file, 0, PAGE, std::ptr::null_mut(), libc::MAP_SHARED)?;
        // Reserves the addresses, then puts the file there twice.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let data = map_raw(-1, 0, capacity * 2, std::ptr::null_mut(), libc::PROT_NONE, flags)?;
        for half in 0..2 {
            // SAFETY: within the addresses reserved above.
            let at = unsafe { data.add(half * capacity) };
            map(&file, PAGE, capacity, at, libc::MAP_SHARED | libc::MAP_FIXED)?;
        }
        Ok(Ring { file, counters, data, capacity, append: Mutex::new(()) })
    }

    /// What a process that died between two stores left.
    fn recover(&self) -> Result<(), RingError> {
        let counters = self.counters();
        let (tail, head) = (counters.tail.load(Ordering::SeqCst), counters.head.load(Ordering::SeqCst));
        if head < tail || head - tail > self.capacity as u64 {
            return Err(RingError::Foreign);
        }
        let mut position = tail;
        let mut last = counters.received.load(Ordering::SeqCst);
        while position < head {
            let header = self.header_at(position).ok_or(RingError::Foreign)?;
            last = header.place().seq;
            position += header.frame_len() as u64;
        }
        counters.last.fetch_max(last, Ordering::SeqCst);
        if counters.receiving_sync.load(Ordering::SeqCst) != 0 {
            self.leave_received();
        }
        if counters.sending_sync.load(Ordering::SeqCst) != 0 {
            // Which files were under way isn't noted anywhere else.
            self.set_common(None);
            self.restart(0);
        }
        Ok(())
    }

    /// What marks are about while no stream is under way.
    pub fn common(&self) -> Option<Common> {
        let counters = self.counters();
        let stream = counters.common_stream.load(Ordering::SeqCst);
        let at = counters.common_at.load(Ordering::SeqCst);
        let sender = counters.common_sender.load(Ordering::SeqCst) != 0;
        (stream != 0).then_some(Common { stream, at, sender })
    }

    /// Sets that. While it is being written there is none.
    pub fn set_common(&self, common: Option<Common>) {
        let counters = self.counters();
        counters.common_stream.store(0, Ordering::SeqCst);
        let Some(common) = common else { return };
        counters.common_at.store(common.at, Ordering::SeqCst);
        counters.common_sender.store(common.sender.into(), Ordering::SeqCst);
        counters.common_stream.store(common.stream, Ordering::SeqCst);
    }

    /// How far the stream that is issued is common, if the other copy has confirmed its beginning.
    pub fn common_sent(&self) -> Option<Common> {
        let counters = self.counters();
        let at = counters.received.load(Ordering::SeqCst);
        let begun = at > counters.before_first.load(Ordering::SeqCst);
        (self.stream() != 0 && begun).then(|| Common { stream: self.stream(), at, sender: true })
    }

    /// How far the stream that is received is common.
    pub fn common_received(&self) -> Option<Common> {
        let counters = self.counters();
        let (stream, at) = (counters.applied_stream.load(Ordering::SeqCst), counters.applied.load(Ordering::SeqCst));
        (stream != 0).then_some(Common { stream, at, sender: false })
    }

    /// The received stream isn't gone on with. What was applied of it stays common.
    pub fn leave_received(&self) {
        if let Some(common) = self.common_received() {
            self.set_common(Some(common));
        }
        self.counters().applied_stream.store(0, Ordering::SeqCst);
    }

    /// Directory and file of each frame that isn't confirmed.
    pub fn unconfirmed(&self) -> HashSet<(u16, u64)> {
        let _lock = self.lock();
        self.files_between(self.counters().tail.load(Ordering::SeqCst), self.head())
    }

    fn files_between(&self, mut position: u64, head: u64) -> HashSet<(u16, u64)> {
        let mut files = HashSet::new();
        while position < head {
            let Some(header) = self.header_at(position) else { break };
            files.insert((header.place().dir, header.id()));
            position += header.frame_len() as u64;
        }
        files
    }

    /// The memory file, for the keeper.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The numbers beside the frames.
    pub fn counters(&self) -> &Counters {
        // SAFETY: the first page holds nothing but these atomics and lives as long as the ring.
        unsafe { &*self.counters.cast::<Counters>() }
    }

    /// The stream that is issued, 0 for none.
    pub fn stream(&self) -> u64 {
        self.counters().stream.load(Ordering::SeqCst)
    }

    /// The last sequence given out.
    pub fn last(&self) -> u64 {
        self.counters().last.load(Ordering::SeqCst)
    }

    /// Where the next frame will begin.
    pub fn head(&self) -> u64 {
        self.counters().head.load(Ordering::SeqCst)
    }

    /// How many bytes of frames are kept.
    pub fn used(&self) -> usize {
        (self.head() - self.counters().tail.load(Ordering::SeqCst)) as usize
    }

    /// Room left, in bytes.
    pub fn free(&self) -> usize {
        self.capacity - self.used()
    }

    /// All room, in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends a frame under the next sequence, which `mark` gets before anybody can see the frame.
    pub fn append(&self, frame: &Encoded<'_>, dir: u16, is_fence: bool, mark: Option<&AtomicU64>) -> Result<u64, Full> {
        let _lock = self.lock();
        let counters = self.counters();
        let len = frame.len();
        if self.free() < len {
            return Err(Full);
        }
        let seq = self.last() + 1;
        let place = Place { dir, seq, fence: counters.fence.load(Ordering::Relaxed) };
        let head = self.head();
        // SAFETY: `free` bytes from `head` on belong to nobody, and the lock makes this the only writer.
        frame.write(place, unsafe { std::slice::from_raw_parts_mut(self.at(head), len) });
        if is_fence {
            counters.fence.store(seq, Ordering::Relaxed);
        }
        if let Some(mark) = mark {
            mark.store(seq, Ordering::Release);
        }
        counters.head.store(head + len as u64, Ordering::SeqCst);
        counters.last.store(seq, Ordering::SeqCst);
        Ok(seq)
    }

    /// Gives out a sequence with no frame: nobody follows.
    pub fn skip(&self, mark: Option<&AtomicU64>) -> u64 {
        let _lock = self.lock();
        let seq = self.last() + 1;
        if let Some(mark) = mark {
            mark.store(seq, Ordering::Release);
        }
        self.counters().last.store(seq, Ordering::SeqCst);
        seq
    }

    /// For an operation that nobody follows and that needs no number: what `mark` gets is given out already.
    pub fn unnumbered(&self, mark: Option<&AtomicU64>) -> u64 {
        let last = self.last();
        if let Some(mark) = mark {
            mark.store(last, Ordering::Release);
        }
        last
    }

    /// Drops all frames and begins another stream; its first frame is the next one. Nobody may be reading [`Ring::bytes`]. Says which
    /// files the dropped frames were about.
    pub fn restart(&self, stream: u64) -> HashSet<(u16, u64)> {
        let _lock = self.lock();
        let counters = self.counters();
        counters.stream.store(0, Ordering::SeqCst);
        let dropped = self.files_between(counters.tail.load(Ordering::SeqCst), self.head());
        let last = counters.last.load(Ordering::SeqCst);
        counters.tail.store(counters.head.load(Ordering::SeqCst), Ordering::SeqCst);
        let known = [&counters.received, &counters.fulfilled, &counters.peer_durable, &counters.fence];
        known.into_iter().chain([&counters.before_first]).for_each(|counter| counter.store(last, Ordering::SeqCst));
        counters.sending_sync.store(0, Ordering::SeqCst);
        counters.stream.store(stream, Ordering::SeqCst);
        dropped
    }

    /// The frames from `from` (a position between beginning and end) to `to`.
    pub fn bytes(&self, from: u64, to: u64) -> &[u8] {
        debug_assert!(to - from <= self.capacity as u64);
        // SAFETY: between `tail` and `head` nobody writes; the caller sees to it that `from` isn't freed meanwhile.
        unsafe { std::slice::from_raw_parts(self.at(from), (to - from) as usize) }
    }

    /// Where the first frame between two positions begins whose payload is at least so long, and its sequence and length; none: there is none.
    pub(super) fn first_long(&self, mut from: u64, to: u64, long: usize) -> Option<(u64, u64, u64)> {
        while from < to {
            let header = self.header_at(from)?;
            if header.payload_len() >= long {
                return Some((from, header.place().seq, header.frame_len() as u64));
            }
            from += header.frame_len() as u64;
        }
        None
    }

    /// Frees all frames up to `seq`, but nothing from position `sent` on (what wasn't sent can't have been received).
    pub fn release(&self, seq: u64, sent: u64) {
        let counters = self.counters();
        let mut tail = counters.tail.load(Ordering::SeqCst);
        while tail < sent {
            let Some(header) = self.header_at(tail).filter(|header| header.place().seq <= seq) else { break };
            tail += header.frame_len() as u64;
        }
        counters.tail.store(tail, Ordering::SeqCst);
    }

    /// Where the frame after `seq` begins: to go on with a receiver that applied `seq`. `None` when it isn't here any more, or
    /// was never given out.
    pub fn position_after(&self, seq: u64) -> Option<u64> {
        let mut position = self.counters().tail.load(Ordering::SeqCst);
        let head = self.head();
        let first = if position < head { self.header_at(position)?.place().seq } else { self.last() + 1 };
        if seq + 1 < first || seq > self.last() {
            return None;
        }
        while position < head {
            let header = self.header_at(position)?;
            if header.place().seq > seq {
                break;
            }
            position += header.frame_len() as u64;
        }
        Some(position)
    }

    /// Where the stream begins, if nothing of it was ever acknowledged.
    pub fn untouched(&self) -> Option<u64> {
        let counters = self.counters();
        let none = counters.received.load(Ordering::SeqCst) == counters.before_first.load(Ordering::SeqCst);
        (self.stream() != 0 && none).then(|| counters.tail.load(Ordering::SeqCst))
    }

    /// Remembers that this file lost its last name here: operations on it that were under way mean nothing.
    pub fn bury(&self, id: u64) {
        let counters = self.counters();
        let next = counters.dead_next.fetch_add(1, Ordering::SeqCst);
        counters.dead[next as usize % DEAD].store(id, Ordering::SeqCst);
    }

    /// Did this file lose its last name here lately?
    pub fn is_buried(&self, id: u64) -> bool {
        self.counters().dead.iter().any(|dead| dead.load(Ordering::SeqCst) == id)
    }

    fn header_at(&self, position: u64) -> Option<Header> {
        // SAFETY: a frame begins there, written before `head` moved over it.
        let bytes = unsafe { std::slice::from_raw_parts(self.at(position), HEADER_LEN) };
        Header::decode(bytes).ok().flatten()
    }

    fn at(&self, position: u64) -> *mut u8 {
        // SAFETY: the offset is below the capacity, and a frame of at most `capacity` bytes fits into the second half.
        unsafe { self.data.add(position as usize & (self.capacity - 1)) }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.append.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn map(file: &OwnedFd, offset: usize, len: usize, at: *mut u8, flags: i32) -> Result<*mut u8, RingError> {
    map_raw(file.as_raw_fd(), offset, len, at, libc::PROT_READ | libc::PROT_WRITE, flags)
}

fn map_raw(fd: i32, offset: usize, len: usize, at: *mut u8, prot: i32, flags: i32) -> Result<*mut u8, RingError> {
    // SAFETY: new addresses, or (MAP_FIXED) addresses that `Ring::map` reserved.
    let got = unsafe { libc::mmap(at.cast(), len, prot, flags, fd, offset as libc::off_t) };
    if got == libc::MAP_FAILED {
        return Err(RingError::Memory { what: "mapped", source: io::Error::last_os_error() });
    }
    Ok(got.cast())
}

/// A second descriptor of the same memory file.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the new descriptor belongs to nobody else.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) } {
        -1 => Err(io::Error::last_os_error()),
        new => Ok(unsafe { OwnedFd::from_raw_fd(new) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_wire::frame::Body;
    use proptest::prelude::*;

    fn write(len: usize) -> Vec<u8> {
        vec![0xA5; len]
    }

    fn append(ring: &Ring, len: usize) -> Result<u64, Full> {
        let data = write(len);
        ring.append(&Body::Write { id: 5, offset: 0, data: &data }.encode(), 0, false, None)
    }

    fn sequences(ring: &Ring, from: u64) -> Vec<u64> {
        let (mut rest, mut found) = (ring.bytes(from, ring.head()), Vec::new());
        while let Some(header) = Header::decode(rest).unwrap() {
            Body::decode(&header, &rest[HEADER_LEN..header.frame_len()]).unwrap();
            found.push(header.place().seq);
            rest = &rest[header.frame_len()..];
        }
        found
    }

    #[test]
    fn a_successor_finds_all_frames_and_goes_on() {
        let ring = Ring::create(1 << 16).unwrap();
        ring.restart(99);
        for _ in 0..5 {
            append(&ring, 100).unwrap();
        }
        ring.release(2, ring.head());
        let successor = Ring::attach(duplicate(ring.file()).unwrap()).unwrap();
        drop(ring);
        assert_eq!((successor.stream(), successor.last()), (99, 5));
        assert_eq!(sequences(&successor, successor.position_after(2).unwrap()), [3, 4, 5]);
        assert_eq!(append(&successor, 1), Ok(6));
    }

    #[test]
    fn a_death_between_publishing_and_counting_is_repaired() {
        let ring = Ring::create(1 << 16).unwrap();
        append(&ring, 10).unwrap();
        append(&ring, 10).unwrap();
        ring.counters().last.store(1, Ordering::SeqCst);
        assert_eq!(Ring::attach(duplicate(ring.file()).unwrap()).unwrap().last(), 2);
    }

    #[test]
    fn marks_are_written_before_the_frame_can_be_seen() {
        let ring = Ring::create(1 << 16).unwrap();
        let mark = AtomicU64::new(0);
        let seq = ring.append(&Body::Barrier { id: 1 }.encode(), 0, false, Some(&mark)).unwrap();
        assert_eq!((seq, mark.load(Ordering::Acquire)), (1, 1));
        assert_eq!((ring.skip(Some(&mark)), mark.load(Ordering::Acquire)), (2, 2));
    }

    #[test]
    fn only_what_is_here_can_be_sent_again() {
        let ring = Ring::create(1 << 16).unwrap();
        for _ in 0..4 {
            append(&ring, 10).unwrap();
        }
        ring.release(2, ring.head());
        assert_eq!(ring.position_after(1), None, "frame 2 is gone");
        assert!(ring.position_after(2).is_some());
        assert_eq!(ring.position_after(4), Some(ring.head()));
        assert_eq!(ring.position_after(5), None, "never given out");
    }

    #[test]
    fn something_else_is_no_ring() {
        let other = rustix::fs::memfd_create(c"x", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&other, (PAGE * 2) as u64).unwrap();
        rustix::io::pwrite(&other, b"something", 0).unwrap();
        assert!(matches!(Ring::attach(other), Err(RingError::Foreign)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Any mix of appending and freeing: the frames between are whole and in order, also over the end.
        #[test]
        fn frames_are_whole_over_the_end(steps in proptest::collection::vec((0usize..3000, any::<bool>()), 1..200)) {
            let ring = Ring::create(1 << 13).unwrap();
            let (mut oldest, mut newest) = (1, 0);
            for (len, free) in steps {
                if free && oldest <= newest {
                    ring.release(oldest, ring.head());
                    oldest += 1;
                }
                let fits = ring.free() >= len + HEADER_LEN;
                let done = append(&ring, len);
                prop_assert_eq!(done.is_ok(), fits);
                newest += u64::from(fits);
                let from = ring.position_after(oldest - 1).unwrap();
                prop_assert_eq!(sequences(&ring, from), (oldest..=newest).collect::<Vec<_>>());
            }
        }
    }
}
