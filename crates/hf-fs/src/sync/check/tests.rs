use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hf_wire::check::{CheckCount, CheckReport, Differs};

use super::{CheckRefused, Report, verify};
use crate::link::harness::*;
use crate::pipeline::FileId;
use crate::sync::mutator::Mutator;

const RING: usize = 16 << 20;
const LIMIT: Duration = Duration::from_secs(60);

fn channel() -> (Report, mpsc::Receiver<CheckReport>) {
    let (sender, reports) = mpsc::channel();
    (Arc::new(move |report| sender.send(report).is_ok()), reports)
}

/// What is found, and how it ended.
fn collect(reports: &mpsc::Receiver<CheckReport>) -> (Vec<(String, Differs)>, Result<CheckCount, String>) {
    let mut found = Vec::new();
    loop {
        match reports.recv_timeout(LIMIT).expect("a verification ends") {
            CheckReport::Progress(_) => {}
            CheckReport::Found(difference) => found.push((difference.path, difference.differs)),
            CheckReport::Ended(count) => return (found, Ok(count)),
            CheckReport::Failed { why } => return (found, Err(why)),
        }
    }
}

fn check(node: &Node) -> (Vec<(String, Differs)>, CheckCount) {
    let (report, reports) = channel();
    verify(&node.link, rand_stream(), report).unwrap();
    let (mut found, count) = collect(&reports);
    found.sort();
    (found, count.unwrap())
}

fn wait_until_equal(primary: &Node, secondary: &Node) {
    assert_equal(primary, secondary);
}

fn both(steps: usize, seed: u64) -> (Node, Node, Mutator) {
    let (primary, secondary) = pair(true, RING);
    let mut mutator = Mutator::new(primary.hands(), seed);
    (0..steps).for_each(|_| mutator.step());
    primary.synchronise();
    (primary, secondary, mutator)
}

#[test]
fn equal_copies_are_equal_asked_on_either_node() {
    let (primary, secondary, _) = both(200, 7);
    wait_until_equal(&primary, &secondary);
    let files = describe(&primary.root).len() as u64;
    for node in [&primary, &secondary] {
        let (found, count) = check(node);
        assert_eq!(found, []);
        assert_eq!((count.differences, count.again), (0, 0));
        assert!(count.files <= files && count.files * 2 > files, "hard links count once: {count:?}, {files} names");
    }
}

/// What somebody does below the mount of the secondary, and what is said of it.
#[test]
fn every_planted_difference_is_found_and_named_and_a_synchronisation_repairs_it() {
    let (primary, secondary) = pair(true, RING);
    let hands = primary.hands();
    let dir = hands.mkdir(FileId::ROOT, "dir").unwrap();
    for name in ["content", "missing", "mode", "attribute", "size", "replaced", "owner"] {
        let file = hands.create(dir, name).unwrap();
        hands.write(file, 3 << 20, &vec![7; 100_000]).unwrap();
        hands.set_xattr(file, "user.known", b"value").unwrap();
    }
    primary.synchronise();
    wait_until_equal(&primary, &secondary);
    let at = |name: &str| secondary.root.join("dir").join(name);
    let times_before = at("content").metadata().unwrap();

    plant(&at("content"), |path| overwrite(path, 2 << 20));
    let times = at("content").metadata().unwrap();
    assert_eq!((times.len(), times.mtime_nsec()), (times_before.len(), times_before.mtime_nsec()), "well hidden");
    plant(&at("size"), |path| overwrite(path, 5 << 20));
    plant(&at("mode"), |path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap());
    plant(&at("owner"), |path| std::os::unix::fs::chown(path, Some(7), None).unwrap());
    plant(&at("attribute"), |path| {
        rustix::fs::setxattr(path, "user.known", b"other", rustix::fs::XattrFlags::empty()).unwrap();
    });
    plant(&secondary.root.join("dir"), |_| {
        std::fs::remove_file(at("missing")).unwrap();
        std::fs::write(at("extra"), b"").unwrap();
        std::fs::copy(at("replaced"), at("copy")).unwrap();
        std::fs::rename(at("copy"), at("replaced")).unwrap();
    });
    let expected = [
        ("dir/attribute", Differs::Attributes),
        ("dir/content", Differs::Content),
        ("dir/extra", Differs::Extra),
        ("dir/missing", Differs::Missing),
        ("dir/mode", Differs::Mode),
        ("dir/owner", Differs::Owner),
        ("dir/replaced", Differs::Replaced),
        ("dir/size", Differs::Size),
    ];
    for node in [&secondary, &primary] {
        let (found, count) = check(node);
        let of = |name: &str| found.iter().filter(|(path, _)| path == name).map(|(_, what)| *what).collect::<Vec<_>>();
        for (name, differs) in expected {
            assert!(of(name).contains(&differs), "{name}: {found:?}");
        }
        assert!(found.iter().all(|(path, _)| expected.iter().any(|(name, _)| name == path)), "{found:?}");
        assert_eq!(count.differences, found.len() as u64);
    }
    primary.synchronise();
    wait_until_equal(&primary, &secondary);
    assert_eq!(check(&primary).0, []);
}

fn overwrite(path: &Path, offset: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"!", offset).unwrap();
}

/// Leaves no trace in the times.
fn plant(path: &Path, act: impl FnOnce(&Path)) {
    let meta = path.metadata().unwrap();
    act(path);
    let times = std::fs::FileTimes::new().set_modified(meta.modified().unwrap());
    std::fs::File::open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn what_applications_write_meanwhile_is_no_difference() {
    for seed in [11, 12, 13] {
        let (primary, secondary, mutator) = both(300, seed * 7919);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (stop, mut mutator) = (stop.clone(), mutator);
            move || {
                while !stop.load(Ordering::SeqCst) {
                    mutator.step();
                }
            }
        });
        let mut again = 0;
        for round in 0..12 {
            let (found, count) = check(if round % 2 == 0 { &primary } else { &secondary });
            assert_eq!(found, [], "round {round}");
            again += count.again;
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        wait_until_equal(&primary, &secondary);
        println!("compared again: {again}");
    }
}

/// One file that is always being written: each comparison without a lock can go wrong, none in the stream may.
#[test]
fn a_difference_is_found_in_a_file_that_is_being_written() {
    let (primary, secondary) = pair(true, RING);
    let hands = primary.hands();
    let file = hands.create(FileId::ROOT, "hot").unwrap();
    hands.write(file, 0, &vec![1; 8 << 20]).unwrap();
    primary.synchronise();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (stop, hands) = (stop.clone(), hands.clone());
        move || {
            let mut n = 0u64;
            while !stop.load(Ordering::SeqCst) {
                n += 1;
                // Not the last zone: what is planted there stays.
                hands.write(file, n * 4096 % (7 << 20), &n.to_le_bytes()).unwrap();
            }
        }
    });
    let mut again = 0;
    while again == 0 {
        let (found, count) = check(&primary);
        assert_eq!(found, []);
        again += count.again;
    }
    overwrite(&secondary.root.join("hot"), (7 << 20) + 5);
    let (found, _) = check(&secondary);
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert!(found.contains(&("hot".to_owned(), Differs::Content)), "{found:?}");
}

#[test]
fn a_verification_that_can_not_be_true_is_refused_or_ends() {
    let (primary, secondary) = pair(true, RING);
    let (report, _reports) = channel();
    assert_eq!(verify(&primary.link, 1, report.clone()), Err(CheckRefused::Alone));
    assert_eq!(verify(&secondary.link, 1, report), Err(CheckRefused::NotInStep));
    let hands = primary.hands();
    for n in 0..200 {
        let file = hands.create(FileId::ROOT, &format!("file{n}")).unwrap();
        hands.write(file, 0, &vec![n as u8; 1 << 20]).unwrap();
    }
    primary.synchronise();
    wait_until_equal(&primary, &secondary);
    let (report, reports) = channel();
    verify(&secondary.link, 2, report).unwrap();
    let (other, _others) = channel();
    assert_eq!(verify(&secondary.link, 3, other), Err(CheckRefused::Running));
    secondary.link.out.shutdown();
    let (found, ended) = collect(&reports);
    assert_eq!(found, []);
    // It may have been quicker than the end of the connection.
    if let Err(why) = ended {
        assert!(why.contains("connection"), "{why}");
    }
}

#[test]
fn nobody_who_listens_ends_it() {
    let (a, b) = (free_address(), free_address());
    let mut slow = options(a, b, true);
    slow.check_bandwidth = Some(1 << 20);
    let (primary, secondary) = (Node::new(slow, 1, RING), Node::new(options(b, a, true), 2, RING));
    connect(&primary, &secondary);
    let hands = primary.hands();
    // Reading it takes twice as long as is waited here.
    let file = hands.create(FileId::ROOT, "long").unwrap();
    hands.truncate(file, (2 * LIMIT.as_secs()) << 20).unwrap();
    hands.create(FileId::ROOT, "missing").unwrap();
    primary.synchronise();
    wait_until_equal(&primary, &secondary);
    std::fs::remove_file(secondary.root.join("missing")).unwrap();
    let (report, reports) = channel();
    verify(&secondary.link, 5, report).unwrap();
    reports.recv_timeout(LIMIT).expect("it goes on");
    drop(reports);
    let end = std::time::Instant::now() + LIMIT;
    while primary.link.checks.running.load(Ordering::SeqCst) {
        assert!(std::time::Instant::now() < end, "it goes on for nobody");
        std::thread::sleep(Duration::from_millis(1));
    }
}
