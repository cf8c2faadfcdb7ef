//! The primary's half: listing, comparing, copying. One thread.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hf_replica::engine::{EngineEvent, SYNC_NAMED, SyncCount, Unknown};
use hf_replica::ladder::Step;
use hf_types::Seq;
use hf_wire::frame::{Body, DATA_MAX, DIGEST_LEN, Entries, Entry, KNOWN, PAYLOAD_MAX, push_entry};

use super::pace::Pace;
use super::pool::{Pending, Zones};
use super::{is_gone, meta, present};
use crate::backing::{Backing, Name};
use crate::link::Link;
use crate::pipeline::FileId;

const ZONE: u64 = DATA_MAX as u64;
/// Zones asked for in one frame.
const ASK: u64 = 8;
/// Zones whose digests are awaited at most.
const WINDOW: u64 = 64;
const PROGRESS: Duration = Duration::from_millis(500);
/// Runs of zeros of this length become holes there.
const GRAIN: usize = 64 << 10;

/// What a synchronisation is told.
#[derive(Clone, Copy, Debug)]
pub struct SyncOptions {
    /// `reiallowedbw`, in bytes a second; none: as fast as it goes.
    pub bandwidth: Option<u64>,
    /// What may be left unread.
    pub step: Step,
}

/// Why it can't go on.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{0}")]
    Ended(String),
    #[error("file {0} is not on the other copy any more")]
    Lost(u64),
}

/// Begins a stream and a synchronisation on a thread of its own, which ends by itself with [`EngineEvent::SyncSent`] or
/// [`EngineEvent::SyncFailed`]. The one that ran before must have ended.
pub fn start(link: &Arc<Link>, stream: u64, options: SyncOptions) -> io::Result<std::thread::JoinHandle<()>> {
    link.add_readers()?;
    link.begin_stream(stream, options.step.common);
    let link = link.clone();
    std::thread::Builder::new().name("hf-walk".into()).spawn(move || {
        let mut walk = Walk {
            link: &link,
            options,
            count: SyncCount::default(),
            began: Instant::now(),
            pace: Pace::new(options.bandwidth),
            told: Instant::now(),
            asked: VecDeque::new(),
            to_read: VecDeque::new(),
            reading: HashMap::new(),
            named: 0,
            awaited: 0,
            answered: Instant::now(),
            buffer: vec![0; DATA_MAX],
        };
        match walk.run() {
            Ok(seq) => {
                let count = walk.counted();
                link.report(EngineEvent::SyncSent { seq: Seq(seq), count });
            }
            Err(error) => {
                link.bound.close();
                link.report(EngineEvent::SyncFailed { why: error.to_string() });
            }
        }
    })
}

/// Digests that were asked for; answers come in the same order.
struct Asked {
    id: FileId,
    first: u64,
    count: u64,
    last: bool,
    what: Wanted,
}

enum Wanted {
    /// The other copy's digests, to be compared with ours, which are being computed.
    Digests(Pending),
    /// Whether the content is known to be equal; the file's size.
    Known(u64),
}

struct Walk<'a> {
    link: &'a Arc<Link>,
    options: SyncOptions,
    count: SyncCount,
    began: Instant,
    pace: Pace,
    told: Instant,
    asked: VecDeque<Asked>,
    /// Files that are not known to be equal after all.
    to_read: VecDeque<FileId>,
    /// Files that are being read: why, and how much of them was sent.
    reading: HashMap<u64, (Unknown, u64)>,
    named: u64,
    awaited: u64,
    /// When an answer came last, or the first one was asked for.
    answered: Instant,
    buffer: Vec<u8>,
}

fn at(what: &'static str) -> impl Fn(io::Error) -> SyncError {
    move |source| SyncError::Io { what, source }
}

impl Walk<'_> {
    fn run(&mut self) -> Result<u64, SyncError> {
        loop {
            for dir in 0..self.link.dirs.len() as u16 {
                self.list_all(dir)?;
            }
            for dir in 0..self.link.dirs.len() as u16 {
                self.compare_all(dir)?;
            }
            if let Some(seq) = self.try_to_end()? {
                return Ok(seq);
            }
        }
    }

    fn backing(&self, dir: u16) -> &Backing {
        &self.link.dirs[usize::from(dir)].backing
    }

    fn check(&mut self) -> Result<(), SyncError> {
        if let Some(why) = self.link.bound.failure() {
            return Err(SyncError::Ended(why));
        }
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            self.link.report(EngineEvent::SyncProgress(self.counted()));
        }
        Ok(())
    }

    fn counted(&self) -> SyncCount {
        SyncCount { elapsed_ms: self.began.elapsed().as_millis() as u64, ..self.count }
    }

    fn append(&self, dir: u16, body: &Body<'_>) -> Result<u64, SyncError> {
        self.link
            .append_of_sync(dir, body)
            .ok_or_else(|| SyncError::Ended("no room for unacknowledged operations".into()))
    }

    /// Waits until `bytes` more leave the applications their room. With no lock held.
    fn wait_for_room(&mut self, bytes: usize) -> Result<(), SyncError> {
        let wanted = (self.link.reserve() + bytes).min(self.link.ring.capacity());
        while self.link.ring.free() < wanted {
            self.check()?;
            std::thread::sleep(Duration::from_micros(200));
        }
        self.check()
    }

    fn list_all(&mut self, dir: u16) -> Result<(), SyncError> {
        while let Some(id) = self.link.bound.next_to_list(dir) {
            self.wait_for_room(4 * PAYLOAD_MAX)?;
            self.list(dir, FileId(id))?;
        }
        Ok(())
    }

    /// One directory, under the names' lock. A directory larger than the room waits for it with the lock held: names stand
    /// still meanwhile, and nobody who makes room needs that lock.
    fn list(&mut self, dir: u16, id: FileId) -> Result<(), SyncError> {
        let link = self.link;
        let _names = link.dirs[usize::from(dir)].order.read_names();
        let backing = self.backing(dir);
        let (names, node) = match backing.list(id).and_then(|names| Ok((names, backing.node(id)?))) {
            Err(error) if is_gone(&error) => {
                link.bound.vanished(dir, id.0);
                return Ok(());
            }
            other => other.map_err(at("listing a directory"))?,
        };
        let (mut first, mut part, mut found) = (true, Vec::new(), Vec::with_capacity(names.len()));
        for name in names {
            let name = Name::new(&name.name).map_err(at("a name"))?;
            let entry = self.backing(dir).lookup_in(&node, &name).map_err(at("looking at a file"))?;
            let kind = entry.kind();
            let target = match kind {
                libc::S_IFLNK => self.backing(dir).read_link(entry.id).map_err(at("reading a symbolic link"))?,
                _ => Vec::new(),
            };
            let rdev = if matches!(kind, libc::S_IFBLK | libc::S_IFCHR) { entry.stat.st_rdev } else { 0 };
            push_entry(&mut part, &Entry { name: name.as_bytes(), id: entry.id.0, kind, rdev, target: &target });
            found.push((entry.id.0, kind, entry.stat.st_size as u64));
            if part.len() > DATA_MAX {
                self.wait_for_room(PAYLOAD_MAX)?;
                self.send_list(dir, id, first, false, &part)?;
                first = false;
                part.clear();
            }
        }
        self.send_list(dir, id, first, true, &part)?;
        let (files, bytes) = link.bound.listed(dir, id.0, &found);
        self.count.files_total += files;
        self.count.bytes_total += bytes;
        Ok(())
    }

    fn send_list(&self, dir: u16, id: FileId, first: bool, last: bool, part: &[u8]) -> Result<(), SyncError> {
        let entries = Entries::check(part).map_err(|what| SyncError::Ended(what.into()))?;
        self.append(dir, &Body::List { id: id.0, first, last, entries }).map(|_| ())
    }

    fn compare_all(&mut self, dir: u16) -> Result<(), SyncError> {
        loop {
            self.check()?;
            if self.awaited >= WINDOW {
                self.take_answer(dir)?;
                continue;
            }
            if let Some(id) = self.to_read.pop_front() {
                self.compare(dir, id)?;
                continue;
            }
            match self.link.bound.next_to_compare(dir) {
                Some((id, libc::S_IFREG)) => self.ask_or_compare(dir, FileId(id))?,
                Some((id, _)) => self.send_meta(dir, FileId(id))?,
                None if self.asked.is_empty() => return Ok(()),
                None => self.take_answer(dir)?,
            }
        }
    }

    /// Asks first whether it needs to be read, if there is anything to be known.
    fn ask_or_compare(&mut self, dir: u16, id: FileId) -> Result<(), SyncError> {
        let step = self.options.step;
        if step.common.is_none() && step.before_s.is_none() {
            self.reading.insert(id.0, (Unknown::Differs, 0));
            return self.compare(dir, id);
        }
        self.wait_for_room(PAYLOAD_MAX)?;
        let link = self.link;
        // Under the file's lock: nobody is between carrying something out and clearing the mark.
        let file = link.dirs[usize::from(dir)].order.file(id);
        let Some(stat) = self.present(dir, id)? else {
            drop(file);
            return self.done(0);
        };
        let marked = step.common.is_some() && link.is_same(dir, id);
        let before_s = step.before_s.filter(|before| stat.st_mtime < *before);
        if !marked && before_s.is_none() {
            drop(file);
            self.reading.insert(id.0, (Unknown::Here, 0));
            return self.compare(dir, id);
        }
        let (size, mtime_s) = (stat.st_size as u64, stat.st_mtime);
        let before_s = before_s.unwrap_or(i64::MIN);
        self.append(dir, &Body::AskKnown { id: id.0, marked, size, mtime_s, before_s })?;
        drop(file);
        self.begin_waiting();
        self.asked.push_back(Asked { id, first: KNOWN, count: 1, last: true, what: Wanted::Known(size) });
        self.awaited += 1;
        Ok(())
    }

    /// The answer to that.
    fn take_known(&mut self, dir: u16, id: FileId, size: u64, known: bool) -> Result<(), SyncError> {
        if !known {
            self.reading.insert(id.0, (Unknown::There, 0));
            self.to_read.push_back(id);
            return Ok(());
        }
        self.count.files_known += 1;
        self.count.bytes_known += size;
        self.count.bytes_done = (self.count.bytes_done + size).min(self.count.bytes_total);
        self.finish(dir, id)
    }

    /// Sends a file's size and asks for the digests of its zones.
    fn compare(&mut self, dir: u16, id: FileId) -> Result<(), SyncError> {
        self.wait_for_room(PAYLOAD_MAX)?;
        let link = self.link;
        let size = {
            let _file = link.dirs[usize::from(dir)].order.file(id);
            let Some(stat) = self.present(dir, id)? else {
                self.reading.remove(&id.0);
                return self.done(0);
            };
            let size = stat.st_size as u64;
            self.append(dir, &Body::Truncate { id: id.0, size })?;
            size
        };
        let zones = size.div_ceil(ZONE);
        if zones == 0 {
            return self.finish(dir, id);
        }
        for first in (0..zones).step_by(ASK as usize) {
            let count = ASK.min(zones - first);
            while self.awaited >= WINDOW {
                self.take_answer(dir)?;
            }
            self.append(dir, &Body::AskDigests { id: id.0, first, count: count as u32 })?;
            let ours = Wanted::Digests(self.link.pool.ask(Zones { dir, id, first, count }));
            self.begin_waiting();
            self.asked.push_back(Asked { id, first, count, last: first + count == zones, what: ours });
            self.awaited += count;
        }
        Ok(())
    }

    /// The file's attributes; none when it has no name any more.
    fn present(&self, dir: u16, id: FileId) -> Result<Option<crate::backing::Stat>, SyncError> {
        present(self.backing(dir), id).map_err(at("reading attributes"))
    }

    fn done(&mut self, bytes: u64) -> Result<(), SyncError> {
        self.count.files_done += 1;
        // Files that came to be while it ran are compared, too.
        self.count.files_total = self.count.files_total.max(self.count.files_done);
        self.count.bytes_done += bytes;
        Ok(())
    }

    fn finish(&mut self, dir: u16, id: FileId) -> Result<(), SyncError> {
        self.send_meta(dir, id)?;
        self.name(dir, id);
        self.done(0)
    }

    /// Says why it was read, of the first files.
    fn name(&mut self, dir: u16, id: FileId) {
        let Some((why, sent)) = self.reading.remove(&id.0) else { return };
        if sent > 0 && self.link.options.tuning.detail() {
            let path = path_of(self.backing(dir), id).unwrap_or_else(|| format!("file {id}"));
            self.link.report(EngineEvent::SyncFile { dir, path, bytes: sent });
        }
        if self.named >= SYNC_NAMED || (why == Unknown::Differs && sent == 0) {
            return;
        }
        self.named += 1;
        let path = path_of(self.backing(dir), id).unwrap_or_else(|| format!("file {id}"));
        self.link.report(EngineEvent::SyncRead { path, why, sent });
    }

    /// A first question: from now on an answer is waited for.
    fn begin_waiting(&mut self) {
        if self.asked.is_empty() {
            self.answered = Instant::now();
        }
    }

    /// Nothing came for a moment: not for too long?
    fn unanswered(&mut self) -> Result<(), SyncError> {
        self.check()?;
        let limit = self.link.options.tuning.answer_timeout();
        if self.answered.elapsed() < limit {
            return Ok(());
        }
        let seconds = limit.as_secs();
        Err(SyncError::Ended(format!("the other copy gave no answer for {seconds} s (reitimeout)")))
    }

    fn take_answer(&mut self, dir: u16) -> Result<(), SyncError> {
        let Some((id, first, digests)) = self.link.replies.take(PROGRESS) else { return self.unanswered() };
        self.answered = Instant::now();
        let Some(asked) = self.asked.pop_front() else { return Ok(()) };
        if (asked.id.0, asked.first) != (id, first) {
            return Err(SyncError::Ended("the other copy answered another question".into()));
        }
        self.awaited -= asked.count;
        let ours = match asked.what {
            Wanted::Known(size) => return self.take_known(dir, asked.id, size, !digests.is_empty()),
            Wanted::Digests(ours) => ours,
        };
        if digests.len() < asked.count as usize * DIGEST_LEN {
            return match self.present(dir, asked.id)? {
                None => Ok(()),
                Some(_) => Err(SyncError::Lost(id)),
            };
        }
        let ours = loop {
            match ours.take(PROGRESS) {
                Some(ours) => break ours,
                None => self.check()?,
            }
        };
        let both = ours.digests.chunks(DIGEST_LEN).zip(digests.chunks(DIGEST_LEN));
        for (zone, (ours, theirs)) in (asked.first..).zip(both) {
            if ours != theirs {
                self.copy(dir, asked.id, zone)?;
            }
            self.count.bytes_done += ZONE;
            self.check()?;
        }
        self.count.bytes_done = self.count.bytes_done.min(self.count.bytes_total);
        match ours.error {
            Some(error) if is_gone(&error) => return Ok(()),
            Some(error) => return Err(at("reading a file")(error)),
            None => {}
        }
        if asked.last { self.finish(dir, asked.id) } else { Ok(()) }
    }

    /// Reads a zone and appends it, under the file's lock: it has its place among the writes.
    fn copy(&mut self, dir: u16, id: FileId, zone: u64) -> Result<(), SyncError> {
        self.wait_for_room(PAYLOAD_MAX * 2)?;
        std::thread::sleep(self.pace.due(Instant::now()));
        let link = self.link;
        let _file = link.dirs[usize::from(dir)].order.file(id);
        if self.present(dir, id)?.is_none() {
            return Ok(());
        }
        let start = zone * ZONE;
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.backing(dir).read(id, start, &mut buffer);
        let sent = read.map_err(at("reading a file")).and_then(|len| self.send_zone(dir, id, start, &buffer[..len]));
        self.buffer = buffer;
        let sent = sent?;
        self.count.bytes_sent += sent;
        self.pace.charge(Instant::now(), sent);
        if let Some((_, of_file)) = self.reading.get_mut(&id.0) {
            *of_file += sent;
        }
        Ok(())
    }

    /// Data as writes, long runs of zeros as holes.
    fn send_zone(&self, dir: u16, id: FileId, start: u64, data: &[u8]) -> Result<u64, SyncError> {
        let (mut from, mut sent) = (0, 0);
        while from < data.len() {
            let is_hole = is_zero(&data[from..(from + GRAIN).min(data.len())]);
            let mut to = from;
            while to < data.len() && is_zero(&data[to..(to + GRAIN).min(data.len())]) == is_hole {
                to = (to + GRAIN).min(data.len());
            }
            let offset = start + from as u64;
            if is_hole {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                self.append(dir, &Body::Allocate { id: id.0, mode, offset, len: (to - from) as u64 })?;
            } else {
                self.append(dir, &Body::Write { id: id.0, offset, data: &data[from..to] })?;
                sent += (to - from) as u64;
            }
            from = to;
        }
        Ok(sent)
    }

    fn send_meta(&mut self, dir: u16, id: FileId) -> Result<(), SyncError> {
        self.wait_for_room(PAYLOAD_MAX)?;
        let link = self.link;
        let order = &link.dirs[usize::from(dir)].order;
        let _names = order.read_names();
        let _file = order.file(id);
        if self.present(dir, id)?.is_none() {
            return Ok(());
        }
        let meta = meta::read(self.backing(dir), id).map_err(at("reading attributes"))?;
        // Before the frame that sets it there: what drops that frame clears this mark (`link::common`).
        link.mark_same(dir, id);
        let sent = self.append(dir, &Body::Meta { id: id.0, meta: meta.as_meta() });
        if sent.is_err() {
            link.clear_same(dir, id);
        }
        sent.map(|_| ())
    }

    /// Under the locks of all names: when nothing is left, everything is sent from now on.
    fn try_to_end(&mut self) -> Result<Option<u64>, SyncError> {
        self.wait_for_room(PAYLOAD_MAX)?;
        let link = self.link;
        let _names: Vec<_> = link.dirs.iter().map(|dir| dir.order.change_names()).collect();
        if !link.bound.is_done() {
            return Ok(None);
        }
        let seq = self.append(0, &Body::Synced)?;
        self.check()?;
        link.complete_stream();
        Ok(Some(seq))
    }
}

/// For people only: one of its names, as the kernel remembers it.
fn path_of(backing: &Backing, id: FileId) -> Option<String> {
    let at = |fd: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok();
    let (root, node) = (at(backing.root())?, backing.node(id).ok()?);
    let path = at(node.as_fd())?;
    Some(path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
