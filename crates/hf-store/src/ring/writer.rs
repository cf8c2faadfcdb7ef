use super::layout::{HEADER, Header, MIN_SLOTS, PAYLOAD, SLOT, Slot};
use super::{Entry, RingError};
use hf_types::{LogLine, Resource};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that may wait for the writing thread.
const QUEUE: usize = 1024;
/// Longest text of a line in bytes; more is cut off.
const TEXT_MAX: usize = 8192;
/// After a power cut the header may be older than the slots and older than what the reader had: nobody writes that many
/// lines meanwhile.
const JUMP: u64 = 1 << 32;
/// How long dropping the writer waits for the last lines.
const FAREWELL: Duration = Duration::from_millis(300);

/// The writing end: one a process. Never waits; a line that finds the queue full is dropped, and its number is missing.
#[derive(Debug)]
pub struct RingWriter {
    queue: Option<SyncSender<(u64, Entry)>>,
    next_line: AtomicU64,
    dropped: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

impl RingWriter {
    /// Opens the ring at `path`, or makes one of `size` bytes, and starts its thread.
    ///
    /// # Errors
    /// [`RingError::Busy`] while another process writes it, [`RingError::Io`] for the rest.
    pub fn open(path: &Path, size: u64) -> Result<RingWriter, RingError> {
        RingWriter::open_with_bell(path, size, || {})
    }

    /// As [`RingWriter::open`]; `bell` is called by the thread after lines were written.
    pub fn open_with_bell(path: &Path, size: u64, bell: impl Fn() + Send + 'static) -> Result<RingWriter, RingError> {
        let (ring, next_line) = Ring::open(path, size)?;
        let (queue, lines) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("log-ring".to_owned())
            .spawn(move || write_lines(ring, &lines, &bell))
            .map_err(|source| error("start the thread of", path, source))?;
        Ok(RingWriter {
            queue: Some(queue),
            next_line: AtomicU64::new(next_line),
            dropped: AtomicU64::new(0),
            thread: Some(thread),
        })
    }

    /// Queues a line; false if it had to be dropped.
    pub fn write(&self, line: &LogLine) -> bool {
        self.queue(Entry::Line(line.clone()))
    }

    /// Queues a value that a resource took, for its history; `always`: also if it is the value that is stored last. False
    /// if it had to be dropped.
    pub fn write_resource(&self, resource: &Resource, always: bool) -> bool {
        self.queue(Entry::Resource { resource: resource.clone(), always })
    }

    fn queue(&self, entry: Entry) -> bool {
        let number = self.next_line.fetch_add(1, Ordering::Relaxed);
        let sent = self.queue.as_ref().is_some_and(|queue| queue.try_send((number, entry)).is_ok());
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// Lines dropped since the ring was opened.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for RingWriter {
    /// Gives the thread a moment for the last lines; a disk that hangs doesn't hold the process up.
    fn drop(&mut self) {
        self.queue = None;
        let deadline = Instant::now() + FAREWELL;
        while let Some(thread) = &self.thread
            && !thread.is_finished()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn write_lines(mut ring: Ring, lines: &Receiver<(u64, Entry)>, bell: &dyn Fn()) {
    while let Ok(first) = lines.recv() {
        for (number, line) in std::iter::once(first).chain(lines.try_iter()) {
            // A line that can't be written leaves a gap in the numbers, which the reader reports.
            if let Err(error) = ring.append(number, &line) {
                tracing::warn!(%error, path = %ring.path.display(), "log line lost");
            }
        }
        bell();
    }
}

struct Ring {
    path: PathBuf,
    file: File,
    header: Header,
}

impl Ring {
    /// The ring and the number of the next line.
    fn open(path: &Path, size: u64) -> Result<(Ring, u64), RingError> {
        let file = open_file(path).map_err(|source| error("open", path, source))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| RingError::Busy { path: path.to_owned() })?;
        let mut ring = match read_header(&file) {
            Some(header) => Ring { path: path.to_owned(), file, header },
            None => Ring::format(path, file, size)?,
        };
        let next_line = ring.recover().map_err(|source| error("recover", path, source))?;
        Ok((ring, next_line))
    }

    fn format(path: &Path, file: File, size: u64) -> Result<Ring, RingError> {
        let slots = (size.saturating_sub(HEADER) / SLOT as u64).max(MIN_SLOTS);
        let format = || -> io::Result<Header> {
            file.set_len(0)?;
            fallocate(&file, FallocateFlags::empty(), 0, HEADER + slots * SLOT as u64)?;
            let header = Header { ring: random()?, slots, published: 1, boot: boot_id() };
            file.write_all_at(&header.encode(), 0)?;
            Ok(header)
        };
        let header = format().map_err(|source| error("prepare", path, source))?;
        Ok(Ring { path: path.to_owned(), file, header })
    }

    /// Goes on behind everything that was ever written, also if the header lost its last change in a power cut.
    fn recover(&mut self) -> io::Result<u64> {
        let (mut seq, mut line) = (self.header.published, 0);
        let mut bytes = [0; SLOT];
        for place in 0..self.header.slots {
            self.file.read_exact_at(&mut bytes, HEADER + place * SLOT as u64)?;
            if let Some(slot) = Slot::decode(&bytes) {
                seq = seq.max(slot.seq + 1);
                line = line.max(slot.line);
            }
        }
        let boot = boot_id();
        if boot != self.header.boot {
            seq += JUMP;
        }
        self.header.boot = boot;
        self.publish(seq)?;
        Ok(line + 1)
    }

    fn append(&mut self, number: u64, entry: &Entry) -> io::Result<()> {
        let json = encode(entry)?;
        let parts: Vec<&[u8]> = json.chunks(PAYLOAD).collect();
        let mut seq = self.header.published;
        for (part, payload) in parts.iter().enumerate() {
            let slot = Slot {
                seq,
                line: number,
                part: u16::try_from(part).unwrap_or(u16::MAX), // TEXT_MAX keeps it far below
                parts: u16::try_from(parts.len()).unwrap_or(u16::MAX),
                payload: payload.to_vec(),
            };
            self.file.write_all_at(&slot.encode(), self.header.place(seq))?;
            seq += 1;
        }
        self.publish(seq)
    }

    fn publish(&mut self, seq: u64) -> io::Result<()> {
        self.header.published = seq;
        self.file.write_all_at(&self.header.encode(), 0)
    }
}

fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    match entry {
        Entry::Line(line) if line.text.len() > TEXT_MAX => {
            let mut cut = line.clone();
            cut.text.truncate(cut.text.floor_char_boundary(TEXT_MAX - 16));
            cut.text.push_str(" (cut off)");
            Ok(serde_json::to_vec(&Entry::Line(cut))?)
        }
        entry => Ok(serde_json::to_vec(entry)?),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)
}

pub(super) fn read_header(file: &File) -> Option<Header> {
    let mut bytes = Header::empty_buffer();
    file.read_exact_at(&mut bytes, 0).ok()?;
    let header = Header::decode(&bytes)?;
    let length = file.metadata().ok()?.len();
    let fits = header.slots.checked_mul(SLOT as u64).is_some_and(|bytes| bytes + HEADER <= length);
    (header.slots >= MIN_SLOTS && fits).then_some(header)
}

pub(super) fn error(what: &'static str, path: &Path, source: io::Error) -> RingError {
    RingError::Io { what, path: path.to_owned(), source }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}

/// Zeros where the kernel doesn't say: then every opening counts as the same boot, and only the jump is missing.
fn boot_id() -> [u8; 36] {
    std::fs::read("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| text.first_chunk().copied())
        .unwrap_or([0; 36])
}
