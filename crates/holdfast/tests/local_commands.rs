//! The local commands of reference 004, chapter 9, against a real daemon and a real heart. Needs root.

mod common;

use common::{CLUSTER, MODULE, Node, inside, until};
use std::path::Path;

fn code(node: &Node, words: &[&str]) -> Option<i32> {
    node.run(words).status.code()
}

/// One node of a cluster whose other node is never there.
fn configured(root: &Path) -> Node {
    let node = Node::started(root, "n1");
    node.ok(&["cluster", "config", &node.write("c.xml", CLUSTER)]);
    node.set_up_module();
    node
}

#[test]
fn modules_are_listed_packed_taken_back_and_removed() {
    if !inside("modules_are_listed_packed_taken_back_and_removed") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let one = configured(root.path());
    assert_eq!(one.ok(&["module", "list"]), "pg\n");
    assert_eq!(one.ok(&["module", "listid"]), "pg 1\n");
    let ports = one.ok(&["module", "getports", "-m", "pg"]);
    assert!(ports.contains("heart\n  port           UDP 8888\n") && !ports.contains("rfs"), "{ports}");

    let userconfig = one.root.join("safe/modules/pg/conf/userconfig.xml");
    std::fs::write(&userconfig, MODULE.replace("mirror", "nonsense")).unwrap();
    let info = one.ok(&["module", "getinfo", "-m", "pg"]);
    let back = info.lines().find(|line| line.contains("install -r")).expect("the way back").trim().to_owned();
    assert!(info.contains("was edited since"), "{info}");
    one.refused(&["config", "-m", "pg"]);
    let install = back.split(" && ").next().unwrap();
    one.ok(&install.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(std::fs::read_to_string(&userconfig).unwrap(), MODULE);
    one.ok(&["config", "-m", "pg"]);
    let confinfo = one.ok(&["confinfo", "-m", "pg"]);
    let signatures: Vec<&str> = confinfo.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(signatures[0], signatures[1], "{confinfo}");

    let said = one.refused(&["start", "-m", "pgg"]);
    assert!(said.contains("there is no module pgg on this node"), "{said}");
    assert_eq!(code(&one, &["state", "-m", "pg", "-lq"]), Some(0));
    one.ok(&["deconfig", "-m", "pg"]);
    assert_eq!(code(&one, &["state", "-m", "pg", "-lq"]), Some(255));
    one.ok(&["module", "uninstall", "-m", "pg"]);
    assert_eq!(one.ok(&["module", "list"]), "");

    let log = one.ok(&["cmdlog"]);
    let of = |words: &str| log.lines().find(|line| line.ends_with(words)).unwrap_or_else(|| panic!("{words}: {log}"));
    assert!(of("START | config -m pg").contains("| safekit | pg | "));
    let pid = of("START | module uninstall -m pg").split(" | ").nth(3).unwrap();
    assert!(log.contains(&format!(" | | | {pid} | END | 0\n")), "{log}");
    let refused = of("START | start -m pgg").split(" | ").nth(3).unwrap();
    assert!(log.contains(&format!(" | | | {refused} | END | 1\n")), "{log}");
}

#[test]
fn resources_are_set_with_and_without_a_daemon_and_their_history_is_kept() {
    if !inside("resources_are_set_with_and_without_a_daemon_and_their_history_is_kept") {
        return;
    }
    // Not below /tmp, where anybody may write: scripts there are not trusted.
    let root = tempfile::tempdir_in("/var/lib").unwrap();
    let mut one = configured(root.path());
    let said = one.refused(&["set", "-m", "pg", "-r", "custom.x", "-v", "up"]);
    assert!(said.contains("is stopped on this node"), "{said}");
    one.ok(&["prim", "-m", "pg"]);
    one.ok(&["waitstate", "-m", "pg", "ALONE"]);
    one.ok(&["set", "-m", "pg", "-r", "custom.x", "-v", "down", "-i", "checker"]);
    assert!(one.ok(&["log", "-m", "pg"]).contains("Resource custom.x set to down by checker"));
    assert!(one.refused(&["set", "-m", "pg", "-r", "state.local", "-v", "up"]).contains("can't be set"));

    one.kill();
    one.ok(&["set", "-m", "pg", "-r", "custom.x", "-v", "up", "-i", "script"]);
    one.ok(&["printe", "-m", "pg", "written", "without", "a", "daemon"]);
    one.start();
    until("the heart is adopted", || one.shows("ALONE green"));
    let state = one.ok(&["state", "-m", "pg", "-v"]);
    let row = state.lines().find(|line| line.starts_with("custom.x ")).expect("the resource");
    assert!(row.contains(" up ") && row.ends_with(" script"), "{row}");
    let history = one.ok(&["state", "-m", "pg", "--history", "-r", "custom.x"]);
    let values: Vec<&str> =
        history.lines().filter_map(|line| line.split_once(" | custom.x | ")).map(|(_, rest)| rest).collect();
    assert_eq!(values, ["down | checker", "up | script"], "{history}");
    assert!(one.ok(&["log", "-m", "pg"]).contains("| user | E | written without a daemon\n"));
    one.ok(&["printi", "-m", "pg", "-i", "me", "a detail"]);
    assert!(!one.ok(&["log", "-m", "pg"]).contains("a detail"));

    let file = one.root.join("saved.txt").display().to_string();
    one.ok(&["logsave", "-m", "pg", "-I", &file]);
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved.contains("| me | I | a detail\n") && saved.contains("Local state ALONE green"), "{saved}");
    let dump = one.ok(&["dump", "-m", "pg"]);
    let dump = Path::new(dump.trim());
    assert!(std::fs::read_to_string(dump.join("csv/resource.csv")).unwrap().contains("\"custom.x\",\"up\",\"script\""));
    let key = std::fs::read_to_string(one.root.join("var/cluster/cluster.key")).unwrap();
    let plug = std::fs::read_to_string(dump.join("heartplug")).unwrap();
    assert!(plug.contains("pg on n1: ALONE green") && !plug.contains(key.trim()));

    one.ok(&["clean", "log", "-m", "pg"]);
    assert!(!one.ok(&["log", "-m", "pg"]).contains("Local state"));
    assert!(one.refused(&["module", "uninstall", "-m", "pg"]).contains("holdfast stop -m pg"));
    one.ok(&["clean", "process", "-m", "pg"]);
    until("it is stopped and stays so", || one.shows("STOP red"));
    assert!(one.ok(&["state", "-m", "pg", "--history"]).contains("custom.x"));
    one.ok(&["clean", "resource", "-m", "pg"]);
    assert_eq!(one.ok(&["state", "-m", "pg", "--history"]), "");
}
