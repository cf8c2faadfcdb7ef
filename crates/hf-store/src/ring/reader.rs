use super::layout::{Header, SLOT, Slot};
use super::writer::{error, read_header};
use super::{Entry, RingError};
use hf_types::{LogLine, Resource};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const HEADER_TRIES: usize = 16;

/// How far a ring was read; kept beside the lines, in the same transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingPosition {
    /// Which ring (the file may have been replaced).
    pub ring: u64,
    /// The next slot's sequence.
    pub seq: u64,
    /// Number of the last line read; 0: none yet, and then nothing counts as missing.
    pub line: u64,
}

/// What one look at a ring gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RingBatch {
    pub lines: Vec<LogLine>,
    /// Values that resources took; with each, whether it is kept even if it is the value before.
    pub resources: Vec<(Resource, bool)>,
    /// Entries missing before or between these.
    pub lost: u64,
    pub position: RingPosition,
    /// More lines are there already.
    pub more: bool,
}

/// The reading end. It only reads: a position that is kept elsewhere makes it go on where it was.
#[derive(Debug)]
pub struct RingReader {
    path: PathBuf,
    file: File,
}

impl RingReader {
    /// # Errors
    /// [`RingError::Io`], of kind `NotFound` while no writer has made the ring.
    pub fn open(path: &Path) -> Result<RingReader, RingError> {
        let file = File::open(path).map_err(|source| error("open", path, source))?;
        Ok(RingReader { path: path.to_owned(), file })
    }

    /// The lines after `position`, about `max` of them at most.
    pub fn read(&self, position: RingPosition, max: usize) -> Result<RingBatch, RingError> {
        let header = self.header()?;
        let mut batch = Gather::start(&header, position);
        while batch.position.seq < header.published && batch.lines.len() + batch.resources.len() < max {
            batch.skip_what_never_was();
            self.step(&header, &mut batch).map_err(|source| error("read", &self.path, source))?;
        }
        Ok(batch.finish(header.published))
    }

    /// The writer may be changing the header just now: a torn one is read again.
    fn header(&self) -> Result<Header, RingError> {
        (0..HEADER_TRIES)
            .find_map(|_| read_header(&self.file))
            .ok_or_else(|| RingError::NoRing { path: self.path.clone() })
    }

    /// Reads one slot and goes on behind it, whatever it holds.
    fn step(&self, header: &Header, batch: &mut Gather) -> io::Result<()> {
        let seq = batch.position.seq;
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, header.place(seq))?;
        batch.position.seq += 1;
        match Slot::decode(&bytes).filter(|slot| slot.seq == seq) {
            Some(slot) => batch.take(slot),
            None => batch.partial.clear(),
        }
        Ok(())
    }
}

/// Puts lines together.
struct Gather {
    lines: Vec<LogLine>,
    resources: Vec<(Resource, bool)>,
    lost: u64,
    position: RingPosition,
    partial: Vec<Slot>,
    /// Where `partial` began: an unfinished line is read again next time.
    partial_from: u64,
    /// The oldest that can be there by its number.
    oldest: u64,
    /// Behind what can still be there from before the writer's jump over numbers, at the first opening of another boot.
    before_jump: u64,
}

impl Gather {
    fn start(header: &Header, position: RingPosition) -> Gather {
        let oldest = header.published.saturating_sub(header.slots).max(1);
        let known = position.ring == header.ring;
        Gather {
            lines: Vec::new(),
            resources: Vec::new(),
            lost: 0,
            position: RingPosition {
                ring: header.ring,
                seq: if known { position.seq } else { oldest },
                line: if known { position.line } else { 0 },
            },
            partial: Vec::new(),
            partial_from: 0,
            oldest,
            before_jump: position.seq.saturating_add(header.slots),
        }
    }

    /// What was written before the jump, and not read, is still in its places.
    fn skip_what_never_was(&mut self) {
        if self.position.seq >= self.before_jump {
            self.position.seq = self.position.seq.max(self.oldest);
        }
    }

    fn take(&mut self, slot: Slot) {
        if slot.part == 0 {
            self.partial.clear();
            self.partial_from = slot.seq;
        }
        let follows = usize::from(slot.part) == self.partial.len()
            && self.partial.first().is_none_or(|first| first.line == slot.line);
        if !follows {
            self.partial.clear();
            return;
        }
        let (line, whole) = (slot.line, slot.part + 1 == slot.parts);
        self.partial.push(slot);
        if whole {
            self.complete(line);
        }
    }

    fn complete(&mut self, number: u64) {
        let bytes: Vec<u8> = self.partial.drain(..).flat_map(|slot| slot.payload).collect();
        // A line of a later version that can't be read here counts as lost with the next one.
        let Ok(entry) = serde_json::from_slice(&bytes) else {
            return;
        };
        if self.position.line > 0 {
            self.lost += number.saturating_sub(self.position.line + 1);
        }
        self.position.line = self.position.line.max(number);
        match entry {
            Entry::Line(line) => self.lines.push(line),
            Entry::Resource { resource, always } => self.resources.push((resource, always)),
        }
    }

    fn finish(mut self, published: u64) -> RingBatch {
        if !self.partial.is_empty() {
            self.position.seq = self.partial_from;
        }
        RingBatch {
            more: self.partial.is_empty() && self.position.seq < published,
            lines: self.lines,
            resources: self.resources,
            lost: self.lost,
            position: self.position,
        }
    }
}
