//! Each resource of the catalogue is measured by somebody: its name stands in the code of a process that sets it.

use hf_types::catalogue::ENTRIES;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("tests" | "tests.rs" | "target" | "catalogue.rs") => {}
            _ if path.is_dir() => sources(&path, all),
            Some(name) if name.ends_with(".rs") => all.push(path),
            _ => {}
        }
    }
}

/// What stands before the tests of a file.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn each_resource_is_measured() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates");
    let mut files = Vec::new();
    for process in ["hf-node", "hf-heart", "hf-rfs", "hf-fs", "hf-daemon"] {
        sources(&crates.join(process).join("src"), &mut files);
    }
    let all: Vec<String> = files.iter().map(|path| code(path)).collect();
    let is_set = |name: &str| {
        let quoted = format!("\"{name}\"");
        all.iter().any(|text| text.contains(&quoted))
    };
    for entry in ENTRIES.iter().filter(|entry| !entry.name.ends_with(".*")) {
        assert!(is_set(entry.name), "{}: who measures it?", entry.name);
    }
}
