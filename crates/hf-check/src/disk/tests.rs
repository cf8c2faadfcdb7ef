use super::seen::{Grew, Seen};
use super::walk::{Walks, walk};
use super::*;
use hf_config::{Room, When};
use hf_types::ResourceValue::{Down, Unknown};

fn check(dir: &str, free: Room) -> DiskCheck {
    let (ident, dir) = ("x".to_owned(), dir.to_owned());
    DiskCheck { ident, when: When::Pre, action: None, dir, free, write: true, interval_ms: 100, timeout_ms: 60_000 }
}

fn probe(free: Room) -> DiskProbe {
    DiskProbe::new(&check("/srv", free), PathBuf::from("/nowhere"))
}

const GB: u64 = 1 << 30;

fn seen(free: u64) -> Seen {
    Seen { free, total: 100 * GB, ..Seen::default() }
}

#[test]
fn room_is_judged_with_a_margin_on_the_way_back() {
    let mut probe = probe(Room::Percent(10));
    assert_eq!(probe.judge(&seen(10 * GB)), Found::up());
    let why = "/srv has 9216 MiB free of 100 GiB, and 10% are wanted; look with: du -xhd1 /srv | sort -h";
    assert_eq!(probe.judge(&seen(9 * GB)), Found::down(why));
    assert_eq!(probe.judge(&seen(10 * GB)).value, Down, "no flapping");
    assert_eq!(probe.judge(&seen(12 * GB)), Found::up());
    assert_eq!(probe.judge(&seen(10 * GB)), Found::up());
    let full = Seen { errno: libc::ENOSPC, error: "no file can be made: x".to_owned(), ..seen(50 * GB) };
    assert!(probe.judge(&full).why.starts_with("/srv has 50 GiB free"), "no inodes left, say");
}

#[test]
fn the_directory_that_grew_is_named() {
    let mut probe = probe(Room::Bytes(GB));
    let grew = Some(Grew { dir: "/srv/log".to_owned(), bytes: 3 * GB, seconds: 1500 });
    let found = probe.judge(&Seen { grew, ..seen(0) });
    let why = "/srv has 0 bytes free of 100 GiB, and 1073741824 bytes are wanted; in 25 min /srv/log grew most, by 3072 MiB; \
               look with: du -xhd1 /srv/log | sort -h";
    assert_eq!(found, Found::down(why));
}

#[test]
fn what_can_only_be_read_is_down_unless_it_always_was_and_nothing_is_written() {
    let read_only = Seen { read_only: true, ..seen(50 * GB) };
    let mut probe = probe(Room::Percent(1));
    let found = probe.judge(&Seen { errno: libc::EROFS, error: "x".to_owned(), ..seen(50 * GB) });
    assert!(found.value == Down && found.why.starts_with("/srv can only be read"), "{found:?}");
    assert_eq!(probe.judge(&read_only).value, Down);
    probe.check.write = false;
    assert_eq!(probe.judge(&read_only).value, Down, "it became so");
    probe.always_read_only = Some(true);
    assert_eq!(probe.judge(&read_only), Found::up());
}

#[test]
fn how_long_it_lasts() {
    let minutes = |ago, before, free| minutes_to_full(Duration::from_secs(ago), before, free);
    assert_eq!(minutes(600, 30 * GB, 20 * GB), Some(20));
    assert_eq!(minutes(600, 20 * GB, 20 * GB), None);
    assert_eq!(minutes(600, 10 * GB, 20 * GB), None);
    assert_eq!(minutes(59, 30 * GB, 20 * GB), None);
    assert_eq!((size(9_000), size(20_480), size(11 * GB)), ("9000 bytes".into(), "20 KiB".into(), "11 GiB".into()));
}

#[test]
fn lines_carry_what_was_seen() {
    let grew = Some(Grew { dir: "/srv/a b".to_owned(), bytes: 7, seconds: 8 });
    let all = Seen { free: 1, total: 2, read_only: true, error: "no: x".to_owned(), errno: 5, grew };
    for seen in [all.clone(), Seen::default(), Seen { grew: None, ..all.clone() }] {
        assert_eq!(Seen::parse(&seen.line()), Some(seen));
    }
    let hostile = Seen { error: "a\tb\nc".to_owned(), ..all };
    assert_eq!(Seen::parse(&hostile.line()).map(|seen| seen.error), Some("a?b?c".to_owned()));
    for bad in ["", "1\t2\t0\t0", "1\t2\t0\t0\t\t1", "x\t2\t0\t0\t"] {
        assert_eq!(Seen::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_walk_finds_who_grew_and_keeps_to_its_bounds() {
    let place = tempfile::tempdir().expect("a directory");
    let deep = place.path().join("log/a/b/c/d");
    std::fs::create_dir_all(&deep).expect("directories");
    std::fs::create_dir(place.path().join("other")).expect("a directory");
    std::fs::write(place.path().join("other/big"), vec![1; 300_000]).expect("a file");
    let before = walk(place.path(), 100).expect("a walk").expect("within its bounds");
    std::fs::write(deep.join("file"), vec![1; 200_000]).expect("a file");
    let after = walk(place.path(), 100).expect("a walk").expect("within its bounds");
    assert_eq!(walk(place.path(), 5).expect("a walk"), None, "more than its bounds");
    let (mut walks, now) = (Walks::default(), std::time::Instant::now());
    walks.add(now, before);
    assert_eq!(walks.grew(now), None);
    walks.add(now + Duration::from_secs(300), after);
    let grew = walks.grew(now + Duration::from_secs(301)).expect("one grew");
    // What is deeper than three directories counts to the third.
    assert_eq!(grew.dir, place.path().join("log/a/b").display().to_string());
    assert!(grew.bytes >= 200_000 && grew.seconds == 301, "{grew:?}");
}

#[test]
fn a_real_directory_is_looked_at() {
    let place = tempfile::tempdir().expect("a directory");
    let ask = |dir: &std::path::Path| {
        let mut said = Vec::new();
        measure::serve(dir, true, &b"\n\n"[..], &mut said).expect("answers");
        let said = String::from_utf8(said).expect("text");
        let seen: Vec<Seen> = said.lines().filter_map(Seen::parse).collect();
        assert_eq!(seen.len(), 2, "{said}");
        seen[1].clone()
    };
    let seen = ask(place.path());
    assert!(seen.total > 0 && seen.errno == 0 && seen.error.is_empty(), "{seen:?}");
    assert_eq!(place.path().read_dir().expect("a list").count(), 0, "nothing is left behind");
    let gone = ask(&place.path().join("gone"));
    assert!(gone.errno == libc::ENOENT && gone.error.starts_with("it can't be looked at: "), "{gone:?}");
    // Nobody may write there, not even root.
    let refused = ask(std::path::Path::new("/proc/self"));
    assert_ne!(refused.errno, 0, "{refused:?}");
}

fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    (place, path)
}

/// What hangs is asked again in the same process, and an answer that comes too late isn't taken for one to a later question.
#[test]
fn a_disk_that_hangs_is_down_and_comes_back() {
    let (place, program) = script(
        "echo $$ >> \"$2/pids\"; n=0\n\
         while read -r line; do n=$((n + 1)); while [ -e \"$2/hang\" ]; do sleep 0.05; done; \
         printf '%s\\t100\\t0\\t0\\t\\n' $n >> \"$2/said\"; printf '%s\\t100\\t0\\t0\\t\\n' $n; done",
    );
    let dir = place.path().to_str().expect("a path");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut probe = DiskProbe::new(&check(dir, Room::Bytes(0)), program);
    runtime.block_on(async {
        assert_eq!(probe.look().await, Found::up());
        std::fs::write(place.path().join("hang"), "").expect("a mark");
        probe.check.timeout_ms = 300;
        for _ in 0..3 {
            let found = probe.look().await;
            assert!(found.value == Down && found.why.contains("did not answer within 300 ms"), "{found:?}");
        }
        std::fs::remove_file(place.path().join("hang")).expect("no mark");
        probe.check.timeout_ms = 60_000;
        assert_eq!(probe.look().await, Found::up());
        assert_eq!(probe.samples.len(), 1);
    });
    let count = |name: &str| std::fs::read_to_string(place.path().join(name)).expect("a file").lines().count();
    assert_eq!((count("pids"), count("said")), (1, 3), "one process, and one open question at a time");
}

#[test]
fn a_process_that_ends_says_nothing_about_the_disk() {
    let (place, program) = script("exit 3");
    let dir = place.path().to_str().expect("a path");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(async { DiskProbe::new(&check(dir, Room::Bytes(0)), program).look().await });
    assert_eq!(found.value, Unknown, "{found:?}");
}
