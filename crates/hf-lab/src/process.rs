//! Processes of a lab: who they are, over pid reuse; starting helpers; running tools.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Context, LabError, Result};

/// A process, safe against reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Clock ticks after boot (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
}

impl ProcessId {
    /// Identifies a living process.
    pub fn of(pid: i32) -> Option<Self> {
        let (_, start_ticks) = stat(pid)?;
        Some(Self { pid, start_ticks })
    }

    /// Neither gone nor a zombie.
    pub fn is_alive(&self) -> bool {
        stat(self.pid).is_some_and(|(state, start)| start == self.start_ticks && state != 'Z')
    }

    /// Sends a signal unless the process is gone. The descriptor guards against reuse between check and kill.
    pub fn signal(&self, signal: i32) {
        let Some(fd) = self.pidfd() else { return };
        // SAFETY: pidfd_send_signal on our own descriptor, no siginfo.
        unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
        };
    }

    /// A descriptor of exactly this process.
    pub fn pidfd(&self) -> Option<OwnedFd> {
        // SAFETY: pidfd_open returns a new descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if fd < 0 {
            return None;
        }
        // SAFETY: just returned to us, owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        self.is_alive().then_some(fd)
    }

    /// Waits until it is gone. For the init of a node that means: every process of the node is.
    pub fn wait_gone(&self, limit: Duration) -> bool {
        wait_until(limit, || !self.is_alive())
    }

    /// A file below `/proc/PID`.
    pub fn proc(&self, entry: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join(entry)
    }
}

/// State letter and start time.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks and parentheses: fields count from the last one.
    let rest = &text[text.rfind(')')? + 2..];
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Polls `done` every millisecond or so until it holds or time is up.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(500);
    loop {
        if done() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Where the tools that a lab runs live; the caller's PATH doesn't count.
const TOOL_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Debian packages whose programs a lab runs (`ip`, `tc`, `nft`, `mkfs.ext4`).
pub const DEBIAN_PACKAGES: &[&str] = &["iproute2", "nftables", "e2fsprogs"];

/// Finds a tool, or says which package has it.
fn tool(program: &str) -> Result<std::path::PathBuf> {
    TOOL_PATH.split(':').map(|dir| Path::new(dir).join(program)).find(|path| path.exists()).ok_or_else(|| {
        LabError::Tool {
            program: program.to_owned(),
            detail: format!("not found: the lab needs the packages {}", DEBIAN_PACKAGES.join(", ")),
        }
    })
}

/// Runs a tool to its end with `input` on its standard input, in a network namespace if given.
pub fn run_tool(program: &str, args: &[&str], input: &str, net: Option<&File>) -> Result<()> {
    let failed = |detail: String| LabError::Tool { program: format!("{program} {}", args.join(" ")), detail };
    let mut command = Command::new(tool(program)?);
    command
        .args(args)
        .env_clear()
        .env("PATH", TOOL_PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(net) = net {
        let net = net.as_raw_fd();
        // SAFETY: setns is async-signal-safe; the descriptor outlives the spawn below.
        unsafe { command.pre_exec(move || check(libc::setns(net, libc::CLONE_NEWNET))) };
    }
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that fails early closes its input; its own message says more than EPIPE.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(failed(text.trim().replace('\n', "; ")))
}

/// Turns a C return value into an io::Result.
pub fn check(returned: i32) -> std::io::Result<()> {
    if returned < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// The holdfast that runs now.
pub fn self_exe() -> Result<std::path::PathBuf> {
    std::fs::read_link("/proc/self/exe").context(|| "finding our own binary".to_owned())
}

/// Starts `binary lab --name LAB ARGS...` in a session of its own, with output to `log`; its standard output is a pipe if `piped`.
pub fn spawn_helper(binary: &Path, lab: &str, args: &[&str], log: &Path, piped: bool) -> Result<Child> {
    let open = || File::options().create(true).append(true).open(log).context(|| format!("opening {}", log.display()));
    let mut command = Command::new(binary);
    command
        .args(["lab", "--name", lab])
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(if piped { Stdio::piped() } else { open()?.into() })
        .stderr(open()?);
    // SAFETY: setsid is async-signal-safe.
    unsafe { command.pre_exec(|| check(libc::setsid())) };
    command.spawn().context(|| format!("starting {} lab {}", binary.display(), args.join(" ")))
}
