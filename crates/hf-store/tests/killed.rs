//! A writer of a ring, and a writer of the database, are killed with SIGKILL in the middle: this test runs itself again as
//! the victim.

use hf_store::{Limits, RingWriter, Store};
use hf_types::{Level, LogLine, ModuleName};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const VICTIM: &str = "HF_STORE_TEST_VICTIM";
const ALL: [Level; 6] = [Level::C, Level::U, Level::E, Level::S, Level::I, Level::D];

/// Numbers of a round's lines begin at a multiple of this.
const ROUND: u64 = 1_000_000;

fn module() -> ModuleName {
    "pg".parse().unwrap()
}

fn line(n: u64) -> LogLine {
    LogLine {
        at_us: n as i64,
        process: "heart".to_owned(),
        level: Level::E,
        counter: n,
        text: "y".repeat((n as usize * 37) % 700),
    }
}

fn run_victim(what: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--ignored"])
        .env(VICTIM, format!("{what}:{}", dir.display()))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test: what the others start and kill.
#[test]
#[ignore]
fn victim() {
    let Ok(order) = std::env::var(VICTIM) else {
        return;
    };
    let (what, dir) = order.split_once(':').unwrap();
    match what {
        "ring" => write_forever(Path::new(dir)),
        _ => ingest_forever(Path::new(dir)),
    }
}

fn write_forever(dir: &Path) {
    let ring = RingWriter::open(&dir.join("heart.ring"), 1 << 22).unwrap();
    let mut n = std::fs::read_to_string(dir.join("next")).map_or(1, |text| text.parse().unwrap());
    loop {
        if ring.write(&line(n)) {
            n += 1;
        }
        if n.is_multiple_of(16) {
            std::fs::write(dir.join("ring.works"), "").unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn ingest_forever(dir: &Path) {
    let store = Store::open(&dir.join("holdfast.db"), Limits::default(), |_| ()).unwrap();
    loop {
        store.ingest(&module(), dir);
        store.flush(Duration::from_secs(5));
        std::fs::write(dir.join("db.works"), "").unwrap();
    }
}

fn read_all(dir: &Path) -> Vec<LogLine> {
    let store = Store::open(&dir.join("holdfast.db"), Limits::default(), |n| panic!("{n:?}")).unwrap();
    store.ingest(&module(), dir);
    assert!(store.flush(Duration::from_secs(30)));
    let mut lines = store.log(&module(), 1_000_000, &ALL).unwrap();
    // A line that found the queue full is written again by the victim; the notice of it is no line of the victim's.
    lines.retain(|line| line.level == Level::E);
    lines
}

/// A victim is in the middle of its work, however slow the machine is.
fn wait_and_remove(mark: &Path) {
    let began = std::time::Instant::now();
    while std::fs::remove_file(mark).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{} never came", mark.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn whatever_is_killed_lines_come_once_in_order_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        std::fs::write(dir.path().join("next"), (round * ROUND + 1).to_string()).unwrap();
        let mut writer = run_victim("ring", dir.path());
        let mut reader = run_victim("db", dir.path());
        for victim in ["ring.works", "db.works"] {
            wait_and_remove(&dir.path().join(victim));
        }
        std::thread::sleep(Duration::from_millis(20 + round * 23));
        writer.kill().unwrap();
        reader.kill().unwrap();
        writer.wait().unwrap();
        reader.wait().unwrap();
        check(&read_all(dir.path()), round);
    }
    assert!(read_all(dir.path()).len() > 16, "the victims wrote nothing");
}

/// Every line as it was written, none twice, none missing between two; a round begins with its own numbers. (The last line of a round may
/// come only when the next writer has found it in the ring: its predecessor died before it could say that it was there.)
fn check(lines: &[LogLine], round: u64) {
    let numbers: Vec<u64> = lines.iter().map(|line| line.counter).collect();
    let torn = lines.iter().find(|found| **found != line(found.counter));
    assert!(torn.is_none(), "round {round}: {torn:?}");
    assert!(numbers.first().is_none_or(|first| first % ROUND == 1), "round {round}: begins with {numbers:?}");
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1 && !(pair[1] > pair[0] && pair[1] % ROUND == 1));
    assert!(gap.is_none(), "round {round}: lost, doubled or out of order: {gap:?}");
}
