//! Somebody with rights in the directory swaps what our processes are just working on for links to what is outside: nothing there may change,
//! on the primary (which works for applications) and on the secondary (which repeats). Needs root.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Place, seen};
use hf_fs::backing::Backing;
use hf_fs::pipeline::{Attrs, FileId, Op, Stamp};
use hf_fs::table::Table;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, XattrFlags};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const LONG: Duration = Duration::from_secs(3);

/// What nobody may touch: a file and a directory with something in it.
fn outside(at: &Path) -> PathBuf {
    let outside = at.join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["secret", "sub/a", "sub/b"] {
        fs::write(outside.join(name), b"nobody's business").unwrap();
        fs::set_permissions(outside.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    outside
}

/// Swaps the names in `dir` (which our process works in, too) for links that lead out, as fast as it can.
struct Attacker {
    over: Arc<AtomicBool>,
    swaps: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Attacker {
    fn start(dir: PathBuf, own: PathBuf, outside: &Path) -> Attacker {
        let (over, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let targets = [outside.join("secret"), outside.join("sub")];
        let (stop, count) = (over.clone(), swaps.clone());
        let thread = std::thread::spawn(move || {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let bait = own.join(format!("bait{n}"));
                symlink(&targets[n % 2], &bait).unwrap();
                let name = dir.join(NAMES[n / 2 % 4]);
                // What was there comes to lie beside; where nothing was, the link comes alone.
                let swapped = rustix::fs::renameat_with(CWD, &bait, CWD, &name, RenameFlags::EXCHANGE)
                    .or_else(|_| rustix::fs::renameat_with(CWD, &bait, CWD, &name, RenameFlags::NOREPLACE));
                count.fetch_add(u64::from(swapped.is_ok()), Ordering::Relaxed);
            }
        });
        Attacker { over, swaps, thread }
    }

    fn end(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.swaps.load(Ordering::Relaxed)
    }
}

/// Everything that an application can ask for with these names. It follows no link itself. Says how much of it succeeded.
fn ask(dir: impl std::os::fd::AsFd, round: usize) -> u64 {
    let (dir, name, other) = (dir.as_fd(), NAMES[round % 4], NAMES[(round + 1) % 4]);
    let mode = Mode::from_raw_mode(0o777);
    let here = PathBuf::from(format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&dir)));
    let file = |flags| rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW | OFlags::NONBLOCK, mode);
    let changed = file(OFlags::CREATE | OFlags::RDWR).and_then(|fd| {
        rustix::fs::fchmod(&fd, mode)?;
        rustix::fs::fchown(&fd, Some(rustix::process::Uid::from_raw(5)), None)?;
        rustix::io::write(&fd, b"written")?;
        rustix::fs::ftruncate(&fd, 3)
    });
    let done = [
        changed,
        rustix::fs::lsetxattr(&here, "trusted.t", b"v", XattrFlags::empty()),
        rustix::fs::linkat(dir, name, dir, other, AtFlags::empty()),
        rustix::fs::renameat(dir, name, dir, other),
        rustix::fs::mkdirat(dir, name, mode),
        file(OFlags::DIRECTORY | OFlags::RDONLY).and_then(|fd| {
            rustix::fs::mkdirat(&fd, "a", mode)?;
            rustix::fs::unlinkat(&fd, "a", AtFlags::REMOVEDIR)
        }),
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR),
        rustix::fs::unlinkat(dir, name, AtFlags::empty()),
        rustix::fs::mknodat(dir, name, FileType::Fifo, mode, 0),
        rustix::fs::symlinkat("nowhere", dir, other),
        rustix::fs::unlinkat(dir, other, AtFlags::empty()),
        rustix::fs::unlinkat(dir, name, AtFlags::empty()),
    ];
    done.iter().filter(|one| one.is_ok()).count() as u64
}

#[test]
fn nothing_outside_changes_on_the_primary() {
    let place = Place::new();
    let above = place.backing().parent().unwrap().to_owned();
    let outside = outside(&above);
    fs::create_dir_all(place.at("shared")).unwrap();
    let own = above.join("own");
    fs::create_dir(&own).unwrap();
    let before = seen(&outside);
    let attacker = Attacker::start(place.backing().join("shared"), own, &outside);
    let dir = fs::File::open(place.at("shared")).unwrap();
    let (began, mut succeeded) = (Instant::now(), 0);
    for round in 0.. {
        if began.elapsed() > LONG {
            break;
        }
        succeeded += ask(&dir, round);
    }
    let swaps = attacker.end();
    drop(dir);
    assert!(swaps > 200 && succeeded > 200, "{swaps} swaps, {succeeded} operations");
    assert_eq!(before, seen(&outside));
}

/// The operations of the stream with these names, all kinds.
fn repeat(backing: &Backing, round: u64) -> u64 {
    let (name, other) = (NAMES[round as usize % 4].as_bytes(), NAMES[(round as usize + 1) % 4].as_bytes());
    let (parent, id, second) = (FileId(10), FileId(1000 + round * 3), FileId(1001 + round * 3));
    let attrs = Attrs { mode: 0o4777, uid: 5, gid: 5 };
    let stamp = Stamp { sec: 7, nsec: 7 };
    let ops = [
        Op::Create { parent, name, id, attrs, stamp },
        Op::Write { id, offset: 0, data: b"written" },
        Op::Truncate { id, size: 3 },
        Op::SetAttr { id, owner: Some((6, 6)), mode: Some(0o777), atime: None, mtime: Some(stamp) },
        Op::SetXattr { id, name: b"trusted.t", value: b"v" },
        Op::Link { id, parent, name: other, stamp },
        Op::Unlink { parent, name: other, id, stamp },
        Op::Rename { parent, name, new_parent: parent, new_name: other, id, replaced: None, exchange: false, stamp },
        Op::Unlink { parent, name: other, id, stamp },
        Op::Mkdir { parent, name, id: second, attrs, stamp },
        Op::Create { parent: second, name: b"a", id: FileId(1002 + round * 3), attrs, stamp },
        Op::Rmdir { parent, name, id: second, stamp },
        Op::Mknod { parent, name, id, kind: libc::S_IFIFO, rdev: 0, attrs, stamp },
        Op::SetAttr { id, owner: Some((6, 6)), mode: Some(0o777), atime: None, mtime: Some(stamp) },
        Op::Unlink { parent, name, id, stamp },
        Op::Symlink { parent, name, id, target: b"nowhere", attrs, stamp },
        Op::SetAttr { id, owner: Some((6, 6)), mode: Some(0o777), atime: None, mtime: Some(stamp) },
        Op::Unlink { parent, name, id, stamp },
    ];
    ops.iter().filter(|op| backing.apply(op).is_ok()).count() as u64
}

#[test]
fn nothing_outside_changes_on_the_secondary() {
    let above = tempfile::Builder::new().prefix("hf-racer-").tempdir().unwrap();
    let at = |name: &str| above.path().join(name);
    fs::create_dir(at("data")).unwrap();
    fs::create_dir(at("own")).unwrap();
    let backing = Backing::open(&at("data"), &at("data.hold"), Arc::new(Table::create(1).unwrap())).unwrap();
    let attrs = Attrs { mode: 0o777, uid: 0, gid: 0 };
    let shared = Op::Mkdir { parent: FileId::ROOT, name: b"shared", id: FileId(10), attrs, stamp: Stamp::default() };
    backing.apply(&shared).unwrap();
    let outside = outside(above.path());
    let before = seen(&outside);
    let attacker = Attacker::start(at("data/shared"), at("own"), &outside);
    let (began, mut succeeded) = (Instant::now(), 0);
    for round in 0.. {
        if began.elapsed() > LONG {
            break;
        }
        // The primary's operations found their way free.
        for name in NAMES {
            let _gone = fs::remove_file(at("data/shared").join(name));
            let _gone = fs::remove_dir_all(at("data/shared").join(name));
        }
        succeeded += repeat(&backing, round);
    }
    let swaps = attacker.end();
    assert!(swaps > 200 && succeeded > 200, "{swaps} swaps, {succeeded} operations");
    assert_eq!(before, seen(&outside));
}
