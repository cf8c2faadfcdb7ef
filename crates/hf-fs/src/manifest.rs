//! What a copy remembers of its files over an orderly stop: `<backing>.hold/manifest`.
//!
//! ```text
//! header, 160 bytes:   0 magic "HFMANI1\0"   8 entries (u64)   16 stream  24 place  32 sender   what the marks are about (link/common.rs)
//!                      40 counter of new ids   48 device   56 handle of the root   104 boot id (40 bytes, padded with zeros)
//! entry, 88 bytes:     0 id   8 handle   56 size   64 mtime seconds   72 ctime seconds   80 nanoseconds of both (u32 each)
//! end:                 BLAKE3 of all entries and then the header, 32 bytes
//! handle, 48 bytes:    0 kind (i32)   4 length (u32)   8 bytes, padded with zeros
//! ```
//! Everything is little endian. Version 1: this. An entry is a regular file that carried its mark; files without are left out, as are those that
//! changed in the last moments ([`SETTLED`]).
//!
//! It is written when nothing can be changed through the mount any more and the backing path is still covered, and it is taken, that is read and
//! durably removed, before anything can be changed again. So a crash while the directory is in use leaves none. A start believes one only as a whole
//! (count and digest), only on the kernel that wrote it (after a power cut a file can hold new data under old times), and
//! only with the same root directory on the same device. Of each entry it believes that the content is the old one if inode, generation, size,
//! time of modification and time of change are: the last can't be set by anybody. Docs: `docs/design/0011-manifest.md`.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use hf_replica::ladder::Common;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::backing::handle::{Handle, MAX_HANDLE_BYTES};
use crate::backing::{Backing, Stat};
use crate::pipeline::FileId;
use crate::table::SAME;

const MAGIC: &[u8; 8] = b"HFMANI1\0";
const HEADER: usize = 160;
const ENTRY: usize = 88;
const DIGEST: usize = 32;
const BOOT_ID: usize = 40;
const NAME: &std::ffi::CStr = c"../manifest";
const BESIDE: &std::ffi::CStr = c"../manifest.new";
/// A file whose time of change is no older could change once more within the same tick of the kernel's clock.
const SETTLED: Duration = Duration::from_millis(20);
/// The same where the file system keeps whole seconds, or two, only.
const SETTLED_COARSE: Duration = Duration::from_secs(3);

/// Why a manifest can't be written, or isn't believed. Everything is compared by content then.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest can't be {what}")]
    Io { what: &'static str, source: io::Error },
    #[error("the manifest is damaged ({0}): what changed while the module was stopped isn't known")]
    Damaged(&'static str),
    #[error("the manifest is from before a boot: what a crash may have lost isn't known")]
    OtherBoot,
    #[error("the manifest is of another directory or disk")]
    OtherDirectory,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> ManifestError {
    move |source| ManifestError::Io { what, source }
}

/// What a manifest says beside its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    entries: u64,
    common: Common,
    counter: u64,
    device: u64,
    root: Handle,
    boot: [u8; BOOT_ID],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: u64,
    handle: Handle,
    state: State,
}

/// By what a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    size: u64,
    mtime: (i64, u32),
    ctime: (i64, u32),
}

impl State {
    fn of(stat: &Stat) -> State {
        State {
            size: stat.st_size as u64,
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }

    /// Would another change get another time, from `now` on?
    fn is_settled(&self, now: Duration) -> bool {
        let changed = Duration::new(u64::try_from(self.ctime.0).unwrap_or(0), self.ctime.1);
        let margin = if self.ctime.1 == 0 { SETTLED_COARSE } else { SETTLED };
        changed + margin <= now
    }
}

/// Writes the manifest of one directory; nobody changes anything in it meanwhile. Gives the number of files in it.
pub fn write(backing: &Backing, common: &Common, boot_id: &str) -> Result<u64, ManifestError> {
    // What was changed last is old enough then, also where the coarse clock that says so ticks every 10 ms.
    std::thread::sleep(2 * SETTLED);
    let marked = backing.table().with_flags(SAME);
    let root = rustix::fs::fstat(backing.root()).map_err(|error| failed("written")(error.into()))?;
    let mut header = Header {
        entries: 0,
        common: *common,
        counter: backing.table().counter(),
        device: root.st_dev,
        root: Handle::of(backing.root()).map_err(failed("written"))?,
        boot: boot(boot_id),
    };
    let written = put(backing, &mut header, marked.into_iter().map(|id| entry_of(backing, id)));
    written.map_err(failed("written"))?;
    Ok(header.entries)
}

/// None: gone, no regular file, or too fresh.
fn entry_of(backing: &Backing, id: FileId) -> io::Result<Option<Entry>> {
    let Some(known) = backing.table().get(id).filter(|known| known.kind == libc::S_IFREG) else { return Ok(None) };
    let Some(stat) = look(backing, &known.handle)? else { return Ok(None) };
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let now = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), now.tv_nsec as u32);
    let state = State::of(&stat);
    let counts = stat.st_nlink > 0 && state.is_settled(now);
    Ok(counts.then_some(Entry { id: id.0, handle: known.handle, state }))
}

fn look(backing: &Backing, handle: &Handle) -> io::Result<Option<Stat>> {
    match handle.open(backing.root(), libc::O_PATH | libc::O_NOFOLLOW) {
        Ok(fd) => Ok(Some(rustix::fs::fstat(&fd)?)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOENT)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Entries go to the disk one after the other; the header says how many they became.
fn put(
    backing: &Backing,
    header: &mut Header,
    entries: impl Iterator<Item = io::Result<Option<Entry>>>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(backing.hold(), BESIDE, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = io::BufWriter::with_capacity(1 << 18, std::fs::File::from(fd));
    let mut digest = blake3::Hasher::new();
    file.write_all(&[0; HEADER])?;
    for entry in entries {
        let Some(entry) = entry? else { continue };
        let bytes = entry.encode();
        digest.update(&bytes);
        file.write_all(&bytes)?;
        header.entries += 1;
    }
    digest.update(&header.encode());
    file.write_all(digest.finalize().as_bytes())?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    rustix::fs::renameat(backing.hold(), BESIDE, backing.hold(), NAME)?;
    sync_control(backing)
}

fn sync_control(backing: &Backing) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::fsync(rustix::fs::openat(backing.hold(), c"..", flags, Mode::empty())?)?)
}

/// Takes the manifests of a module's directories, and marks what is as it was. What the marks are about: nothing where two
/// directories remember different states. `forget`: they are only removed (a process that died had them in use).
pub fn take_all(backings: &[Arc<Backing>], boot_id: &str, forget: bool) -> Option<Common> {
    let mut found = Vec::new();
    for backing in backings {
        match take(backing, boot_id, forget) {
            Ok(Some((common, files))) => {
                tracing::info!(files, "files are as they were when this copy was stopped");
                found.push(common);
            }
            Ok(None) => {}
            Err(error) => {
                backing.table().clear_everywhere(SAME);
                tracing::warn!("everything will be compared by content: {}", with_cause(&error));
            }
        }
    }
    let first = *found.first()?;
    if found.iter().all(|common| *common == first) {
        return Some(first);
    }
    backings.iter().for_each(|backing| backing.table().clear_everywhere(SAME));
    None
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Reads and durably removes the manifest of one directory. Gives what the marks are about, and how many were set.
pub fn take(backing: &Backing, boot_id: &str, forget: bool) -> Result<Option<(Common, u64)>, ManifestError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(backing.hold(), NAME, flags, Mode::empty()) {
        Ok(fd) => std::fs::File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed("opened")(error.into())),
    };
    // First: whatever it says, it is over as soon as something can change.
    rustix::fs::unlinkat(backing.hold(), NAME, AtFlags::empty())
        .map_err(io::Error::from)
        .and_then(|()| sync_control(backing))
        .map_err(failed("removed"))?;
    if forget {
        return Ok(None);
    }
    let header = check(&file, backing, boot_id)?;
    let mut reader = io::BufReader::with_capacity(ENTRY << 10, &file);
    io::Seek::seek(&mut reader, io::SeekFrom::Start(HEADER as u64)).map_err(failed("read"))?;
    backing.table().count_from(header.counter);
    let mut files = 0;
    let mut bytes = [0; ENTRY];
    for _ in 0..header.entries {
        reader.read_exact(&mut bytes).map_err(failed("read"))?;
        let entry = Entry::decode(&bytes).ok_or(ManifestError::Damaged("an entry is none"))?;
        files += u64::from(restore(backing, &entry)?);
    }
    Ok(Some((header.common, files)))
}

/// Is it whole, and about this directory as this kernel knows it?
fn check(file: &std::fs::File, backing: &Backing, boot_id: &str) -> Result<Header, ManifestError> {
    let length = file.metadata().map_err(failed("read"))?.len();
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let mut head = [0; HEADER];
    reader.read_exact(&mut head).map_err(|_| ManifestError::Damaged("it is cut off"))?;
    let header = Header::decode(&head).ok_or(ManifestError::Damaged("its beginning isn't one"))?;
    let expected = header.entries.checked_mul(ENTRY as u64).map(|entries| entries + (HEADER + DIGEST) as u64);
    if expected != Some(length) {
        return Err(ManifestError::Damaged("its length is wrong"));
    }
    let mut digest = blake3::Hasher::new();
    io::copy(&mut (&mut reader).take(length - (HEADER + DIGEST) as u64), &mut digest).map_err(failed("read"))?;
    digest.update(&head);
    let mut stated = [0; DIGEST];
    reader.read_exact(&mut stated).map_err(failed("read"))?;
    if *digest.finalize().as_bytes() != stated {
        return Err(ManifestError::Damaged("its digest is wrong"));
    }
    if header.boot != boot(boot_id) || boot_id.is_empty() {
        return Err(ManifestError::OtherBoot);
    }
    let root = rustix::fs::fstat(backing.root()).map_err(|error| failed("compared")(error.into()))?;
    let handle = Handle::of(backing.root()).map_err(failed("compared"))?;
    if (root.st_dev, handle) != (header.device, header.root) {
        return Err(ManifestError::OtherDirectory);
    }
    Ok(header)
}

/// The file gets its id back, and its mark, if it is as it was.
fn restore(backing: &Backing, entry: &Entry) -> Result<bool, ManifestError> {
    let stat = look(backing, &entry.handle).map_err(failed("compared with the files"))?;
    let as_it_was = |stat: &Stat| {
        stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_nlink > 0 && State::of(stat) == entry.state
    };
    if !stat.as_ref().is_some_and(as_it_was) {
        return Ok(false);
    }
    let id = FileId(entry.id);
    backing
        .table()
        .bind(id, &entry.handle, libc::S_IFREG)
        .map_err(|error| ManifestError::Io { what: "taken over", source: io::Error::other(error) })?;
    backing.table().set_flags(id, SAME);
    Ok(true)
}

fn boot(id: &str) -> [u8; BOOT_ID] {
    let mut boot = [0; BOOT_ID];
    let len = id.len().min(BOOT_ID);
    boot[..len].copy_from_slice(&id.as_bytes()[..len]);
    boot
}

/// Fields one after the other.
struct Fields<'a>(&'a mut [u8]);

impl Fields<'_> {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let (here, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        here.copy_from_slice(bytes);
        self.0 = rest;
        self
    }

    fn handle(&mut self, handle: &Handle) -> &mut Self {
        let mut bytes = [0; MAX_HANDLE_BYTES];
        bytes[..handle.bytes().len()].copy_from_slice(handle.bytes());
        self.put(&handle.kind().to_le_bytes()).put(&(handle.bytes().len() as u32).to_le_bytes()).put(&bytes)
    }
}

struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn handle(&mut self) -> Option<Handle> {
        let kind = i32::from_le_bytes(self.take()?);
        let len = self.u32()? as usize;
        let bytes: [u8; MAX_HANDLE_BYTES] = self.take()?;
        Handle::from_parts(kind, bytes.get(..len)?)
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut fields = Fields(&mut bytes);
        fields.put(MAGIC);
        let Common { stream, at, sender } = self.common;
        for number in [self.entries, stream, at, sender.into(), self.counter, self.device] {
            fields.put(&number.to_le_bytes());
        }
        fields.handle(&self.root).put(&self.boot);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Header> {
        let mut source = Source(bytes);
        if source.take()? != *MAGIC {
            return None;
        }
        let (entries, stream, at, sender) = (source.u64()?, source.u64()?, source.u64()?, source.u64()? != 0);
        let (counter, device, root, boot) = (source.u64()?, source.u64()?, source.handle()?, source.take()?);
        Some(Header { entries, common: Common { stream, at, sender }, counter, device, root, boot })
    }
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let State { size, mtime, ctime } = self.state;
        let mut fields = Fields(&mut bytes);
        fields.put(&self.id.to_le_bytes()).handle(&self.handle).put(&size.to_le_bytes());
        fields.put(&mtime.0.to_le_bytes()).put(&ctime.0.to_le_bytes());
        fields.put(&mtime.1.to_le_bytes()).put(&ctime.1.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Entry> {
        let mut source = Source(bytes);
        let (id, handle, size) = (source.u64()?, source.handle()?, source.u64()?);
        let (mtime, ctime) = (i64::from_le_bytes(source.take()?), i64::from_le_bytes(source.take()?));
        let (mtime, ctime) = ((mtime, source.u32()?), (ctime, source.u32()?));
        Some(Entry { id, handle, state: State { size, mtime, ctime } })
    }
}

#[cfg(test)]
mod tests;
