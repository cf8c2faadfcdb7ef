//! The record of a replicated directory: `<backing>.hold/record`, two slots in a file that was allocated when it was made.
//!
//! ```text
//! slot 0 at 0, slot 1 at 8192, each of 8192 bytes:
//! 0 magic "HFREC1\0\0"   8 generation counter (u64)   16 length (u32)   20 CRC-32C of bytes 8..20 and of the text (u32)   24 JSON
//! ```
//! A write goes to the slot that doesn't hold the newest record, in place, and is synced before anybody is told. So a torn write
//! leaves the record before it, and a full disk can't keep us from writing "outdated". (A file system that never writes in
//! place, such as Btrfs, needs room for one block all the same.) The counter grows with each write; the valid slot with the
//! larger one counts. Records decide who may start (P5): a file without a valid slot is an error, never a new record.
//!
//! Version 1: this. Fields of the JSON may be added with a default.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hf_types::Record;

const MAGIC: &[u8; 8] = b"HFREC1\0\0";
const SLOT: usize = 8192;
const HEAD: usize = 24;

/// Why a record can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the record {path} can't be {what}")]
    File { path: PathBuf, what: &'static str, source: io::Error },
    #[error(
        "the record {path} is damaged in both slots: this copy's history is unknown; restore the file, or remove it to have this copy compared in full with the other one"
    )]
    Damaged { path: PathBuf },
    #[error("the record {path} doesn't fit into its slot ({len} bytes)")]
    TooLong { path: PathBuf, len: usize },
    #[error(
        "an earlier write of the record {path} failed: what is on the disk is unknown until the module is started again"
    )]
    Distrusted { path: PathBuf },
}

/// The open file of one directory's record.
pub struct RecordFile {
    path: PathBuf,
    file: File,
    counter: u64,
    current: Record,
    trusted: bool,
}

impl RecordFile {
    /// Opens `<control>/record`; makes it with a new record of this `identity` when there is none. `control` is made 0700.
    pub fn open(control: &Path, identity: u64) -> Result<RecordFile, RecordError> {
        let path = control.join("record");
        match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => RecordFile::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => RecordFile::create(control, path, identity),
            Err(source) => Err(RecordError::File { path, what: "opened", source }),
        }
    }

    /// The record as it is durably.
    pub fn current(&self) -> &Record {
        &self.current
    }

    /// Writes durably. After an error nothing is known of the disk (P11): every further write is refused.
    pub fn write(&mut self, record: &Record) -> Result<(), RecordError> {
        if !self.trusted {
            return Err(RecordError::Distrusted { path: self.path.clone() });
        }
        let counter = self.counter + 1;
        let slot = encode(counter, record).map_err(|len| RecordError::TooLong { path: self.path.clone(), len })?;
        self.trusted = false;
        let done = self.file.write_all_at(&slot, slot_offset(counter)).and_then(|()| self.file.sync_data());
        done.map_err(|source| RecordError::File { path: self.path.clone(), what: "written", source })?;
        self.trusted = true;
        self.counter = counter;
        self.current = record.clone();
        Ok(())
    }

    fn read(path: PathBuf, file: File) -> Result<RecordFile, RecordError> {
        let mut newest = None;
        for index in 0..2 {
            let mut slot = vec![0; SLOT];
            match file.read_exact_at(&mut slot, slot_offset(index)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(source) => return Err(RecordError::File { path, what: "read", source }),
            }
            newest = newest.max_by_counter(decode(&slot));
        }
        match newest {
            Some((counter, current)) => Ok(RecordFile { path, file, counter, current, trusted: true }),
            None => Err(RecordError::Damaged { path }),
        }
    }

    /// Written beside and renamed, so that a record file is never seen half made.
    fn create(control: &Path, path: PathBuf, identity: u64) -> Result<RecordFile, RecordError> {
        let fail = |what| {
            let path = path.clone();
            move |source| RecordError::File { path, what, source }
        };
        match std::fs::DirBuilder::new().mode(0o700).create(control) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail("made")(error)),
            _ => {}
        }
        let current = Record::new(identity);
        let slot = encode(1, &current).map_err(|len| RecordError::TooLong { path: path.clone(), len })?;
        let beside = control.join("record.new");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(fail("made"))?;
        // Real zeros, not only reserved blocks: later writes then change no block map.
        file.write_all_at(&[0; 2 * SLOT], 0)
            .and_then(|()| file.write_all_at(&slot, slot_offset(1)))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&beside, &path))
            .and_then(|()| File::open(control)?.sync_all())
            .map_err(fail("made"))?;
        Ok(RecordFile { path, file, counter: 1, current, trusted: true })
    }
}

trait MaxByCounter: Sized {
    fn max_by_counter(self, other: Self) -> Self;
}

impl MaxByCounter for Option<(u64, Record)> {
    fn max_by_counter(self, other: Self) -> Self {
        match (&self, &other) {
            (Some((a, _)), Some((b, _))) if a >= b => self,
            (_, Some(_)) => other,
            _ => self,
        }
    }
}

fn slot_offset(counter: u64) -> u64 {
    (counter % 2) * SLOT as u64
}

/// `Err`: how long it would be.
fn encode(counter: u64, record: &Record) -> Result<Vec<u8>, usize> {
    // A record is plain data: names and numbers, whose JSON can't fail.
    let text = serde_json::to_vec(record).expect("plain data becomes JSON");
    if text.len() > SLOT - HEAD {
        return Err(text.len());
    }
    let mut slot = Vec::with_capacity(SLOT);
    slot.extend_from_slice(MAGIC);
    slot.extend_from_slice(&counter.to_le_bytes());
    slot.extend_from_slice(&(text.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[8..20]), &text);
    slot.extend_from_slice(&crc.to_le_bytes());
    slot.extend_from_slice(&text);
    slot.resize(SLOT, 0);
    Ok(slot)
}

/// `None`: torn, or never written.
fn decode(slot: &[u8]) -> Option<(u64, Record)> {
    if slot.get(..8)? != MAGIC {
        return None;
    }
    let counter = u64::from_le_bytes(slot.get(8..16)?.try_into().ok()?);
    let len = u32::from_le_bytes(slot.get(16..20)?.try_into().ok()?);
    let crc = u32::from_le_bytes(slot.get(20..24)?.try_into().ok()?);
    let text = slot.get(HEAD..)?.get(..usize::try_from(len).ok()?)?;
    if crc32c::crc32c_append(crc32c::crc32c(&slot[8..20]), text) != crc {
        return None;
    }
    Some((counter, serde_json::from_slice(text).ok()?))
}

#[cfg(test)]
mod tests;
