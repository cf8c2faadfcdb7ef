//! The cgroup in which all processes live that a module's scripts have started.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

/// An operation on a module's cgroup failed; the cgroup is as it was unless the operation says otherwise.
#[derive(Debug, Error)]
pub enum CgroupError {
    #[error("{name:?} is no name for a cgroup")]
    Name { name: String },
    #[error("can't {operation} the cgroup {path:?}")]
    Operate { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("processes are left in the cgroup {path:?}: {pids:?}")]
    Occupied { path: PathBuf, pids: Vec<i32> },
}

/// What keeps a module's processes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enclosure {
    /// A cgroup of version 2: nobody gets out of it.
    Cgroup2,
    /// No cgroup2 here: the sessions of the scripts that this process started. A daemon that makes a session of
    /// its own is not found, nor is anything from before our own restart; `freeze` sends SIGSTOP. Say so to the user.
    Sessions,
}

/// All that a module's scripts started. Not removed on drop, because the application outlives our processes.
#[derive(Debug)]
pub struct ModuleCgroup {
    dir: Option<PathBuf>,
    sessions: Mutex<BTreeSet<i32>>,
}

/// The cgroup2 directory of this process, the parent for the modules' ones (systemd gives it to us with
/// `Delegate=yes`). `None` where cgroup2 isn't mounted or isn't writable.
pub fn own_cgroup() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let root = mounts.lines().find_map(cgroup2_mount)?;
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let dir = root.join(path);
    is_cgroup2(&dir).then_some(dir)
}

/// The mount point, if the line of mountinfo is that of a cgroup2 file system.
fn cgroup2_mount(line: &str) -> Option<PathBuf> {
    let (mount, filesystem) = line.split_once(" - ")?;
    if !filesystem.starts_with("cgroup2 ") {
        return None;
    }
    mount.split(' ').nth(4).map(PathBuf::from)
}

fn is_cgroup2(dir: &Path) -> bool {
    /// CGROUP2_SUPER_MAGIC of linux/magic.h.
    const MAGIC: i64 = 0x6367_7270;
    rustix::fs::statfs(dir).is_ok_and(|stat| stat.f_type == MAGIC)
}

impl ModuleCgroup {
    /// Makes `parent/name`, or takes it if it is there (the application lives on while ours restart). Where `parent`
    /// is `None` or no cgroup2, falls back to [`Enclosure::Sessions`].
    pub fn create(parent: Option<&Path>, name: &str) -> Result<Self, CgroupError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\n', '\0']) {
            return Err(CgroupError::Name { name: name.to_owned() });
        }
        let Some(parent) = parent.filter(|parent| is_cgroup2(parent)) else {
            return Ok(Self { dir: None, sessions: Mutex::default() });
        };
        let dir = parent.join(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(CgroupError::Operate { operation: "create", path: dir, source: error })
            }
            _ => Ok(Self { dir: Some(dir), sessions: Mutex::default() }),
        }
    }

    pub fn enclosure(&self) -> Enclosure {
        if self.dir.is_some() { Enclosure::Cgroup2 } else { Enclosure::Sessions }
    }

    /// The directory, if it is a real cgroup.
    pub fn path(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Every process in it, also in cgroups below (an application may make its own).
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        let Some(dir) = &self.dir else {
            return Ok(self.session_members());
        };
        let mut pids = Vec::new();
        for dir in tree(dir).map_err(|source| failed("list", dir, source))? {
            let text = read_procs(&dir).map_err(|source| failed("read", &dir, source))?;
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        Ok(pids)
    }

    pub fn is_empty(&self) -> Result<bool, CgroupError> {
        Ok(self.processes()?.is_empty())
    }

    /// SIGKILL to every process in it, also to those that are being born. They may take a moment to be gone.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let Some(dir) = &self.dir else {
            return self.signal_all(Signal::KILL);
        };
        match write(dir, "cgroup.kill", "1") {
            // Before kernel 5.14: freeze, so that nobody forks meanwhile, and one by one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.freeze()?;
                let killed = self.signal_all(Signal::KILL);
                self.thaw()?;
                killed
            }
            Err(source) => Err(failed("kill", dir, source)),
            Ok(()) => Ok(()),
        }
    }

    /// SIGTERM to every process in it.
    pub fn terminate(&self) -> Result<(), CgroupError> {
        self.signal_all(Signal::TERM)
    }

    /// Stops every process in it until [`ModuleCgroup::thaw`]. Takes effect within some milliseconds.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        match &self.dir {
            Some(dir) => write(dir, "cgroup.freeze", "1").map_err(|source| failed("freeze", dir, source)),
            None => self.signal_all(Signal::STOP),
        }
    }

    pub fn thaw(&self) -> Result<(), CgroupError> {
        match &self.dir {
            Some(dir) => write(dir, "cgroup.freeze", "0").map_err(|source| failed("thaw", dir, source)),
            None => self.signal_all(Signal::CONT),
        }
    }

    /// Kills and waits until nobody is left, at most `limit`. Who waits in the kernel (a hung mount) is named.
    pub async fn kill_and_wait(&self, limit: Duration) -> Result<(), CgroupError> {
        self.kill()?;
        let end = Instant::now() + limit;
        loop {
            let pids = self.processes()?;
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(CgroupError::Occupied { path: self.dir.clone().unwrap_or_default(), pids });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Removes the cgroup and those below it; refused while a process lives in one.
    pub fn remove(self) -> Result<(), CgroupError> {
        let pids = self.processes()?;
        let Some(dir) = self.dir else { return Ok(()) };
        if !pids.is_empty() {
            return Err(CgroupError::Occupied { path: dir, pids });
        }
        let mut dirs = tree(&dir).map_err(|source| failed("list", &dir, source))?;
        dirs.reverse();
        for dir in dirs {
            fs::remove_dir(&dir).map_err(|source| failed("remove", &dir, source))?;
        }
        Ok(())
    }

    /// `cgroup.procs`, opened for the child to enter by itself before exec: nothing that it starts can be elsewhere.
    pub(crate) fn open_procs(&self) -> Result<Option<File>, CgroupError> {
        let Some(dir) = &self.dir else {
            return Ok(None);
        };
        OpenOptions::new()
            .write(true)
            .open(dir.join("cgroup.procs"))
            .map(Some)
            .map_err(|source| failed("enter", dir, source))
    }

    pub(crate) fn note_session(&self, leader: Pid) {
        if self.dir.is_none() {
            self.sessions().insert(leader.as_raw_nonzero().get());
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        // A set of numbers is whole whatever its holder died of.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Living processes of the noted sessions; a session without any is forgotten, since its number may come again.
    fn session_members(&self) -> Vec<i32> {
        let mut sessions = self.sessions();
        let members: Vec<(i32, i32)> =
            crate::proc_scan::sessions().into_iter().filter(|(_, session)| sessions.contains(session)).collect();
        sessions.retain(|session| members.iter().any(|(_, of)| of == session));
        members.into_iter().map(|(pid, _)| pid).collect()
    }

    fn signal_all(&self, signal: Signal) -> Result<(), CgroupError> {
        for pid in self.processes()?.into_iter().filter_map(Pid::from_raw) {
            // Who is gone already needs no signal; we are root, so there is no other error.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError::Operate { operation, path: path.to_owned(), source }
}

fn write(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    // Not fs::write: it would create a file where the kernel has none.
    let mut file = OpenOptions::new().write(true).open(dir.join(file))?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// The text of `cgroup.procs`; a cgroup that goes away meanwhile has no processes.
fn read_procs(dir: &Path) -> io::Result<String> {
    match fs::read_to_string(dir.join("cgroup.procs")) {
        Err(error) if gone(&error) => Ok(String::new()),
        other => other,
    }
}

/// `dir` and all below it, parents first.
fn tree(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut dirs = vec![dir.to_owned()];
    let mut next = 0;
    while next < dirs.len() {
        match fs::read_dir(&dirs[next]) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        dirs.push(entry.path());
                    }
                }
            }
            Err(error) if next > 0 && gone(&error) => (),
            Err(error) => return Err(error),
        }
        next += 1;
    }
    Ok(dirs)
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
