use super::*;
use crate::ring::{RING_SIZE, RingWriter};
use hf_types::{Resource, ResourceValue};
use std::sync::mpsc::channel;

const PATIENCE: Duration = Duration::from_secs(20);

fn module() -> ModuleName {
    "pg".parse().unwrap()
}

fn line(at_us: i64, process: &str, level: Level) -> LogLine {
    LogLine {
        at_us,
        process: process.to_owned(),
        level,
        counter: u64::try_from(at_us).unwrap(),
        text: format!("line {at_us}"),
    }
}

struct Place {
    dir: tempfile::TempDir,
    notices: std::sync::mpsc::Receiver<Notice>,
    store: Store,
}

fn open(dir: tempfile::TempDir, rows_per_module: u64) -> Place {
    let (send, notices) = channel();
    let path = dir.path().join("holdfast.db");
    let limits = Limits { rows_per_module };
    let store = Store::open(&path, limits, move |notice| send.send(notice).unwrap()).unwrap();
    assert!(store.flush(PATIENCE));
    Place { dir, notices, store }
}

fn fresh() -> Place {
    open(tempfile::tempdir().unwrap(), 50_000)
}

fn times(store: &Store, levels: &[Level]) -> Vec<i64> {
    assert!(store.flush(PATIENCE));
    let lines = store.log(&module(), 1000, levels).unwrap();
    lines.iter().map(|line| line.at_us).collect()
}

const ALL: [Level; 6] = [Level::C, Level::U, Level::E, Level::S, Level::I, Level::D];

#[test]
fn the_log_is_asked_by_levels_and_number() {
    let place = fresh();
    for at in 1..=6 {
        let level = if at % 2 == 0 { Level::E } else { Level::D };
        place.store.add_line(&module(), line(at, "heart", level));
    }
    assert_eq!(times(&place.store, &[Level::E]), [2, 4, 6]);
    let last = place.store.log(&module(), 2, &ALL).unwrap();
    assert_eq!(last, [line(5, "heart", Level::D), line(6, "heart", Level::E)]);
    let other = "other".parse().unwrap();
    assert_eq!(place.store.log(&other, 9, &ALL).unwrap(), []);
}

#[test]
fn rings_are_merged_and_no_line_comes_twice_after_a_restart_of_the_daemon() {
    let place = fresh();
    let dir = place.dir.path().to_owned();
    let heart = RingWriter::open(&dir.join("heart.ring"), RING_SIZE).unwrap();
    let rfs = RingWriter::open(&dir.join("rfs.ring"), RING_SIZE).unwrap();
    for at in [1, 3, 5] {
        heart.write(&line(at, "heart", Level::E));
        rfs.write(&line(at + 1, "rfs", Level::E));
    }
    drop((heart, rfs));
    place.store.ingest(&module(), &dir);
    assert_eq!(times(&place.store, &ALL), [1, 2, 3, 4, 5, 6]);
    let Place { dir: keep, store, .. } = place;
    drop(store);
    let heart = RingWriter::open(&dir.join("heart.ring"), RING_SIZE).unwrap();
    heart.write(&line(7, "heart", Level::E));
    drop(heart);
    let place = open(keep, 50_000);
    place.store.ingest(&module(), &dir);
    place.store.ingest(&module(), &dir);
    assert_eq!(times(&place.store, &ALL), [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn lost_lines_are_told_in_the_log_itself() {
    let place = fresh();
    let dir = place.dir.path().to_owned();
    let ring = RingWriter::open(&dir.join("heart.ring"), 4096 + 64 * 256).unwrap();
    ring.write(&line(1, "heart", Level::E));
    // The ring has a thread of its own.
    let started = Instant::now();
    while times(&place.store, &ALL) != [1] {
        assert!(started.elapsed() < PATIENCE, "{:?}", times(&place.store, &ALL));
        place.store.ingest(&module(), &dir);
    }
    for at in 2..=101 {
        ring.write(&line(at, "heart", Level::E));
    }
    drop(ring);
    place.store.ingest(&module(), &dir);
    assert!(place.store.flush(PATIENCE));
    let lines = place.store.log(&module(), 65, &ALL).unwrap();
    assert_eq!(lines[0].text, "36 log lines of heart before this one were lost");
    assert_eq!(lines[1].at_us, 38);
}

#[test]
fn no_more_rows_are_kept_than_the_limit_says() {
    let place = open(tempfile::tempdir().unwrap(), 100);
    for at in 1..=6000 {
        while !place.store.add(Job::Line(module(), line(at, "heart", Level::E))) {}
    }
    assert!(place.store.flush(PATIENCE));
    let lines = place.store.log(&module(), u32::MAX, &ALL).unwrap();
    assert!(lines.len() < 2200, "{}", lines.len());
    assert_eq!(lines.last().unwrap().at_us, 6000);
}

#[test]
fn a_resource_is_stored_when_its_value_changes() {
    let place = fresh();
    let set = |at_us, value: ResourceValue| {
        let row = ResourceRow { at_us, name: "rfs.uptodate".to_owned(), value, by: "nfsadmin".to_owned() };
        place.store.add_resource(&module(), row);
    };
    set(1, ResourceValue::Up);
    set(2, ResourceValue::Up);
    set(3, ResourceValue::Text("\"quoted\"".to_owned()));
    set(4, ResourceValue::Up);
    assert!(place.store.flush(PATIENCE));
    let rows = place.store.resources(&module(), None, 10).unwrap();
    let times: Vec<i64> = rows.iter().map(|row| row.at_us).collect();
    assert_eq!(times, [1, 3, 4]);
    assert_eq!(rows[1].value, ResourceValue::Text("\"quoted\"".to_owned()));
}

fn command(what: &str, text: &str) -> CommandLine {
    let (kind, module, text) = ("safekit".to_owned(), None, text.to_owned());
    CommandLine { at_us: 1, kind, module, pid: 7, what: what.to_owned(), text }
}

#[test]
fn commands_are_kept() {
    let place = fresh();
    let lines = [command("START", "cluster config"), command("END", "0")];
    lines.iter().for_each(|line| place.store.add_command(line.clone()));
    assert!(place.store.flush(PATIENCE));
    assert_eq!(place.store.commands(5).unwrap(), lines);
    assert_eq!(place.store.commands(1).unwrap(), lines[1..]);
}

#[test]
fn a_database_of_the_first_version_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(dir.path().join("holdfast.db")).unwrap();
    old.execute_batch(
        "CREATE TABLE log (id INTEGER PRIMARY KEY, module TEXT NOT NULL, at_us INTEGER NOT NULL, process TEXT NOT NULL,
             level TEXT NOT NULL, counter INTEGER NOT NULL, text TEXT NOT NULL);
         CREATE TABLE ring (module TEXT NOT NULL, process TEXT NOT NULL, ring INTEGER NOT NULL, seq INTEGER NOT NULL,
             line INTEGER NOT NULL, PRIMARY KEY (module, process)) WITHOUT ROWID;
         CREATE TABLE resource (id INTEGER PRIMARY KEY, module TEXT NOT NULL, at_us INTEGER NOT NULL, name TEXT NOT NULL,
             value TEXT NOT NULL, set_by TEXT NOT NULL);
         CREATE TABLE command (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, module TEXT, command TEXT NOT NULL,
             called_by TEXT NOT NULL, outcome TEXT NOT NULL);
         INSERT INTO log VALUES (1, 'pg', 5, 'heart', 'E', 0, 'kept');
         INSERT INTO command VALUES (1, 9, 'pg', 'start', 'root', 'ok');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let place = open(dir, 100);
    assert!(place.store.flush(PATIENCE));
    let commands = place.store.commands(5).unwrap();
    assert_eq!((commands.len(), commands[0].at_us, commands[0].text.as_str()), (1, 9, "start -u root"));
    place.store.add_command(command("END", "0"));
    assert_eq!(times(&place.store, &ALL), [5]);
    assert_eq!(place.store.commands(5).unwrap().len(), 2);
}

#[test]
fn a_log_is_followed_from_where_one_was() {
    let place = fresh();
    for at in 1..=3 {
        place.store.add_line(&module(), line(at, "heart", Level::E));
    }
    assert!(place.store.flush(PATIENCE));
    let (lines, next) = place.store.log_after(&module(), None, 2, &ALL).unwrap();
    assert_eq!(lines.iter().map(|line| line.at_us).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(place.store.log_after(&module(), Some(next), 2, &ALL).unwrap(), (vec![], next));
    place.store.add_line(&module(), line(4, "heart", Level::D));
    place.store.add_line(&module(), line(5, "heart", Level::E));
    assert!(place.store.flush(PATIENCE));
    let (lines, further) = place.store.log_after(&module(), Some(next), 1, &[Level::E]).unwrap();
    assert_eq!(lines.iter().map(|line| line.at_us).collect::<Vec<_>>(), [5]);
    assert_eq!(place.store.log_after(&module(), Some(further), 1, &ALL).unwrap().0, []);
}

#[test]
fn cleaning_forgets_one_module_and_no_other() {
    let place = fresh();
    let other: ModuleName = "other".parse().unwrap();
    for name in [&module(), &other] {
        place.store.add_line(name, line(1, "heart", Level::E));
        let row = ResourceRow { at_us: 1, name: "custom.x".into(), value: ResourceValue::Up, by: "me".into() };
        place.store.add_resource(name, row);
    }
    place.store.clean_log(&module());
    place.store.clean_resources(&module());
    assert!(place.store.flush(PATIENCE));
    let left = |name: &ModuleName| {
        (place.store.log(name, 9, &ALL).unwrap().len(), place.store.resources(name, None, 9).unwrap().len())
    };
    assert_eq!((left(&module()), left(&other)), ((0, 0), (1, 1)));
}

#[test]
fn resources_come_through_a_ring_with_their_own_time() {
    let place = fresh();
    let ring = RingWriter::open(&place.dir.path().join("heart.ring"), RING_SIZE).unwrap();
    let resource = |at_us, value| Resource { name: "custom.x".into(), value, by: "script".into(), at_us };
    assert!(ring.write_resource(&resource(1, ResourceValue::Up), false));
    assert!(ring.write(&line(2, "heart", Level::E)));
    assert!(ring.write_resource(&resource(3, ResourceValue::Up), false));
    assert!(ring.write_resource(&resource(4, ResourceValue::Up), true));
    drop(ring);
    place.store.ingest(&module(), place.dir.path());
    assert!(place.store.flush(PATIENCE));
    let rows = place.store.resources(&module(), Some("custom.x"), 9).unwrap();
    assert_eq!(rows.iter().map(|row| row.at_us).collect::<Vec<_>>(), [1, 4], "the same value only when asked for");
    assert_eq!(times(&place.store, &ALL), [2]);
    assert_eq!(place.store.resources(&module(), Some("custom.y"), 9).unwrap(), []);
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_with_a_message() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("holdfast.db"), "no database".repeat(1000)).unwrap();
    let place = open(dir, 100);
    let notice = place.notices.recv_timeout(PATIENCE).unwrap();
    assert!(notice.0.contains("moved to"), "{notice:?}");
    place.store.add_line(&module(), line(1, "heart", Level::E));
    assert_eq!(times(&place.store, &ALL), [1]);
    let aside = std::fs::read_dir(place.dir.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("holdfast.db.damaged-")
    });
    assert_eq!(aside.count(), 1);
}

#[test]
fn a_database_damaged_while_it_is_in_use_is_replaced_and_writing_goes_on() {
    let place = fresh();
    for at in 1..=2000 {
        while !place.store.add(Job::Line(module(), line(at, "heart", Level::E))) {}
    }
    assert!(place.store.flush(PATIENCE));
    let Place { dir, store, .. } = place;
    drop(store);
    let path = dir.path().join("holdfast.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[4096..half].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let place = open(dir, 100);
    assert!(place.notices.recv_timeout(PATIENCE).unwrap().0.contains("moved to"));
    place.store.add_line(&module(), line(5, "heart", Level::E));
    assert_eq!(times(&place.store, &ALL), [5]);
}

#[test]
fn a_place_that_can_not_be_written_stops_nobody_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("holdfast.db")).unwrap();
    let place = open(dir, 100);
    place.store.add_line(&module(), line(1, "heart", Level::E));
    let notice = place.notices.recv_timeout(PATIENCE).unwrap();
    assert!(notice.0.contains("can't be opened"), "{notice:?}");
    assert!(place.store.log(&module(), 1, &ALL).is_err());
}

#[test]
fn what_was_written_is_in_the_database_itself_a_little_later_without_the_log_beside_it() {
    let place = fresh();
    let began = Instant::now();
    place.store.add_line(&module(), line(1, "heart", Level::E));
    assert!(place.store.flush(PATIENCE));
    let copied = place.dir.path().join("copy.db");
    let found = || {
        std::fs::copy(place.dir.path().join("holdfast.db"), &copied).unwrap();
        let copy = Connection::open(&copied).unwrap();
        copy.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0)).unwrap_or(0) == 1
    };
    let at_once = found();
    assert!(!at_once || began.elapsed() >= SYNC_AFTER, "only beside it at first");
    let started = Instant::now();
    while !found() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
}
