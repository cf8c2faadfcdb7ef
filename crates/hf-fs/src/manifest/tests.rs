use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hf_replica::ladder::Why;
use hf_types::SyncWish;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::link::Flow;
use crate::link::acks::Mode;
use crate::link::harness::*;
use crate::pipeline::GateState;
use crate::sync::mutator::Mutator;

const RING: usize = 16 << 20;

/// Both nodes, their addresses, and what becomes of them.
struct Two {
    a: std::net::SocketAddr,
    b: std::net::SocketAddr,
}

impl Two {
    fn new() -> Two {
        Two { a: free_address(), b: free_address() }
    }

    fn fresh(&self) -> (Node, Node) {
        let primary = Node::new(options(self.a, self.b, true), 2, RING);
        alone(&primary);
        (primary, Node::new(options(self.b, self.a, true), 3, RING))
    }

    fn primary(&self, stopped: Stopped) -> Node {
        stopped.start(options(self.a, self.b, true), 4, RING)
    }

    fn secondary(&self, stopped: Stopped) -> Node {
        stopped.start(options(self.b, self.a, true), 5, RING)
    }
}

fn alone(node: &Node) {
    node.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
}

/// Connects anew, synchronises by what both know, and compares everything.
fn meet(primary: &Node, secondary: &Node, wish: SyncWish) -> (Why, hf_replica::engine::SyncCount) {
    connect(primary, secondary);
    let step = primary.step_with(secondary, wish);
    let count = primary.synchronise_by(step);
    assert_equal(primary, secondary);
    (step.why, count)
}

/// Files of different sizes in two directories; old enough for a manifest.
fn files(node: &Node, count: u64) -> Vec<FileId> {
    let hands = node.hands();
    let dir = hands.mkdir(FileId::ROOT, "dir").unwrap();
    let make = |n: u64| {
        let parent = if n.is_multiple_of(2) { FileId::ROOT } else { dir };
        let file = hands.create(parent, &format!("f{n}")).unwrap();
        hands.write(file, 0, &vec![n as u8; 100 * n as usize]).unwrap();
        file
    };
    (0..count).map(make).collect()
}

#[test]
fn only_what_changed_while_the_secondary_was_stopped_is_read() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    let files = files(&primary, 40);
    let (why, count) = meet(&primary, &secondary, SyncWish::default());
    assert_eq!((why, count.files_known), (Why::UnknownHere, 0));
    let stopped = secondary.stop();
    alone(&primary);
    let hands = primary.hands();
    for file in &files[..7] {
        hands.write(*file, 3, b"changed").unwrap();
    }
    hands.create(FileId::ROOT, "new").unwrap();
    let secondary = two.secondary(stopped);
    let (why, count) = meet(&primary, &secondary, SyncWish::default());
    assert_eq!(why, Why::Common);
    assert_eq!((count.files_total, count.files_known), (41, 33));
    // And once more, with nothing at all.
    let stopped = secondary.stop();
    alone(&primary);
    let (_, count) = meet(&primary, &two.secondary(stopped), SyncWish::default());
    assert_eq!((count.files_known, count.bytes_sent), (41, 0));
}

#[test]
fn both_stopped_and_one_changed_by_hand() {
    for (on_primary, touch_back) in [(true, false), (false, false), (true, true), (false, true)] {
        let two = Two::new();
        let (primary, secondary) = two.fresh();
        files(&primary, 20);
        meet(&primary, &secondary, SyncWish::default());
        let (secondary, primary) = (secondary.stop(), primary.stop());
        let changed = if on_primary { &primary } else { &secondary };
        let path = changed.root.join("f8");
        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_at(b"!", 5).unwrap();
        if touch_back {
            file.set_modified(times).unwrap();
        }
        let (primary, secondary) = (two.primary(primary), two.secondary(secondary));
        let (why, count) = meet(&primary, &secondary, SyncWish::default());
        assert_eq!((why, count.files_known), (Why::Common, 19));
        let there = std::fs::read(secondary.root.join("f8")).unwrap();
        assert_eq!(there[5], if on_primary { b'!' } else { 8 }, "the primary's content holds");
    }
}

#[test]
fn fullsync_reads_everything_whatever_is_known() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    files(&primary, 10);
    meet(&primary, &secondary, SyncWish::default());
    let secondary = two.secondary(secondary.stop());
    alone(&primary);
    let (why, count) = meet(&primary, &secondary, SyncWish::FULL);
    assert_eq!((why, count.files_known, count.files_done), (Why::Asked, 0, 10));
}

#[test]
fn by_date_leaves_old_files_unread_if_size_and_time_agree() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let newer = old + Duration::from_secs(1000);
    let put = |node: &Node, name: &str, text: &str, at: SystemTime| {
        std::fs::write(node.root.join(name), text).unwrap();
        std::fs::File::options().write(true).open(node.root.join(name)).unwrap().set_modified(at).unwrap();
    };
    // Before the date: the same on both; another size; another time; and one that only the date hides, as the reference warns.
    for (name, here, there, time) in [
        ("same", "text", "text", old),
        ("size", "longer", "text", old),
        ("time", "here", "text", newer),
        ("hidden", "here", "text", old),
    ] {
        put(&primary, name, here, old);
        put(&secondary, name, there, time);
    }
    for node in [&primary, &secondary] {
        put(node, "new", &node.root.to_string_lossy(), newer + Duration::from_secs(9000));
    }
    connect(&primary, &secondary);
    let date = SyncWish { full: false, newer_than_s: Some(1_000_005_000) };
    let step = primary.step_with(&secondary, date);
    assert_eq!(step.why, Why::Date);
    let count = primary.synchronise_by(step);
    assert_eq!((count.files_done, count.files_known), (5, 2));
    primary.hands().sync(FileId::ROOT).unwrap();
    let there = |name: &str| std::fs::read_to_string(secondary.root.join(name)).unwrap();
    assert_eq!((there("same"), there("size"), there("time")), ("text".into(), "longer".into(), "here".into()));
    assert_eq!(there("hidden"), "text", "the administrator answers for it");
    assert_eq!(there("new"), primary.root.to_string_lossy());
}

#[test]
fn the_secondary_took_over_and_the_former_primary_comes_back() {
    let two = Two::new();
    let (former, secondary) = two.fresh();
    let made = files(&former, 20);
    meet(&former, &secondary, SyncWish::default());
    let former = former.stop();
    secondary.link.hang_up();
    alone(&secondary);
    secondary.hands().write(made[3], 0, b"after the takeover").unwrap();
    // Now the other way round: it connects, the former one listens.
    let former = two.primary(former);
    let (why, count) = meet(&secondary, &former, SyncWish::default());
    assert_eq!((why, count.files_known), (Why::Common, 19));
}

/// What the former primary had carried out and could not deliver has no mark.
#[test]
fn what_was_not_confirmed_is_compared() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    let made = files(&primary, 20);
    meet(&primary, &secondary, SyncWish::default());
    secondary.link.hang_up();
    primary.wait("LinkDown", |event| matches!(event, hf_replica::engine::EngineEvent::LinkDown { .. }).then_some(()));
    // In step still, by its own lights: these wait in the ring.
    primary.hands().write(made[5], 0, b"never arrives").unwrap();
    let former = primary.stop();
    alone(&secondary);
    let former = two.primary(former);
    let (why, count) = meet(&secondary, &former, SyncWish::default());
    assert_eq!((why, count.files_known), (Why::Common, 19));
    assert_ne!(&std::fs::read(former.root.join("dir/f5")).unwrap()[..5], b"never");
}

#[test]
fn an_old_manifest_that_comes_back_is_about_another_state() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    let made = files(&primary, 10);
    meet(&primary, &secondary, SyncWish::default());
    let stopped = secondary.stop();
    let old = std::fs::read(stopped.manifest()).unwrap();
    let secondary = two.secondary(stopped);
    alone(&primary);
    primary.hands().write(made[1], 0, b"second period").unwrap();
    meet(&primary, &secondary, SyncWish::default());
    let stopped = secondary.stop();
    std::fs::write(stopped.manifest(), old).unwrap();
    alone(&primary);
    let (why, count) = meet(&primary, &two.secondary(stopped), SyncWish::default());
    assert_eq!((why, count.files_known), (Why::Different, 0));
}

#[test]
fn a_manifest_is_used_once_and_a_crash_leaves_none() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    files(&primary, 10);
    meet(&primary, &secondary, SyncWish::default());
    let stopped = secondary.stop();
    let manifest = stopped.manifest();
    assert!(manifest.exists());
    let secondary = two.secondary(stopped);
    assert!(secondary.link.common().is_some());
    assert!(!manifest.exists(), "removed before anything can change");
}

#[test]
fn a_synchronisation_that_broke_is_gone_on_with() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    let hands = primary.hands();
    for n in 0..30 {
        let file = hands.create(FileId::ROOT, &format!("f{n}")).unwrap();
        hands.write(file, 0, &vec![n as u8; 3 << 20]).unwrap();
    }
    connect(&primary, &secondary);
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Syncing));
    let step = hf_replica::ladder::Step::content(Why::Asked);
    let walk =
        crate::sync::start(&primary.link, rand_stream(), crate::sync::SyncOptions { bandwidth: None, step }).unwrap();
    let copied = |node: &Node| {
        let table = node.backing.table();
        let marked = table.with_flags(SAME).into_iter();
        marked.filter(|id| table.get(*id).is_some_and(|known| known.kind == libc::S_IFREG)).count()
    };
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while copied(&secondary) < 8 {
        assert!(std::time::Instant::now() < end, "nothing is copied");
        std::thread::yield_now();
    }
    secondary.link.out.shutdown();
    walk.join().unwrap();
    alone(&primary);
    primary.wait_link();
    secondary.wait_link();
    let there = copied(&secondary);
    // What was sent and not confirmed isn't counted on, so it may be less.
    let here = copied(&primary);
    assert!((1..=there).contains(&here), "{here} of {there}");
    primary.seen.lock().unwrap().clear();
    let step = primary.step_with(&secondary, SyncWish::default());
    assert_eq!(step.why, Why::Common);
    let count = primary.synchronise_by(step);
    assert_eq!(count.files_known, here as u64);
    assert_equal(&primary, &secondary);
}

#[test]
fn a_damaged_manifest_is_not_believed() {
    let two = Two::new();
    let (primary, secondary) = two.fresh();
    files(&primary, 3);
    meet(&primary, &secondary, SyncWish::default());
    let stopped = secondary.stop();
    let good = std::fs::read(stopped.manifest()).unwrap();
    assert_eq!(good.len(), HEADER + 3 * ENTRY + DIGEST);
    let refuse = |bytes: &[u8], boot: &str, what: &str| {
        std::fs::write(stopped.manifest(), bytes).unwrap();
        let table = Arc::new(crate::table::Table::create(9).unwrap());
        let backing = Backing::open(&stopped.root, &stopped.root.with_extension("hold"), table).unwrap();
        assert!(take(&backing, boot, false).is_err(), "{what}");
        assert!(backing.table().with_flags(SAME).is_empty(), "{what}");
        assert!(!stopped.manifest().exists(), "{what}: it is over");
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refuse(&bad, BOOT, &format!("byte {at} flipped"));
    }
    for len in (0..good.len()).step_by(7) {
        refuse(&good[..len], BOOT, &format!("cut off at {len}"));
    }
    refuse(&good, "another boot", "a boot in between");
    // The same data under another root (a copy made by hand).
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("data")).unwrap();
    let table = Arc::new(crate::table::Table::create(9).unwrap());
    let control = other.path().join("data.hold");
    let backing = Backing::open(&other.path().join("data"), &control, table).unwrap();
    std::fs::write(control.join("manifest"), &good).unwrap();
    assert!(matches!(take(&backing, BOOT, false), Err(ManifestError::OtherDirectory)));
    std::fs::write(stopped.manifest(), &good).unwrap();
    let again = two.secondary(stopped);
    assert_eq!(again.backing.table().with_flags(SAME).len(), 3, "the good one is");
}

#[test]
fn entries_and_headers_round_trip() {
    let handle = Handle::from_parts(-7, &[3; 20]).unwrap();
    let state = State { size: u64::MAX, mtime: (-5, 999_999_999), ctime: (i64::MAX, 1) };
    let entry = Entry { id: 1 << 52, handle, state };
    assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    let common = Common { stream: 9, at: 8, sender: true };
    let header = Header { entries: 4, common, counter: 77, device: 3, root: handle, boot: boot(BOOT) };
    assert_eq!(Header::decode(&header.encode()), Some(header));
    assert_eq!(Header::decode(&[0; HEADER]), None);
}

#[test]
fn what_changed_in_the_last_tick_is_not_settled() {
    let at = |ctime: (i64, u32)| State { size: 0, mtime: (0, 0), ctime };
    let now = Duration::from_millis(100_000);
    assert!(!at((99, 990_000_000)).is_settled(now));
    assert!(at((99, 980_000_000)).is_settled(now));
    assert!(!at((101, 5)).is_settled(now), "from the future: the clock was set back");
    assert!(!at((98, 0)).is_settled(now), "whole seconds");
    assert!(at((97, 0)).is_settled(now));
}

/// Everything that somebody may do to a stopped copy.
fn tamper(root: &Path, dice: &mut impl FnMut(u64) -> u64) {
    let mut all: Vec<PathBuf> = describe(root).into_keys().filter(|path| path.components().count() > 0).collect();
    all.sort();
    let Some(path) = all.get(dice(all.len().max(1) as u64) as usize).map(|path| root.join(path)) else { return };
    let other = root.join(&all[dice(all.len() as u64) as usize]);
    let meta = std::fs::symlink_metadata(&path).unwrap();
    let regular = meta.is_file();
    // Errors (a directory that is full, into itself...) are of no account here.
    let _ = match dice(10) {
        0 | 1 if regular && meta.len() > 0 => {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let times = meta.modified().unwrap();
            file.write_at(&[dice(256) as u8], dice(meta.len())).unwrap();
            if dice(2) == 0 { file.set_modified(times) } else { Ok(()) }
        }
        2 if regular => std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(dice(9000))),
        // Another file of the same size, time and name.
        3 if regular => std::fs::read(&path).and_then(|mut content| {
            content.iter_mut().for_each(|byte| *byte ^= 0x55);
            let beside = root.join("beside");
            std::fs::write(&beside, content)?;
            std::fs::File::options().write(true).open(&beside)?.set_modified(meta.modified().unwrap())?;
            std::fs::rename(&beside, &path)
        }),
        4 => rustix::fs::renameat_with(
            rustix::fs::CWD,
            &path,
            rustix::fs::CWD,
            &other,
            rustix::fs::RenameFlags::EXCHANGE,
        )
        .map_err(io::Error::from),
        5 => std::fs::rename(&path, root.join(format!("moved{}", dice(5)))),
        6 if regular => std::fs::hard_link(&path, root.join(format!("linked{}", dice(5)))),
        7 => std::fs::remove_file(&path),
        8 if regular => std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)),
        9 => std::fs::write(root.join(format!("made{}", dice(5))), vec![dice(256) as u8; dice(5000) as usize]),
        _ => Ok(()),
    };
}

fn one_story(seed: u64) {
    let mut state = seed | 1;
    let mut dice = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % sides.max(1)
    };
    let two = Two::new();
    let (mut primary, mut secondary) = two.fresh();
    let mut mutator = Mutator::new(primary.hands(), seed);
    (0..150).for_each(|_| mutator.step());
    meet(&primary, &secondary, SyncWish::default());
    for _ in 0..3 {
        (0..20).for_each(|_| mutator.step());
        match dice(3) {
            // The secondary is stopped, the primary goes on.
            0 => {
                let stopped = secondary.stop();
                alone(&primary);
                (0..dice(30)).for_each(|_| mutator.step());
                (0..dice(8)).for_each(|_| tamper(&stopped.root, &mut dice));
                secondary = two.secondary(stopped);
            }
            // Both are.
            1 => {
                let (there, here) = (secondary.stop(), primary.stop());
                (0..dice(8)).for_each(|_| tamper(&here.root, &mut dice));
                (0..dice(8)).for_each(|_| tamper(&there.root, &mut dice));
                (primary, secondary) = (two.primary(here), two.secondary(there));
                mutator = Mutator::new(primary.hands(), seed ^ 0xabcd);
                alone(&primary);
                (0..dice(30)).for_each(|_| mutator.step());
            }
            // Only the link broke, in the middle of something.
            _ => {
                secondary.link.hang_up();
                (0..dice(15)).for_each(|_| mutator.step());
                alone(&primary);
                (0..dice(15)).for_each(|_| mutator.step());
            }
        }
        meet(&primary, &secondary, SyncWish::default());
    }
}

/// A synchronisation by manifest leaves equal copies, whatever happened on either side.
#[test]
fn copies_are_equal_after_any_story() {
    let config = Config { cases: 8, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&any::<u64>(), |seed| {
            one_story(seed);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_time_of_change_moves_with_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, b"0123").unwrap();
    let before = std::fs::metadata(&path).unwrap();
    std::thread::sleep(SETTLED);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_at(b"4", 1).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()));
    assert_ne!((before.ctime(), before.ctime_nsec()), (after.ctime(), after.ctime_nsec()));
}

/// `cargo test --profile lab -p hf-fs --lib manifest -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: 50,000 files"]
fn how_long_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    std::fs::create_dir(&root).unwrap();
    for n in 0..50_000 {
        let parent = root.join(format!("d{}", n % 200));
        std::fs::create_dir_all(&parent).unwrap();
        std::fs::write(parent.join(format!("f{n}")), b"some content").unwrap();
    }
    let open = || {
        let table = Arc::new(crate::table::Table::create(9).unwrap());
        Backing::open(&root, &root.with_extension("hold"), table).unwrap()
    };
    let backing = open();
    for n in 0..200 {
        let name = crate::backing::Name::new(format!("d{n}").as_bytes()).unwrap();
        let parent = backing.lookup(FileId::ROOT, &name).unwrap().id;
        for entry in backing.list(parent).unwrap() {
            let found = backing.lookup(parent, &crate::backing::Name::new(&entry.name).unwrap()).unwrap();
            backing.table().set_flags(found.id, SAME);
        }
    }
    let common = Common { stream: 1, at: 1, sender: true };
    let began = std::time::Instant::now();
    let written = write(&backing, &common, BOOT).unwrap();
    eprintln!("{written} files written in {:?}", began.elapsed());
    drop(backing);
    let backing = open();
    let began = std::time::Instant::now();
    let (_, files) = take(&backing, BOOT, false).unwrap().unwrap();
    eprintln!("{files} files taken in {:?}", began.elapsed());
    assert_eq!((written, files), (50_000, 50_000));
}
