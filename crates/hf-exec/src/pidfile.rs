//! Pid files: `pid start-time-ticks boot-id`, locked while the process lives.
//!
//! A number alone names whoever has it now. With the start time and the boot id it names one process for ever.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thiserror::Error;

/// An operation on a pid file failed.
#[derive(Debug, Error)]
pub enum PidFileError {
    #[error("can't {operation} the pid file {path:?}")]
    Operate { operation: &'static str, path: PathBuf, source: io::Error },
    /// Another living process holds the lock; who it is, if the file says so.
    #[error("{path:?} is held by another process ({holder:?})")]
    Held { path: PathBuf, holder: Option<Identity> },
}

/// Names one process for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    /// Start of the process in clock ticks since boot.
    pub start_ticks: u64,
    pub boot_id: String,
}

impl Identity {
    /// The identity of this process.
    pub fn of_self() -> io::Result<Self> {
        Self::of(std::process::id().cast_signed())
    }

    /// The identity of the process that has this pid now; an error of kind `NotFound` if there is none.
    pub fn of(pid: i32) -> io::Result<Self> {
        let start_ticks = start_ticks(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, start_ticks, boot_id: boot_id()? })
    }

    /// Whether this very process lives. A zombie doesn't.
    pub fn is_alive(&self) -> io::Result<bool> {
        Ok(boot_id()? == self.boot_id && start_ticks(self.pid)? == Some(self.start_ticks))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let start_ticks = words.next()?.parse().ok()?;
        let boot_id = words.next()?.to_owned();
        words.next().is_none().then_some(Self { pid, start_ticks, boot_id })
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.pid, self.start_ticks, self.boot_id)
    }
}

/// What a pid file says about its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// No file, or an empty or torn one: nobody finished starting.
    Unknown,
    /// The process that wrote it is gone.
    Dead(Identity),
    Alive(Identity),
}

/// Our own pid file. Dropping it (or dying) lets the lock go; the file stays, so that others can tell who it was.
#[derive(Debug)]
pub struct PidFile {
    _locked: File,
}

impl PidFile {
    /// Locks the file and writes this process into it.
    pub fn acquire(path: &Path) -> Result<Self, PidFileError> {
        let failed = |operation| move |source| PidFileError::Operate { operation, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(failed("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => (),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = parse_file(&mut file).map_err(failed("read"))?;
                return Err(PidFileError::Held { path: path.to_owned(), holder });
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        let identity = Identity::of_self().map_err(failed("fill in"))?;
        write(&mut file, &identity).map_err(failed("write"))?;
        Ok(Self { _locked: file })
    }

    /// Who the file names and whether he lives, judged by pid, start time and boot id. Takes no lock, so it can't
    /// disturb anybody who does.
    pub fn verify(path: &Path) -> Result<Liveness, PidFileError> {
        let failed = |source| PidFileError::Operate { operation: "read", path: path.to_owned(), source };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Liveness::Unknown),
            Err(error) => return Err(failed(error)),
        };
        let Some(identity) = parse_file(&mut file).map_err(failed)? else {
            return Ok(Liveness::Unknown);
        };
        Ok(if identity.is_alive().map_err(failed)? { Liveness::Alive(identity) } else { Liveness::Dead(identity) })
    }
}

fn parse_file(file: &mut File) -> io::Result<Option<Identity>> {
    let mut bytes = Vec::new();
    file.take(256).read_to_end(&mut bytes)?;
    Ok(std::str::from_utf8(&bytes).ok().and_then(Identity::parse))
}

fn write(file: &mut File, identity: &Identity) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{identity}\n").as_bytes())
}

/// `None` if there is no such process, or only its zombie.
fn start_ticks(pid: i32) -> io::Result<Option<u64>> {
    match procfs::process::Process::new(pid).and_then(|process| process.stat()) {
        Ok(stat) => Ok((stat.state != 'Z').then_some(stat.starttime)),
        Err(procfs::ProcError::NotFound(_)) => Ok(None),
        // The process went while its file was being read.
        Err(procfs::ProcError::Io(error, _)) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// In a lab every node has a boot id of its own, and a power cut gives a new one.
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
