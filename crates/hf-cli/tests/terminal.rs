//! What a person at a terminal sees, and a pipe doesn't.

mod common;

use common::{out, with_daemon, with_daemon_on_terminal};
use hf_types::{Colour, ModuleState};
use hf_wire::bus::{ModuleStatus, Reply, SyncProgress};

fn half_done() -> Vec<Reply> {
    let sync = SyncProgress {
        dir: "/data".to_owned(),
        files_done: 5,
        files_total: 10,
        bytes_done: 1 << 20,
        bytes_total: 2 << 20,
        bytes_sent: 1 << 10,
        elapsed_ms: 1000,
        ..SyncProgress::default()
    };
    let status = ModuleStatus {
        node: "n2".parse().unwrap(),
        module: "pg".parse().unwrap(),
        id: 1,
        state: ModuleState::Second,
        colour: Colour::Magenta,
        resources: Vec::new(),
        why: None,
        sync: Some(sync),
    };
    vec![Reply::State { modules: vec![status], me: None }, Reply::Done]
}

/// The daemon of these tests answers once: the command ends with an error at its second question, after what is looked at here.
#[test]
fn a_synchronisation_is_a_bar_that_grows_in_its_line() {
    let (_, output) = with_daemon_on_terminal(half_done(), &["sync", "-m", "pg"]);
    let seen = out(&output);
    let bar = format!("\r[{}{}] comparing: 5 of 10 files", "#".repeat(15), ".".repeat(15));
    assert!(seen.contains(&bar) && seen.contains("1 s left\u{1b}[K"), "{seen:?}");
    assert!(!seen.split(&bar).next().unwrap_or_default().contains('\n'), "nothing before it scrolls: {seen:?}");
}

#[test]
fn in_a_pipe_it_is_a_line() {
    let (_, output) = with_daemon(half_done(), &["sync", "-m", "pg"]);
    let seen = out(&output);
    assert!(seen.starts_with("comparing: 5 of 10 files") && seen.contains("1 s left\n"), "{seen:?}");
    assert!(!seen.contains(['\r', '#', '\u{1b}']), "{seen:?}");
}
