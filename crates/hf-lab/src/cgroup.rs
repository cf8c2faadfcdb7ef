//! The lab's cgroups: the one place from which every process of a lab can be found, frozen and killed, whatever state files say.
//!
//! `holdfast-lab/LAB/host` holds our helpers (switches, disk servers, a running `up`), `holdfast-lab/LAB/NODE` a machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, LabError, Result, entries, mkdir, read, write};
use crate::process::wait_until;

const TOP: &str = "holdfast-lab";

/// One cgroup of ours.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The parent of all labs.
    pub fn top() -> Result<Self> {
        Ok(Self { path: mount_point()?.join(TOP) })
    }

    pub fn lab(lab: &str) -> Result<Self> {
        Ok(Self::top()?.child(lab))
    }

    /// Where the calling process is now.
    pub fn current() -> Result<Self> {
        let text = read(Path::new("/proc/self/cgroup"))?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        Ok(Self { path: mount_point()?.join(path.unwrap_or_default()) })
    }

    pub fn child(&self, name: &str) -> Self {
        Self { path: self.path.join(name) }
    }

    pub fn create(&self) -> Result<()> {
        mkdir(&self.path)
    }

    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The file to which a process writes `0` to join.
    pub fn procs_file(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Moves the calling process (and all it starts from now) in here.
    pub fn join(&self) -> Result<()> {
        write(&self.procs_file(), "0")
    }

    /// Asks for a freeze and doesn't wait for it.
    pub fn start_freezing(&self) -> Result<()> {
        write(&self.path.join("cgroup.freeze"), "1")
    }

    /// Freezes or thaws; false if not everything stood still in time: a process in the middle of a file system request
    /// can't be frozen before it is answered.
    pub fn freeze(&self, frozen: bool, limit: Duration) -> Result<bool> {
        write(&self.path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        Ok(wait_until(limit, || self.event(wanted)))
    }

    pub fn is_frozen(&self) -> bool {
        std::fs::read_to_string(self.path.join("cgroup.freeze")).is_ok_and(|t| t.trim() == "1")
    }

    fn event(&self, line: &str) -> bool {
        std::fs::read_to_string(self.path.join("cgroup.events")).is_ok_and(|text| text.lines().any(|l| l == line))
    }

    /// Kills everything in here and below, frozen or not.
    pub fn kill(&self) -> Result<()> {
        write(&self.path.join("cgroup.kill"), "1")
    }

    /// Whether no living process is left.
    pub fn wait_empty(&self, limit: Duration) -> bool {
        wait_until(limit, || !self.exists() || self.event("populated 0"))
    }

    /// Every process in here and below.
    pub fn pids(&self) -> Vec<i32> {
        let mut found = Vec::new();
        self.collect(&self.path, &mut found);
        found
    }

    fn collect(&self, dir: &Path, found: &mut Vec<i32>) {
        if let Ok(text) = std::fs::read_to_string(dir.join("cgroup.procs")) {
            found.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
        }
        for child in entries(dir).into_iter().filter(|p| p.is_dir()) {
            self.collect(&child, found);
        }
    }

    /// Removes this cgroup and those below; they must be empty.
    pub fn remove(&self) -> Result<()> {
        // A dying process may hold its group for a moment after `populated 0`.
        let mut last = Ok(());
        let done = wait_until(Duration::from_secs(2), || {
            last = remove_dirs(&self.path);
            last.is_ok()
        });
        if done {
            return Ok(());
        }
        last.context(|| format!("removing the cgroup {}", self.path.display()))
    }

    /// Removes this cgroup if nothing is in it or below.
    pub fn remove_alone(&self) -> std::io::Result<()> {
        std::fs::remove_dir(&self.path)
    }

    /// The names of the cgroups right below.
    pub fn children(&self) -> Vec<String> {
        entries(&self.path)
            .into_iter()
            .filter(|p| p.is_dir())
            .filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()))
            .collect()
    }
}

fn remove_dirs(dir: &Path) -> std::io::Result<()> {
    for child in entries(dir).into_iter().filter(|p| p.is_dir()) {
        remove_dirs(&child)?;
    }
    match std::fs::remove_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Where the host has the unified hierarchy (`/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1).
fn mount_point() -> Result<PathBuf> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    mounts
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .filter(|(_, tail)| tail.starts_with("cgroup2 "))
        .filter_map(|(head, _)| head.split(' ').nth(4))
        .map(PathBuf::from)
        .next()
        .ok_or_else(|| {
            LabError::Failed("the lab needs cgroup version 2: `mount -t cgroup2 none /sys/fs/cgroup`".to_owned())
        })
}
