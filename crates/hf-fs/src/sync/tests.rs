use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::backing::{Change, New};
use crate::link::harness::*;
use crate::pipeline::{Attrs, FileId, Stamp};

const RING: usize = 16 << 20;

/// Small numbers that differ from run to run by their seed only.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let seed = self.roll(256) as u8;
        (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect()
    }
}

/// Does what an application might do at random; errors (a name that is there, a directory that is full...) are its own.
pub(super) struct Mutator {
    hands: Hands,
    dice: Dice,
    dirs: Vec<FileId>,
    files: Vec<FileId>,
}

impl Mutator {
    pub(super) fn new(hands: Hands, seed: u64) -> Mutator {
        Mutator { hands, dice: Dice(seed | 1), dirs: vec![FileId::ROOT], files: Vec::new() }
    }

    fn dir(&mut self) -> FileId {
        self.dirs[self.dice.roll(self.dirs.len() as u64) as usize]
    }

    fn file(&mut self) -> FileId {
        match self.files.len() as u64 {
            0 => FileId::ROOT,
            n => self.files[self.dice.roll(n) as usize],
        }
    }

    fn name(&mut self) -> String {
        format!("n{}", self.dice.roll(12))
    }

    pub(super) fn step(&mut self) {
        let (dir, file, name) = (self.dir(), self.file(), self.name());
        let hands = self.hands.clone();
        let attrs = Attrs {
            mode: [0o644, 0o600, 0o4755, 0o2711][self.dice.roll(4) as usize],
            uid: self.dice.roll(3) as u32,
            gid: self.dice.roll(3) as u32,
        };
        match self.dice.roll(20) {
            0..=2 => self.files.extend(hands.make(dir, &name, &New::File, attrs)),
            3 => self.dirs.extend(hands.make(dir, &name, &New::Directory, Attrs { mode: attrs.mode | 0o700, ..attrs })),
            4 => drop(hands.make(dir, &name, &New::Symlink(self.name().as_bytes()), attrs)),
            5 => drop(hands.make(dir, &name, &New::Special { kind: libc::S_IFIFO, rdev: 0 }, attrs)),
            6..=9 => {
                let longest = if self.dice.roll(4) == 0 { 700_000 } else { 9000 };
                let (offset, len) = (self.dice.roll(3 << 20), self.dice.roll(longest));
                let data = self.dice.bytes(len + 1);
                drop(hands.write(file, offset, &data));
            }
            10 => drop(hands.truncate(file, self.dice.roll(3 << 20))),
            11 => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                drop(hands.allocate(file, mode, self.dice.roll(2 << 20), 1 + self.dice.roll(1 << 20)));
            }
            12 => drop(hands.link(file, dir, &name)),
            13 | 14 => drop(hands.remove(dir, &name)),
            15 | 16 => {
                let (to, new_name) = (self.dir(), self.name());
                drop(hands.rename((dir, &name), (to, &new_name), self.dice.roll(4) == 0));
            }
            17 => {
                let mtime = Some(Stamp { sec: self.dice.roll(2_000_000_000) as i64, nsec: 5 });
                let change = Change { owner: Some((attrs.uid, attrs.gid)), mode: Some(attrs.mode), mtime, atime: None };
                drop(hands.set_attr(file, change));
            }
            18 => drop(hands.set_xattr(file, &format!("user.x{}", self.dice.roll(3)), &self.dice.bytes(20))),
            _ => drop(hands.remove_xattr(file, &format!("user.x{}", self.dice.roll(3)))),
        }
    }
}

/// A tree there that has nothing to do with ours, with names that collide.
fn litter(node: &Node, seed: u64, steps: usize) {
    let mut alone = Mutator::new(node.hands(), seed);
    alone.hands.backing = node.backing.clone();
    node.link.set_gate(
        crate::link::acks::Mode::Pass,
        crate::pipeline::GateState::Open { epoch: 1 },
        Some(crate::link::Flow::Alone),
    );
    (0..steps).for_each(|_| alone.step());
}

fn check(seed: u64, before: usize, there: usize, concurrently: bool) {
    let (a, b) = (free_address(), free_address());
    let primary = Node::new(options(a, b, true), 1, RING);
    let secondary = Node::new(options(b, a, true), 2, RING);
    litter(&secondary, seed ^ 0x5555, there);
    connect(&primary, &secondary);
    let mut mutator = Mutator::new(primary.hands(), seed);
    (0..before).for_each(|_| mutator.step());
    let stop = Arc::new(AtomicBool::new(!concurrently));
    let thread = std::thread::spawn({
        let stop = stop.clone();
        move || {
            while !stop.load(Ordering::SeqCst) {
                mutator.step();
            }
            mutator
        }
    });
    primary.synchronise();
    stop.store(true, Ordering::SeqCst);
    let mut mutator = thread.join().unwrap();
    assert_equal(&primary, &secondary);
    (0..50).for_each(|_| mutator.step());
    assert_equal(&primary, &secondary);
}

#[test]
fn a_tree_is_copied_to_an_empty_copy() {
    check(1, 300, 0, false);
}

#[test]
fn a_tree_replaces_another_one() {
    check(2, 300, 300, false);
}

#[test]
fn trees_are_equal_though_everything_changes_meanwhile() {
    for seed in 10..16 {
        check(seed * 7919, 200, 200, true);
    }
}

#[test]
fn equal_trees_send_nothing() {
    let (primary, secondary) = pair(true, RING);
    let mut mutator = Mutator::new(primary.hands(), 99);
    (0..200).for_each(|_| mutator.step());
    let first = primary.synchronise();
    assert!(first.bytes_sent > 0);
    assert_equal(&primary, &secondary);
    let second = primary.synchronise();
    assert_eq!(second.bytes_sent, 0);
    assert_eq!(second.files_done, second.files_total);
    assert_equal(&primary, &secondary);
}

#[test]
fn only_zones_that_differ_travel() {
    let (primary, secondary) = pair(true, RING);
    let hands = primary.hands();
    let file = hands.create(FileId::ROOT, "large").unwrap();
    for zone in 0..20 {
        hands.write(file, zone << 20, &vec![zone as u8 + 1; 1 << 20]).unwrap();
    }
    primary.synchronise();
    assert_equal(&primary, &secondary);
    std::fs::OpenOptions::new()
        .write(true)
        .open(secondary.root.join("large"))
        .and_then(|file| std::os::unix::fs::FileExt::write_at(&file, b"!", 5 << 20))
        .unwrap();
    let count = primary.synchronise();
    assert_eq!(count.bytes_sent, 1 << 20);
    assert_equal(&primary, &secondary);
}

#[test]
fn a_broken_synchronisation_begins_again() {
    let (primary, secondary) = pair(true, RING);
    let mut mutator = Mutator::new(primary.hands(), 4242);
    (0..400).for_each(|_| mutator.step());
    for _ in 0..3 {
        primary.link.set_gate(
            crate::link::acks::Mode::Pass,
            crate::pipeline::GateState::Open { epoch: 1 },
            Some(crate::link::Flow::Syncing),
        );
        let walk = super::start(&primary.link, rand_stream(), super::SyncOptions::default()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3));
        secondary.link.out.shutdown();
        walk.join().unwrap();
        for node in [&primary, &secondary] {
            node.wait_link();
            node.events.lock().unwrap().try_iter().for_each(drop);
            node.seen.lock().unwrap().clear();
        }
    }
    primary.synchronise();
    assert_equal(&primary, &secondary);
}

#[test]
fn random_seeds() {
    let config = Config { cases: 6, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&any::<u64>(), |seed| {
            check(seed, 60, 60, true);
            Ok(())
        })
        .unwrap();
}
