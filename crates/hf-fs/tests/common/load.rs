//! A load of all kinds of operations, which fails when any of them is lost or done twice.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, RenameFlags, XattrFlags};
use rustix::io::Errno;

/// Applications that check what they get.
pub struct Load {
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// One directory a job in `root`.
    pub fn start(root: &Path) -> Load {
        let (over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let jobs: [fn(&Path, u64); 8] = [names, contents, unlinked, attributes, special, extended, ranges, locks];
        let threads = jobs
            .into_iter()
            .enumerate()
            .map(|(n, job)| {
                let dir = root.join(format!("job{n}"));
                fs::create_dir(&dir).unwrap();
                let (over, rounds) = (over.clone(), rounds.clone());
                std::thread::spawn(move || {
                    for round in 0.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        job(&dir, round);
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Load { over, rounds, threads }
    }

    /// Says how many rounds were done.
    pub fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|t| t.join().unwrap());
        self.rounds.load(Ordering::Relaxed)
    }
}

/// Every kind of name operation, each of which would fail if it were executed twice or not at all.
fn names(dir: &Path, round: u64) {
    let at = |name: &str| dir.join(format!("{name}{}", round % 7));
    let file = OpenOptions::new().write(true).create_new(true).open(at("a")).unwrap();
    (&file).write_all(b"x").unwrap();
    file.sync_all().unwrap();
    fs::rename(at("a"), at("b")).unwrap();
    fs::hard_link(at("b"), at("c")).unwrap();
    fs::create_dir(at("d")).unwrap();
    fs::rename(at("c"), at("d").join("e")).unwrap();
    std::os::unix::fs::symlink("target", at("s")).unwrap();
    assert_eq!(fs::read_link(at("s")).unwrap(), Path::new("target"));
    File::create_new(at("r")).unwrap();
    fs::rename(at("r"), at("b")).unwrap();
    assert_eq!(fs::metadata(at("b")).unwrap().len(), 0);
    fs::remove_file(at("s")).unwrap();
    fs::remove_file(at("d").join("e")).unwrap();
    fs::remove_dir(at("d")).unwrap();
    fs::remove_file(at("b")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

/// Large and small writes, reads, truncation: the content is always what was written last.
fn contents(dir: &Path, round: u64) {
    let path = dir.join("content");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let block = vec![round as u8; 1_500_000];
    file.write_all(&block).unwrap();
    file.write_all_at(b"small", 777).unwrap();
    file.sync_data().unwrap();
    file.set_len(1_000_000).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut back = Vec::new();
    file.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), 1_000_000);
    assert_eq!(&back[777..782], b"small");
    assert!(back[782..].iter().all(|b| *b == round as u8));
}

/// Files that are open and have no name.
fn unlinked(dir: &Path, round: u64) {
    let path = dir.join(format!("u{}", round % 3));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    fs::remove_file(&path).unwrap();
    std::thread::sleep(Duration::from_millis(3));
    let mut back = [0; 10];
    file.read_exact_at(&mut back, 0).unwrap();
    assert_eq!(&back, b"0123456789");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

fn attributes(dir: &Path, round: u64) {
    let path = dir.join("attr");
    File::create(&path).unwrap();
    let mode = 0o600 + (round % 64) as u32;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    std::os::unix::fs::chown(&path, Some(round as u32 % 1000), None).unwrap();
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.mode() & 0o777, u64::from(meta.uid())), (mode, round % 1000));
    assert!(fs::read_dir(dir).unwrap().count() == 1);
}

/// Special files, and the moves that `rename` alone doesn't know.
fn special(dir: &Path, round: u64) {
    let at = |name: &str| dir.join(format!("{name}{}", round % 5));
    let kinds = [(FileType::Fifo, 0), (FileType::Socket, 0), (FileType::CharacterDevice, rustix::fs::makedev(1, 3))];
    let (kind, device) = kinds[round as usize % 3];
    rustix::fs::mknodat(CWD, at("n"), kind, Mode::from_raw_mode(0o640), device).unwrap();
    assert_eq!(fs::symlink_metadata(at("n")).unwrap().rdev(), device);
    fs::create_dir(at("d")).unwrap();
    let moved = |flags| rustix::fs::renameat_with(CWD, at("n"), CWD, at("d"), flags);
    assert_eq!(moved(RenameFlags::NOREPLACE), Err(Errno::EXIST));
    moved(RenameFlags::EXCHANGE).unwrap();
    assert!(fs::symlink_metadata(at("n")).unwrap().is_dir());
    fs::remove_dir(at("n")).unwrap();
    moved(RenameFlags::NOREPLACE).unwrap_err();
    rustix::fs::renameat_with(CWD, at("d"), CWD, at("n"), RenameFlags::NOREPLACE).unwrap();
    rustix::fs::linkat(CWD, at("n"), CWD, at("l"), AtFlags::empty()).unwrap();
    assert_eq!(fs::symlink_metadata(at("l")).unwrap().nlink(), 2);
    fs::remove_file(at("n")).unwrap();
    fs::remove_file(at("l")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}

/// Attributes that must not be there before, or must.
fn extended(dir: &Path, round: u64) {
    let path = dir.join(format!("x{}", round % 3));
    let file = File::create(&path).unwrap();
    let set = |name: &str, value: &[u8], flags| rustix::fs::fsetxattr(&file, name, value, flags);
    for name in ["user.a", "trusted.b"] {
        assert_eq!(set(name, b"0", XattrFlags::REPLACE), Err(Errno::NODATA));
        set(name, b"1", XattrFlags::CREATE).unwrap();
        assert_eq!(set(name, b"2", XattrFlags::CREATE), Err(Errno::EXIST));
        set(name, &round.to_le_bytes(), XattrFlags::REPLACE).unwrap();
        let mut value = [0; 8];
        assert_eq!(rustix::fs::fgetxattr(&file, name, &mut value), Ok(8));
        assert_eq!(u64::from_le_bytes(value), round);
        rustix::fs::fremovexattr(&file, name).unwrap();
        assert_eq!(rustix::fs::fremovexattr(&file, name), Err(Errno::NODATA));
    }
    fs::remove_file(&path).unwrap();
}

/// Ranges of a file that are given room, emptied, cleared.
fn ranges(dir: &Path, round: u64) {
    let path = dir.join("ranges");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all_at(&[round as u8 | 1; 40_000], 0).unwrap();
    let allocate = |flags, from, len| rustix::fs::fallocate(&file, flags, from, len);
    allocate(FallocateFlags::KEEP_SIZE, 40_000, 100_000).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 40_000);
    allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 4_096, 8_192).unwrap();
    allocate(FallocateFlags::ZERO_RANGE, 20_000, 30_000).unwrap();
    assert_eq!(allocate(FallocateFlags::COLLAPSE_RANGE, 0, 4_096), Err(Errno::OPNOTSUPP));
    assert_eq!(allocate(FallocateFlags::INSERT_RANGE, 0, 4_096), Err(Errno::OPNOTSUPP));
    let back = fs::read(&path).unwrap();
    assert_eq!(back.len(), 50_000);
    let zeros = |range: std::ops::Range<usize>| back[range].iter().all(|b| *b == 0);
    assert!(
        zeros(4_096..12_288)
            && zeros(20_000..50_000)
            && !back[..4_096].contains(&0)
            && !back[12_288..20_000].contains(&0)
    );
}

/// A lock is held by one only.
fn locks(dir: &Path, _round: u64) {
    let open = || OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock")).unwrap();
    let (one, two) = (open(), open());
    // A process that is being started has a copy of the last round's descriptor for a moment: it may have to wait.
    rustix::fs::flock(&one, FlockOperation::LockExclusive).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
    drop(one);
    rustix::fs::flock(&two, FlockOperation::LockExclusive).unwrap();
}
