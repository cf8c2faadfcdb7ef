//! Each file in `cases/` with everything that is said about it, word for word.
//!
//! `x.xml` is read, and what comes out must equal `x.expected`. After a wanted change, run with `HOLDFAST_BLESS=1` to
//! write the expected files anew, and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use hf_config::{Checked, Cluster, Diagnostics, check_cluster, check_module, parse_cluster};

fn environment(name: &str) -> Option<String> {
    (name == "HF_PULSE").then(|| "900".to_owned())
}

fn two_nodes() -> Cluster {
    parse_cluster(include_str!("cases/cluster/good.xml"), "good.xml").expect("the good example is good")
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(kind);
    let entries = fs::read_dir(folder).expect("the folder of cases is there");
    let paths = entries.map(|entry| entry.expect("its entries can be read").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "xml")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases for {kind}");
    paths
}

fn report<T: std::fmt::Debug>(checked: &Checked<T>) -> String {
    let Diagnostics { list, .. } = &checked.diagnostics;
    let verdict = if checked.value.is_some() { "accepted" } else { "refused" };
    format!("{verdict}, {} findings\n\n{}\n", list.len(), checked.diagnostics)
}

fn compare(path: &Path, report: &str) -> Result<(), String> {
    let expected = path.with_extension("expected");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&expected, report).map_err(|error| format!("{}: {error}", expected.display()))?;
    }
    let wanted = fs::read_to_string(&expected).map_err(|error| format!("{}: {error}", expected.display()))?;
    if wanted == report { Ok(()) } else { Err(format!("{}:\n{report}\nbut expected\n{wanted}", path.display())) }
}

fn name(path: &Path) -> String {
    path.file_name().expect("a case has a name").to_string_lossy().into_owned()
}

#[test]
fn cluster_cases() {
    let failed: Vec<String> = cases("cluster")
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("a case can be read");
            compare(path, &report(&check_cluster(&text, &name(path)))).err()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn module_cases() {
    let cluster = two_nodes();
    let failed: Vec<String> = cases("module")
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("a case can be read");
            compare(path, &report(&check_module(&text, &name(path), "m", Some(&cluster), &environment))).err()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Farms on three nodes.
#[test]
fn farm_cases() {
    let cluster = parse_cluster(include_str!("cases/cluster/three_nodes.xml"), "three_nodes.xml");
    let cluster = cluster.expect("three nodes are good");
    let failed: Vec<String> = cases("farm")
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).expect("a case can be read");
            compare(path, &report(&check_module(&text, &name(path), "m", Some(&cluster), &environment))).err()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn diagnostics_as_json() {
    let checked = check_cluster("<cluster><lans port='x'/></cluster>", "c.xml");
    let json = serde_json::to_value(&checked.diagnostics).expect("diagnostics serialise");
    assert_eq!(json["left_out"], 0);
    let bad_port = json["list"].as_array().expect("a list").iter().find(|found| found["code"] == "bad-value");
    assert_eq!(
        bad_port.expect("the bad port is found"),
        &serde_json::json!({
            "code": "bad-value", "severity": "error", "file": "c.xml", "line": 1, "column": 22,
            "span": {"start": 21, "end": 22},
            "message": "port=\"x\" isn't a whole number", "help": "a number from 1 to 65535"
        })
    );
}
