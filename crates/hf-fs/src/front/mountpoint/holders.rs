//! Who uses files below a directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A process that has something open, mapped or as its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub command: String,
    /// One of the files.
    pub path: PathBuf,
}

/// All processes but these that use something below (or at) `dir`, each with one example.
pub fn below(dir: &Path, ours: &[u32]) -> Vec<Holder> {
    let mut found = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if ours.contains(&pid) {
            continue;
        }
        // A process may end while it is looked at: then it holds nothing.
        if let Some(path) = used_below(&process.path(), dir) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.insert(pid, Holder { pid, command: command.trim_end().to_owned(), path });
        }
    }
    found.into_values().collect()
}

fn used_below(process: &Path, dir: &Path) -> Option<PathBuf> {
    let fixed = ["cwd", "root", "exe"].map(|name| process.join(name));
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|fd| fd.path());
    let links = fixed.into_iter().chain(open).filter_map(|link| fs::read_link(link).ok());
    links.into_iter().find(|path| path.starts_with(dir)).or_else(|| mapped_below(process, dir))
}

/// The last field of a line in `maps`, when it is a path.
fn mapped_below(process: &Path, dir: &Path) -> Option<PathBuf> {
    let maps = fs::read(process.join("maps")).ok()?;
    let paths = maps.split(|b| *b == b'\n').filter_map(|line| {
        let at = line.iter().position(|b| *b == b'/')?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(&line[at..])))
    });
    paths.into_iter().find(|path| path.starts_with(dir))
}

/// For messages: at most five.
pub(super) fn list(holders: &[Holder]) -> String {
    let one = |h: &Holder| format!("{} (process {}) uses {}", h.command, h.pid, h.path.display());
    let mut text = holders.iter().take(5).map(one).collect::<Vec<_>>().join(", ");
    if holders.len() > 5 {
        text.push_str(&format!(" and {} more use files", holders.len() - 5));
    }
    text
}
