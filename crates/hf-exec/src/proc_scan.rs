//! What `/proc` tells about processes that aren't ours.

use std::fs;
use std::path::{Path, PathBuf};

/// A process that keeps something below a path busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    /// The command's name, control characters escaped.
    pub comm: String,
    /// What it holds: an open file, its working or root directory, its program, or a mapped file.
    pub path: PathBuf,
}

/// Who holds files below `dir` (the first of each process), for "can't unmount: held by ...". Only links in `/proc` are
/// read, nothing below `dir` is touched, so a hung mount doesn't hang this. Processes in other mount namespaces
/// show up under the paths that they see.
pub fn holders_below(dir: &Path) -> Vec<Holder> {
    pids().into_iter().filter_map(|pid| holder(pid, dir)).collect()
}

/// The command's name of a living process, control characters escaped.
pub fn comm_of(pid: i32) -> Option<String> {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(comm.trim_end_matches('\n').escape_debug().to_string())
}

fn holder(pid: i32, dir: &Path) -> Option<Holder> {
    let base = PathBuf::from(format!("/proc/{pid}"));
    let path = held_link(&base, dir).or_else(|| held_mapping(&base, dir))?;
    Some(Holder { pid, comm: comm_of(pid)?, path })
}

fn held_link(base: &Path, dir: &Path) -> Option<PathBuf> {
    let special = ["cwd", "root", "exe"].map(|name| base.join(name));
    let open = fs::read_dir(base.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
    special.into_iter().chain(open).filter_map(|link| fs::read_link(link).ok()).find(|target| target.starts_with(dir))
}

/// A file can stay mapped after its descriptor was closed.
fn held_mapping(base: &Path, dir: &Path) -> Option<PathBuf> {
    let maps = fs::read_to_string(base.join("maps")).ok()?;
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])))
        .find(|path| path.starts_with(dir))
        .map(Path::to_owned)
}

/// Every process with its session; zombies don't count.
pub(crate) fn sessions() -> Vec<(i32, i32)> {
    pids()
        .into_iter()
        .filter_map(|pid| procfs::process::Process::new(pid).and_then(|process| process.stat()).ok())
        .filter(|stat| stat.state != 'Z')
        .map(|stat| (stat.pid, stat.session))
        .collect()
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
