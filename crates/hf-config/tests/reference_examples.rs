//! Every XML example of reference 004, chapters 4, 12, 13 and 15, with what is said of it.
//!
//! `reference_examples.txt` holds the examples, `reference_examples.expected` the answers: accepted, or refused with the
//! diagnostic that an administrator reads. After a wanted change, run with `HOLDFAST_BLESS=1` and read the difference.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use hf_config::{Checked, OnNode, check_cluster, check_module_on, parse_cluster};

const CLUSTER: &str = r#"<cluster><lans>
  <lan name="default"><node name="node1" addr="192.168.1.67"/><node name="node2" addr="192.168.1.68"/></lan>
  <lan name="net2"><node name="node1" addr="192.168.2.67"/><node name="node2" addr="192.168.2.68"/></lan>
  <lan name="repli"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
</lans></cluster>"#;

/// The cluster of the farms: one node more, and the network that they name.
const FARM: &str = r#"<cluster><lans>
  <lan name="default">
    <node name="node1" addr="192.168.1.67"/><node name="node2" addr="192.168.1.68"/><node name="node3" addr="192.168.1.69"/>
  </lan>
  <lan name="net2">
    <node name="node1" addr="192.168.2.67"/><node name="node2" addr="192.168.2.68"/><node name="node3" addr="192.168.2.69"/>
  </lan>
  <lan name="net3">
    <node name="node1" addr="10.1.0.2"/><node name="node2" addr="10.1.0.3"/><node name="node3" addr="10.1.0.4"/>
  </lan>
</lans></cluster>"#;

struct Example<'a> {
    section: &'a str,
    within: &'a str,
    about: &'a str,
    text: &'a str,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn examples(text: &str) -> Vec<Example<'_>> {
    let parts = text.split("\n== ").skip(1);
    parts
        .map(|part| {
            let (head, text) = part.split_once('\n').expect("an example has a text");
            let mut words = head.splitn(3, ' ');
            let mut word = || words.next().expect("section, what it is put into, what it is about");
            Example { section: word(), within: word(), about: word(), text }
        })
        .collect()
}

/// The whole file that an example is a part of; on one line before the example, so that its own lines follow.
fn whole(example: &Example<'_>) -> String {
    let Example { within, text, .. } = example;
    if matches!(*within, "safe" | "cluster") {
        return text.to_string();
    }
    let heart = match *within {
        "mirror" if !text.contains("<heart") => "<heart><heartbeat name=\"default\"/></heart>",
        _ => "",
    };
    let user = if text.contains("<errd") && !text.contains("<user") { "<user/>" } else { "" };
    format!("<safe><service mode=\"{within}\">{heart}{user}\n{text}</service></safe>")
}

fn answer<T>(checked: &Checked<T>) -> (bool, String) {
    (checked.value.is_some(), checked.diagnostics.to_string())
}

fn judge(example: &Example<'_>) -> (bool, String) {
    let text = whole(example);
    if example.within == "cluster" {
        return answer(&check_cluster(&text, "cluster.xml"));
    }
    let cluster = if text.contains("mode=\"farm\"") { FARM } else { CLUSTER };
    let cluster = parse_cluster(cluster, "cluster.xml").expect("a good cluster");
    // Every name of the examples has an address: the last word is not the name server's.
    let node = OnNode { others: &[], names: &|_| Ok([192, 168, 1, 200].into()) };
    answer(&check_module_on(&node, &text, "userconfig.xml", "m", Some(&cluster), &|_| None))
}

#[test]
fn every_example_has_its_answer() {
    let text = fs::read_to_string(file("reference_examples.txt")).expect("the examples are there");
    let examples = examples(&text);
    assert!(examples.len() > 80, "{} examples", examples.len());
    let mut told = String::new();
    for example in &examples {
        let (accepted, said) = judge(example);
        let verdict = if accepted { "accepted" } else { "refused" };
        let Example { section, within, about, .. } = example;
        writeln!(told, "== {section} {within} {about}: {verdict}").expect("a text takes a line");
        if !said.trim().is_empty() {
            writeln!(told, "{}", said.trim_end()).expect("a text takes a line");
        }
    }
    let path = file("reference_examples.expected");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&path, &told).expect("the answers can be written");
    }
    let wanted = fs::read_to_string(&path).expect("the answers are there");
    for (got, wanted) in told.lines().zip(wanted.lines()) {
        assert_eq!(got, wanted, "HOLDFAST_BLESS=1 writes {} anew", path.display());
    }
    assert_eq!(told.lines().count(), wanted.lines().count(), "HOLDFAST_BLESS=1 writes {} anew", path.display());
}
