//! The loser's copy (guide P7): before a copy that went on by itself is overwritten, it is put by as a whole.
//!
//! ```text
//! <backing>.hold/conflicts/<generation>/data/...     the copy: names, owners, modes, times, extended attributes, hard links, holes
//! <backing>.hold/conflicts/<generation>/kept.json    what it is, and when it was kept
//! <backing>.hold/conflicts/<generation>.part         a copy that is being made, or was interrupted: begun anew
//! ```
//! Where the file system shares blocks between files (Btrfs, XFS) that costs next to nothing; elsewhere every byte is copied, and only if
//! a part of the disk ([`SPARE`]) stays free. A generation is kept once: what is there complete is never replaced.
//!
//! Nothing writes to the copy meanwhile: it is a secondary's that follows nobody yet.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hf_types::GenerationId;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::backing::{Backing, entry_names};

/// One part in so many of the disk stays free, but no more than [`SPARE_MAX`] bytes need to.
const SPARE: u64 = 20;
const SPARE_MAX: u64 = 1 << 30;
const BUFFER: usize = 1 << 20;

/// What was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    pub files: u64,
    /// Of regular files, without holes.
    pub bytes: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// An administrator said that this one needn't be kept: nothing of it was.
    #[serde(default)]
    pub given_up: bool,
}

/// Why a copy can't be kept. Nothing of it is left but a `.part`, which the next attempt removes.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(
        "there is no room to keep it: it needs {} MB, and {} MB are free, of which a twentieth of the disk (at most 1024 MB) must stay free; make room, or give it up with 'holdfast conflict giveup'",
        needed >> 20, free >> 20
    )]
    NoRoom { needed: u64, free: u64 },
    #[error("{what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

/// Keeps the copy of one directory under its generation.
pub fn keep(backing: &Backing, generation: GenerationId) -> Result<Kept, KeepError> {
    let name = format!("{generation}");
    let failed = |what| {
        let path = PathBuf::from(&name);
        move |source: io::Error| KeepError::Io { what, path, source }
    };
    let conflicts = open_conflicts(backing).map_err(failed("making the directory for"))?;
    if let Some(kept) = read_note(conflicts.as_fd(), &name).map_err(failed("looking for"))? {
        return Ok(kept);
    }
    if let Some(given_up) = give_up(conflicts.as_fd(), &name).map_err(failed("giving up"))? {
        return Ok(given_up);
    }
    let part = format!("{name}.part");
    remove_all(conflicts.as_fd(), &c_name(&part)).map_err(failed("removing what was left of"))?;
    let kept = copy(backing, conflicts.as_fd(), &part)?;
    rustix::fs::renameat(&conflicts, &*part, &conflicts, &*name)
        .map_err(io::Error::from)
        .and_then(|()| Ok(rustix::fs::fsync(&conflicts)?))
        .map_err(failed("naming"))?;
    Ok(kept)
}

fn copy(backing: &Backing, conflicts: BorrowedFd<'_>, part: &str) -> Result<Kept, KeepError> {
    let failed = |what| {
        let path = PathBuf::from(part);
        move |source: io::Error| KeepError::Io { what, path, source }
    };
    let from = open_dir(backing.root(), c".").map_err(failed("opening the copy for"))?;
    let into = make_dir(conflicts, part).map_err(failed("making"))?;
    let data = make_dir(into.as_fd(), "data").map_err(failed("making"))?;
    let mut keeper = Keeper { kept: Kept::default(), links: HashMap::new(), root: data.as_fd(), backing, shares: None };
    let needed = size(from.as_fd(), backing, "").map_err(failed("measuring the copy for"))?;
    keeper.needs(needed)?;
    keeper.directory(from.as_fd(), data.as_fd(), PathBuf::new())?;
    let at = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let kept = Kept { at, ..keeper.kept };
    // Plain data, whose JSON can't fail.
    let note = serde_json::to_vec(&kept).expect("plain data becomes JSON");
    let written = open_new(into.as_fd(), c"kept.json").and_then(|file| file.write_all_at(&note, 0));
    written.and_then(|()| Ok(rustix::fs::syncfs(&into)?)).map_err(failed("storing"))?;
    Ok(kept)
}

struct Keeper<'a> {
    kept: Kept,
    /// Files with several names, by inode: where the first one is.
    links: HashMap<u64, PathBuf>,
    root: BorrowedFd<'a>,
    /// Knows what isn't part of the copy.
    backing: &'a Backing,
    /// Whether the file system shares blocks, once that was tried.
    shares: Option<bool>,
}

impl Keeper<'_> {
    /// Shared blocks need no room; whether they can be is known after trying, with two files of a page.
    fn needs(&mut self, needed: u64) -> Result<(), KeepError> {
        let failed = |source| KeepError::Io { what: "trying", path: PathBuf::from("shared blocks"), source };
        let shares = try_sharing(self.root).map_err(failed)?;
        self.shares = Some(shares);
        let disk = rustix::fs::fstatvfs(self.root).map_err(|error| failed(error.into()))?;
        let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
        if !shares && needed + (all / SPARE).min(SPARE_MAX) > free {
            return Err(KeepError::NoRoom { needed, free });
        }
        Ok(())
    }

    fn directory(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, path: PathBuf) -> Result<(), KeepError> {
        let at = |what, path: &PathBuf| {
            let path = path.clone();
            move |source: io::Error| KeepError::Io { what, path, source }
        };
        for name in entry_names(from).map_err(at("reading", &path))? {
            let below = path.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(from, into, &name, &below)?;
        }
        same_meta(from, into).map_err(at("setting the attributes of", &path))
    }

    fn entry(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), KeepError> {
        let at = |what| {
            let path = path.to_owned();
            move |source: io::Error| KeepError::Io { what, path, source }
        };
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| at("reading")(e.into()))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.backing.leaves_out(&path.to_string_lossy(), kind == FileType::Directory) {
            return Ok(());
        }
        if kind == FileType::Directory {
            let inside = open_dir(from, name).map_err(at("opening"))?;
            let made = rustix::fs::mkdirat(into, name, Mode::RWXU).map_err(io::Error::from);
            let target = made.and_then(|()| open_dir(into, name)).map_err(at("making"))?;
            return self.directory(inside.as_fd(), target.as_fd(), path.to_owned());
        }
        self.kept.files += 1;
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                let linked = rustix::fs::linkat(self.root, first, into, name, AtFlags::empty());
                return linked.map_err(|error| at("linking")(error.into()));
            }
            self.links.insert(stat.st_ino, path.to_owned());
        }
        match kind {
            FileType::RegularFile => self.file(from, into, name),
            _ => special(from, into, name, &stat),
        }
        .map_err(at("keeping"))
    }

    fn file(&mut self, from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
        let target = open_new(into, name)?;
        if self.shares == Some(true) {
            rustix::fs::ioctl_ficlone(&target, &source)?;
            self.kept.bytes += source.metadata()?.len();
        } else {
            self.kept.bytes += copy_data(&source, &target)?;
        }
        same_meta(source.as_fd(), target.as_fd())
    }
}

/// Holes stay holes.
fn copy_data(source: &File, target: &File) -> io::Result<u64> {
    let size = source.metadata()?.len();
    target.set_len(size)?;
    let (mut at, mut copied, mut buffer) = (0, 0, vec![0; BUFFER]);
    while at < size {
        let data = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(data))?.min(size);
        at = data;
        while at < end {
            let want = usize::try_from(end - at).map_or(BUFFER, |left| left.min(BUFFER));
            let len = source.read_at(&mut buffer[..want], at)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target.write_all_at(&buffer[..len], at)?;
            at += len as u64;
            copied += len as u64;
        }
    }
    Ok(copied)
}

fn special(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Symlink {
        let target = rustix::fs::readlinkat(from, name, Vec::new())?;
        rustix::fs::symlinkat(&*target, into, name)?;
    } else {
        rustix::fs::mknodat(into, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?;
        rustix::fs::chmodat(into, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::utimensat(into, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner, extended attributes, mode, times: in an order in which nothing undoes what was set before.
fn same_meta(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    rustix::fs::fchown(into, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    let mut list = vec![0; 64 << 10];
    let len = match rustix::fs::flistxattr(from, list.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    for name in list[..len].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::fgetxattr(from, name, value.as_mut_slice())?;
        rustix::fs::fsetxattr(into, name, &value[..len], rustix::fs::XattrFlags::empty())?;
    }
    rustix::fs::fchmod(into, Mode::from_raw_mode(stat.st_mode))?;
    Ok(rustix::fs::futimens(into, &times(&stat))?)
}

fn times(stat: &Stat) -> Timestamps {
    let stamp = |sec: i64, nsec: u64| Timespec { tv_sec: sec, tv_nsec: nsec as _ };
    Timestamps {
        last_access: stamp(stat.st_atime, stat.st_atime_nsec),
        last_modification: stamp(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// What a copy would take, in bytes: blocks as they are.
fn size(dir: BorrowedFd<'_>, backing: &Backing, path: &str) -> io::Result<u64> {
    let mut sum = 0;
    for name in entry_names(dir)? {
        let stat = rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let below = format!("{path}{}", name.to_string_lossy());
        if backing.leaves_out(&below, is_dir) {
            continue;
        }
        sum += stat.st_blocks as u64 * 512;
        if is_dir {
            sum += size(open_dir(dir, &name)?.as_fd(), backing, &format!("{below}/"))?;
        }
    }
    Ok(sum)
}

fn try_sharing(dir: BorrowedFd<'_>) -> io::Result<bool> {
    let one = open_new(dir, c".one")?;
    one.write_all_at(&[1; 4096], 0)?;
    let other = open_new(dir, c".other")?;
    let shared = rustix::fs::ioctl_ficlone(&other, &one);
    rustix::fs::unlinkat(dir, c".one", AtFlags::empty())?;
    rustix::fs::unlinkat(dir, c".other", AtFlags::empty())?;
    match shared {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open_conflicts(backing: &Backing) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(backing.hold(), c"../conflicts", Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_dir(backing.hold(), c"../conflicts")
}

/// A complete one is there; given up counts, too.
fn read_note(conflicts: BorrowedFd<'_>, name: &str) -> io::Result<Option<Kept>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(conflicts, format!("{name}/kept.json"), flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => File::from(other?),
    };
    let kept = serde_json::from_reader(file)?;
    Ok(Some(kept))
}

/// The administrator's word is for one generation: it is used up.
fn give_up(conflicts: BorrowedFd<'_>, name: &str) -> io::Result<Option<Kept>> {
    match rustix::fs::unlinkat(conflicts, c"giveup", AtFlags::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    }
    let into = make_dir(conflicts, name)?;
    let kept = Kept { given_up: true, ..Kept::default() };
    open_new(into.as_fd(), c"kept.json")?.write_all_at(&serde_json::to_vec(&kept)?, 0)?;
    rustix::fs::syncfs(&into)?;
    Ok(Some(kept))
}

fn make_dir(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    open_dir(parent, &c_name(name))
}

fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn open_new(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?))
}

fn remove_all(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let inside = match open_dir(parent, name) {
        Ok(inside) => inside,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {
            return Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?);
        }
        Err(error) => return Err(error),
    };
    entry_names(inside.as_fd())?.iter().try_for_each(|name| remove_all(inside.as_fd(), name))?;
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn c_name(name: &str) -> CString {
    CString::new(name).expect("generations are digits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::Arc;

    const GENERATION: GenerationId = GenerationId(0xabc);

    fn backing(root: &Path) -> Backing {
        std::fs::create_dir_all(root).unwrap();
        let table = Arc::new(Table::create(1).unwrap());
        Backing::open(root, &root.with_extension("hold"), table).unwrap()
    }

    fn kept_at(root: &Path) -> PathBuf {
        root.with_extension("hold").join("conflicts").join(GENERATION.to_string())
    }

    #[test]
    fn a_copy_is_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let backing = backing(&root);
        std::fs::create_dir(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/file"), b"acknowledged").unwrap();
        std::fs::hard_link(root.join("sub/file"), root.join("second name")).unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        std::fs::set_permissions(root.join("sub"), PermissionsExt::from_mode(0o2750)).unwrap();
        std::os::unix::fs::chown(root.join("sub/file"), Some(7), Some(8)).unwrap();
        let sparse = File::create(root.join("sparse")).unwrap();
        sparse.set_len(64 << 20).unwrap();
        sparse.write_all_at(b"end", (64 << 20) - 3).unwrap();

        let kept = keep(&backing, GENERATION).unwrap();
        assert_eq!(kept.files, 4);
        assert!(kept.bytes < 1 << 20 || kept.bytes >= 64 << 20, "holes are not copied: {kept:?}");
        let data = kept_at(&root).join("data");
        assert_eq!(std::fs::read(data.join("sub/file")).unwrap(), b"acknowledged");
        let (one, other) = (data.join("sub/file").metadata().unwrap(), data.join("second name").metadata().unwrap());
        assert_eq!((one.ino(), one.uid(), one.gid()), (other.ino(), 7, 8));
        assert_ne!(one.ino(), root.join("sub/file").metadata().unwrap().ino(), "a file of its own");
        assert_eq!(data.join("sub").metadata().unwrap().mode() & 0o7777, 0o2750);
        assert_eq!(std::fs::read_link(data.join("link")).unwrap(), Path::new("/etc/passwd"));
        let sparse = data.join("sparse").metadata().unwrap();
        assert!(sparse.len() == 64 << 20 && sparse.blocks() < 1000, "{} blocks", sparse.blocks());

        // What is overwritten afterwards doesn't reach it, and a second call doesn't replace it.
        std::fs::write(root.join("sub/file"), b"overwritten!").unwrap();
        assert_eq!(keep(&backing, GENERATION).unwrap(), kept);
        assert_eq!(std::fs::read(data.join("sub/file")).unwrap(), b"acknowledged");
    }

    #[test]
    fn what_an_interrupted_attempt_left_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let backing = backing(&root);
        std::fs::write(root.join("file"), b"new").unwrap();
        let part = kept_at(&root).with_extension("part");
        std::fs::create_dir_all(part.join("data/old")).unwrap();
        keep(&backing, GENERATION).unwrap();
        assert!(!part.exists() && !kept_at(&root).join("data/old").exists());
        assert_eq!(std::fs::read(kept_at(&root).join("data/file")).unwrap(), b"new");
    }

    #[test]
    fn what_was_given_up_is_not_kept_and_that_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let backing = backing(&root);
        open_conflicts(&backing).unwrap();
        std::fs::write(kept_at(&root).with_file_name("giveup"), "").unwrap();
        assert!(keep(&backing, GENERATION).unwrap().given_up);
        assert!(!kept_at(&root).join("data").exists());
        assert!(!keep(&backing, GenerationId(5)).unwrap().given_up, "the next one is kept again");
    }

    #[test]
    fn a_disk_is_never_filled_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let backing = backing(&root);
        let from = open_dir(backing.root(), c".").unwrap();
        let (links, root, backing) = (HashMap::new(), from.as_fd(), &backing);
        let mut keeper = Keeper { kept: Kept::default(), links, root, backing, shares: None };
        match keeper.needs(1 << 60) {
            Err(KeepError::NoRoom { needed, .. }) => assert_eq!(needed, 1 << 60),
            Ok(()) => assert_eq!(keeper.shares, Some(true), "only shared blocks need no room"),
            Err(error) => panic!("{error}"),
        }
    }
}
