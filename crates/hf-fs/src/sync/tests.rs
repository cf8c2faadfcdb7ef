use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hf_replica::ladder::{Step, Why};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::link::acks::Mode;
use crate::link::harness::*;
use crate::link::{Flow, LinkOptions, Tuning};
use crate::pipeline::{FileId, GateState};
use crate::sync::mutator::Mutator;
use hf_replica::engine::EngineEvent;

const RING: usize = 16 << 20;
const CONTENT: super::SyncOptions =
    super::SyncOptions { bandwidth: None, step: Step { common: None, before_s: None, why: Why::Asked } };

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
    primary.seen.lock().unwrap().clear();
    let count = primary.synchronise();
    assert_eq!(count.bytes_sent, 1 << 20);
    let seen = primary.seen.lock().unwrap().clone();
    let files: Vec<_> = seen.iter().filter(|event| matches!(event, EngineEvent::SyncFile { .. })).collect();
    assert_eq!(files, [&EngineEvent::SyncFile { dir: 0, path: "large".to_owned(), bytes: 1 << 20 }], "reidetail");
    assert_equal(&primary, &secondary);
}

#[test]
fn a_copy_that_gives_no_answer_ends_it() {
    let (a, b) = (free_address(), free_address());
    let patience = std::time::Duration::from_millis(300);
    let primary = Node::new(LinkOptions { tuning: Tuning::new(1, patience, false), ..options(a, b, true) }, 1, RING);
    let secondary = Node::new(options(b, a, true), 2, RING);
    connect(&primary, &secondary);
    let hands = primary.hands();
    let file = hands.create(FileId::ROOT, "file").unwrap();
    hands.write(file, 0, b"content").unwrap();
    // Questions go nowhere there; everything else goes on.
    crate::link::lock(&secondary.link.digests).take();
    primary.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Syncing));
    let walk = super::start(&primary.link, rand_stream(), CONTENT).unwrap();
    let why = primary.wait("the end", |event| match event {
        EngineEvent::SyncFailed { why } => Some(why.clone()),
        _ => None,
    });
    walk.join().unwrap();
    assert!(why.contains("reitimeout"), "{why}");
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
        let walk = super::start(&primary.link, rand_stream(), CONTENT).unwrap();
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
