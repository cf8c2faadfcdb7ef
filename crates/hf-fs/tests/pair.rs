//! Two mounts that follow each other. Needs root and kernel 6.9.

mod common;

use std::fs;
use std::io::Write;
use std::time::Duration;

use common::load::Load;
use common::pair::Pair;

fn in_step(kind: &str) -> Pair {
    let mut pair = Pair::start(kind);
    pair.connect();
    pair.synchronise();
    pair
}

#[test]
fn applications_on_one_mount_are_followed_by_the_other() {
    for kind in ["none", "second"] {
        let mut pair = in_step(kind);
        let load = Load::start(&pair.primary.mount());
        std::thread::sleep(Duration::from_secs(1));
        load.end();
        fs::create_dir(pair.primary.mount().join("left")).unwrap();
        fs::write(pair.primary.mount().join("left/behind"), b"text").unwrap();
        pair.assert_same();
        let refused = fs::write(pair.secondary.mount().join("x"), b"").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
        pair.stop_and_compare();
    }
}

#[test]
fn a_synchronisation_under_load_ends_with_equal_mounts() {
    let mut pair = Pair::start("second");
    pair.connect();
    for n in 0..50 {
        fs::create_dir(pair.primary.mount().join(format!("{n}"))).unwrap();
        fs::write(pair.primary.mount().join(format!("{n}/file")), vec![n; 100_000]).unwrap();
    }
    let load = Load::start(&pair.primary.mount());
    std::thread::sleep(Duration::from_millis(200));
    pair.synchronise();
    std::thread::sleep(Duration::from_millis(200));
    load.end();
    pair.stop_and_compare();
}

#[test]
fn who_opens_a_file_between_two_roles_waits_and_is_not_refused() {
    let mut pair = in_step("second");
    fs::write(pair.primary.mount().join("file"), b"before").unwrap();
    pair.hand_over();
    let path = pair.primary.mount().join("file");
    let opens = std::thread::spawn(move || fs::OpenOptions::new().write(true).truncate(true).open(path));
    // Long enough to be refused, if it were.
    std::thread::sleep(Duration::from_millis(300));
    pair.open_in_step();
    let mut file = opens.join().unwrap().unwrap();
    file.write_all(b"after").unwrap();
    drop(file);
    assert_eq!(fs::read(pair.primary.mount().join("file")).unwrap(), b"after");
    pair.stop_and_compare();
}

#[test]
fn roles_change_places_and_back() {
    let mut pair = in_step("second");
    for round in 0..4 {
        let mount = pair.primary.mount();
        fs::write(mount.join(format!("round{round}")), vec![round; 70_000]).unwrap();
        let mut log = fs::OpenOptions::new().append(true).create(true).open(mount.join("log")).unwrap();
        writeln!(log, "round {round}").unwrap();
        log.sync_all().unwrap();
        pair.swap();
    }
    let log = fs::read_to_string(pair.primary.mount().join("log")).unwrap();
    assert_eq!(log, "round 0\nround 1\nround 2\nround 3\n");
    pair.assert_same();
    pair.stop_and_compare();
}

/// Both at once: what a successor repeats must reach the other copy once, and in order.
#[test]
fn fifty_deaths_of_the_primary_and_no_application_notices() {
    let mut pair = in_step("second");
    let load = pair.load();
    for death in 0..50u64 {
        std::thread::sleep(Duration::from_millis(10 + death * 37 % 101));
        pair.kill_primary();
    }
    std::thread::sleep(Duration::from_millis(100));
    let rounds = load.end();
    assert!(rounds > 100, "the load went on: {rounds} rounds");
    pair.stop_and_compare();
}

#[test]
fn both_die_in_turn_and_the_copies_stay_equal() {
    let mut pair = in_step("none");
    let load = pair.load();
    for death in 0..20u64 {
        std::thread::sleep(Duration::from_millis(10 + death * 37 % 101));
        if death % 2 == 0 { pair.kill_secondary() } else { pair.kill_primary() }
    }
    load.end();
    pair.stop_and_compare();
}

/// `mountover="off"`: the data is in the directory itself, before, meanwhile under our mount, and afterwards.
#[test]
fn a_directory_that_keeps_its_name_is_followed_over_deaths_and_swaps() {
    let mut pair = Pair::unrenamed("second");
    pair.connect();
    pair.synchronise();
    let load = pair.load();
    for _ in 0..3 {
        pair.kill_primary();
        pair.kill_secondary();
    }
    load.end();
    pair.swap();
    fs::write(pair.primary.mount().join("after"), b"text").unwrap();
    assert_eq!(fs::read_dir(pair.primary.data()).map(|names| names.count()).unwrap_or(0), 0, "it is covered");
    pair.assert_same();
    pair.stop();
    for node in [&pair.primary, &pair.secondary] {
        for name in ["before", "after"] {
            assert_eq!(fs::read(node.mount().join(name)).unwrap(), b"text");
        }
        assert!(!node.data().exists(), "nothing of the second mount is left");
    }
}
