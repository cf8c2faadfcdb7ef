//! `cluster config lock`, `cluster.zip`, `cluster deconfig` and a cluster without a key, with real daemons in namespaces. Needs root.

mod common;

use common::{CLUSTER, Node, inside, pair, until};
use serde_json::Value;
use std::fs::File;
use std::io::Write;

fn json(node: &Node, words: &[&str]) -> Value {
    let words: Vec<&str> = words.iter().chain(&["-o", "json"]).copied().collect();
    serde_json::from_str(&node.ok(&words)).unwrap()
}

/// What `node` knows of the locks of n1 and n2.
fn locks(node: &Node) -> Vec<bool> {
    let answer = json(node, &["cluster", "confinfo"]);
    answer["nodes"].as_array().unwrap().iter().map(|row| row["locked"] == true).collect()
}

/// Configuration and key in one file, as they are carried to another node.
fn packed(node: &Node) -> String {
    let path = node.root.join("cluster.zip");
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    for name in ["cluster.xml", "cluster.key"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&std::fs::read(node.root.join("var/cluster").join(name)).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    path.display().to_string()
}

#[test]
fn a_configuration_is_locked_carried_in_a_zip_and_taken_away() {
    if !inside("a_configuration_is_locked_carried_in_a_zip_and_taken_away") {
        return;
    }
    let root = tempfile::tempdir_in("/var/lib").unwrap();
    let (one, two) = pair(root.path());
    let before = one.signatures()[0].1.clone();
    let xml = one.write("c.xml", CLUSTER);

    one.ok(&["cluster", "config", "lock"]);
    until("both know of the lock", || locks(&one) == [true, false] && locks(&two) == [true, false]);
    let shown = one.ok(&["cluster", "confinfo"]);
    assert!(shown.lines().any(|line| line.contains("n1") && line.trim_end().ends_with('1')), "{shown}");
    for words in
        [&["cluster", "config", &xml][..], &["cluster", "genkey"], &["cluster", "deconfig"], &["cluster", "config"]]
    {
        let said = one.refused(words);
        assert!(said.contains("locked on this node") && said.contains("unlock"), "{words:?}: {said}");
    }
    assert_eq!(one.signatures()[0].1, before, "nothing was changed");
    one.ok(&["cluster", "config", &xml, "unlock"]);
    until("both know that it is gone", || locks(&one) == [false, false] && !locks(&two)[0]);
    assert_ne!(one.signatures()[0].1, before, "the configuration that was given is applied, with a new key");
    one.ok(&["cluster", "config", &xml, "lock"]);
    assert!(locks(&one)[0], "applied first, then locked");
    one.ok(&["cluster", "config", "unlock"]);

    two.ok(&["cluster", "config", &packed(&one)]);
    until("with what was in the zip both hear each other", || one.hears_all_alike() && two.hears_all_alike());

    one.set_up_module();
    one.ok(&["prim", "-m", "pg"]);
    one.ok(&["waitstate", "-m", "pg", "ALONE"]);
    for node in [&one, &two] {
        until("the module is known to run", || node.run(&["cluster", "deconfig"]).status.code() == Some(1));
        let said = node.refused(&["cluster", "deconfig"]);
        assert!(said.contains("pg") && said.contains("holdfast stop -m pg"), "{said}");
    }
    one.ok(&["stop", "-m", "pg"]);
    one.ok(&["waitstop", "-m", "pg"]);
    until("it is taken away", || one.run(&["cluster", "deconfig"]).status.success());
    assert!(!one.root.join("var/cluster/cluster.xml").exists() && !one.root.join("var/cluster/cluster.key").exists());
    assert_eq!(json(&one, &["cluster", "confinfo"])["nodes"].as_array().unwrap().len(), 1);
    until("the other one misses it", || two.signatures()[0].1.is_empty());
    assert!(!two.signatures()[1].1.is_empty(), "the other one keeps its own");
}

#[test]
fn a_pair_without_a_key_runs_and_says_so_everywhere() {
    if !inside("a_pair_without_a_key_runs_and_says_so_everywhere") {
        return;
    }
    let root = tempfile::tempdir_in("/var/lib").unwrap();
    let (one, two) = (Node::started(root.path(), "n1"), Node::started(root.path(), "n2"));
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER), "--insecure-plaintext"]);
    one.copy_cluster_to(&two);
    until("both hear each other", || one.hears_all_alike() && two.hears_all_alike());
    one.set_up_module();
    two.set_up_module();
    one.ok(&["start", "-m", "pg"]);
    two.ok(&["start", "-m", "pg"]);
    one.ok(&["waitstate", "-m", "pg", "PRIM"]);
    two.ok(&["waitstate", "-m", "pg", "SECOND"]);
    for node in [&one, &two] {
        for words in [&["state"][..], &["state", "-m", "pg"], &["cluster", "state"], &["cluster", "confinfo"]] {
            let output = node.run(words);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.contains("WARNING: this cluster has no key"), "{words:?}: {said}");
            assert_eq!(json(node, words)["insecure"], true, "{words:?}");
        }
        until("the log says it too", || node.module_log().contains("this cluster has no key"));
    }
    // The way out that the warning names, while the module runs.
    one.ok(&["cluster", "genkey"]);
    one.copy_cluster_to(&two);
    until("both have the key", || one.hears_all_alike() && two.hears_all_alike());
    for node in [&one, &two] {
        until("nothing is insecure any more", || json(node, &["state", "-m", "pg"])["insecure"] == false);
    }
    assert!(one.shows("PRIM green") && two.shows("SECOND green"));
}
