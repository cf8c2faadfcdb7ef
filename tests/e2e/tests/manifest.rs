//! What changed while a node was stopped, and only that, is read when it comes back (guide, P6); what an administrator can ask instead.

use e2e::Small;

const APP: &str = "app";
const BOTH: [&str; 2] = ["node1", "node2"];

fn stop(small: &Small, node: &str) {
    small.holdfast(node, &["stop", "-m", APP]).expect("stop");
    small.holdfast(node, &["waitstop", "-m", APP]).expect("waitstop");
}

/// Starts both (or the one that is stopped), until node1 is PRIM and node2 SECOND.
fn start(small: &Small, nodes: &[&str], command: &[&str]) {
    for node in nodes {
        let words: Vec<&str> = command.iter().copied().chain(["-m", APP]).collect();
        small.holdfast(node, &words).expect("start");
    }
    small.wait(APP, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")]).expect("in step");
}

/// How many files the last reintegration read, and how many it left unread: "Copied ..., N files compared, M files known to be equal, ...".
fn counted(small: &Small, mark: usize) -> (u64, u64) {
    small.said(APP, "node2", mark, &["files compared", "Local state SECOND green"]).expect("a count");
    let log = small.log(APP, "node2").expect("a log");
    let line = log.iter().skip(mark).find(|line| line.contains("files compared")).expect("the line");
    let number = |of: &str| {
        let before = line.split(of).next().filter(|before| before.len() < line.len())?;
        before.rsplit(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
    };
    (number(" files compared").expect("a number"), number(" files known").unwrap_or(0))
}

fn assert_equal(small: &Small) {
    let sums = "cd /data/app && find . -type f | sort | xargs sha256sum";
    let [one, other] = BOTH.map(|node| small.sh(node, sums).expect("sums"));
    assert!(one.lines().count() > 200, "{one}");
    assert_eq!(one, other);
}

#[test]
fn only_what_changed_is_read() {
    let small = Small::pair("e2e-manifest", "").expect("a pair");
    let make = "mkdir /data/app/tree && cd /data/app/tree && for n in $(seq 300); do head -c 9000 /dev/urandom > f$n; done; sleep 1";
    small.sh("node1", make).expect("files");

    // The secondary is away while the application goes on.
    stop(&small, "node2");
    small.wait(APP, &[("node1", "ALONE", "green")]).expect("alone");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.sh("node1", "cd /data/app/tree && for n in $(seq 20); do echo more >> f$n; done").expect("changes");
    start(&small, &["node2"], &["start"]);
    small.said(APP, "node1", marks[0], &["Reintegration of what changed", "f20: changed on this node"]).expect("why");
    let (read, known) = counted(&small, marks[1]);
    assert!((20..=25).contains(&read), "{read} files were read");
    assert!(known >= 280, "{known} files were left unread");
    assert_equal(&small);

    // Both are stopped, and somebody changes the data by hand, as cunningly as he can.
    stop(&small, "node2");
    stop(&small, "node1");
    let forge = |file: &str| {
        let path = format!("/data/app/tree/{file}");
        format!(
            "touch -r {path} /tmp/before; printf X | dd of={path} bs=1 seek=70 conv=notrunc 2>/dev/null; touch -r /tmp/before {path}"
        )
    };
    small.sh("node1", &forge("f101")).expect("a change by hand");
    small.sh("node2", &forge("f102")).expect("a change by hand");
    small.sh("node2", "cd /data/app/tree && mv f103 x && mv f104 f103 && mv x f104").expect("two names exchanged");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    start(&small, &BOTH, &["start"]);
    small.said(APP, "node1", marks[0], &["Reintegration of what changed"]).expect("why");
    let (read, known) = counted(&small, marks[1]);
    // Those four, and what the application itself writes at its start.
    assert!((4..=9).contains(&read) && known >= 290, "{read} files were read, {known} were not");
    assert_equal(&small);

    // Whatever is known: everything, because somebody asks for it.
    stop(&small, "node2");
    let marks = BOTH.map(|node| small.mark(APP, node).expect("a log"));
    small.sh("node1", "echo once more >> /data/app/tree/f1").expect("a change");
    start(&small, &["node2"], &["second", "fullsync"]);
    small.said(APP, "node1", marks[0], &["because it was asked for (fullsync, primforce)"]).expect("why");
    let (read, known) = counted(&small, marks[1]);
    assert!(read > 300 && known == 0, "{read} files were read, {known} were not");
    assert_equal(&small);
}
