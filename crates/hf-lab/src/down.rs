//! `holdfast lab down`: takes away whatever there is of a lab, however it was left.
//!
//! Nothing here trusts the state files. Processes are found through the lab's cgroups, loop devices through the mark on them, files by
//! their place; namespaces, mounts, interfaces, rules and FUSE connections go with the processes that hold them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::disk::loopdev;
use crate::error::{LabError, Result, entries, remove_tree};
use crate::node::power::{abort_fuse, fuse_connections};
use crate::paths::{IMAGES, Paths, RUN};
use crate::process::ProcessId;
use crate::state::check_name;

const DIE_WITHIN: Duration = Duration::from_secs(10);
const UNMOUNT_WITHIN: Duration = Duration::from_secs(5);

/// Takes one lab away; that there is none is an error of the command line.
pub fn down(name: &str) -> Result<()> {
    check_name("lab", name)?;
    if !all_labs()?.contains(name) {
        return Err(LabError::Usage(format!("no lab named {name}")));
    }
    remove(name)
}

/// Takes every lab of this machine away; continues past those that resist, and reports all.
pub fn down_all() -> Result<()> {
    let mut failed = Vec::new();
    for name in all_labs()? {
        if let Err(e) = remove(&name) {
            failed.push(e.to_string());
        }
    }
    together(failed)
}

/// For `up` itself, which must leave the lab's cgroup for the one it came from before it kills what is in there.
pub fn down_from_inside(name: &str, came_from: &Cgroup) -> Result<()> {
    came_from.join()?;
    remove(name)
}

fn together(failed: Vec<String>) -> Result<()> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(LabError::Failed(failed.join("; ")))
}

/// Every lab of which anything is left.
pub fn all_labs() -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = Cgroup::top()?.children().into_iter().collect();
    for dir in [RUN, IMAGES] {
        names.extend(entries(Path::new(dir)).iter().filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())));
    }
    names.extend(loopdev::all_marked().into_iter().filter_map(|(_, mark)| Some(mark.split('/').nth(1)?.to_owned())));
    Ok(names)
}

/// In order: processes, disks, cgroups, files. Each step is tried whatever became of those before.
fn remove(name: &str) -> Result<()> {
    let mut failed = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(e) = result {
            failed.push(e.to_string());
        }
    };
    let group = Cgroup::lab(name)?;
    note(kill(&group));
    note(free_loops(name));
    note(group.remove());
    let paths = Paths::new(name);
    note(remove_tree(&paths.run));
    note(remove_tree(&paths.images));
    for dir in [RUN, IMAGES] {
        // Not empty: other labs live there.
        let _ = std::fs::remove_dir(dir);
    }
    remove_top();
    together(failed)
}

/// The parent of all labs' cgroups, unless others use it.
fn remove_top() {
    let Ok(top) = Cgroup::top() else { return };
    // Fails if other labs are in it, also one that comes up at this moment.
    let _ = top.remove_alone();
}

fn kill(group: &Cgroup) -> Result<()> {
    if !group.exists() {
        return Ok(());
    }
    let processes = group.pids().into_iter().filter_map(ProcessId::of);
    let mut seen = BTreeSet::new();
    let mut connections = BTreeSet::new();
    for process in processes {
        // One look a mount namespace.
        if seen.insert(std::fs::read_link(process.proc("ns/mnt")).unwrap_or_default()) {
            connections.extend(fuse_connections(&process));
        }
    }
    group.kill()?;
    if !group.wait_empty(Duration::from_millis(300)) {
        abort_fuse(&connections)?;
    }
    if group.wait_empty(DIE_WITHIN) {
        return Ok(());
    }
    Err(LabError::Timeout {
        what: format!("processes {:?} do not die", group.pids()),
        waited_ms: DIE_WITHIN.as_millis() as u64,
        hint: String::new(),
    })
}

fn free_loops(name: &str) -> Result<()> {
    let mut stuck = Vec::new();
    for (number, mark) in loopdev::all_marked() {
        if mark.split('/').nth(1) != Some(name) {
            continue;
        }
        if !loopdev::wait_free(number, &mark, UNMOUNT_WITHIN) {
            loopdev::clear(number);
            if !loopdev::wait_free(number, &mark, UNMOUNT_WITHIN) {
                stuck.push(format!("/dev/loop{number} is still in use"));
            }
        }
    }
    together(stuck)
}
