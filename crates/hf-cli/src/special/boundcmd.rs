//! `boundcmd TIMEOUT COMMAND [ARGUMENT]...` (reference 004, 14.4.2.2).

use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal};

use super::Failure;

const USAGE: Failure = Failure::Usage("boundcmd TIMEOUT_IN_SECONDS COMMAND [ARGUMENT]...");
/// The exit code when the time is over.
const TIMED_OUT: u8 = 2;
/// As shells say that a command can't be run.
const NOT_RUN: u8 = 127;
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// Gives the command's exit code, 128 and the number of the signal that ended it, or 2 if it did not end in time.
pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let [limit, command, args @ ..] = args else { return Err(USAGE) };
    let limit = seconds(limit)?;
    match bounded(Command::new(command).args(args), limit)? {
        Ended::With(code) => Ok(ExitCode::from(code)),
        Ended::NotRun(error) => {
            crate::print::progress(&format!("boundcmd: can't run {}: {error}", super::shown(command)));
            Ok(ExitCode::from(NOT_RUN))
        }
        Ended::TimedOut => {
            crate::print::progress(&format!(
                "boundcmd: {} did not end within {} s: ended",
                super::shown(command),
                limit.as_secs_f64()
            ));
            Ok(ExitCode::from(TIMED_OUT))
        }
    }
}

/// How a command ended that had to end in time.
pub(super) enum Ended {
    /// Its exit code, or 128 and the number of the signal that ended it.
    With(u8),
    /// It was ended, with all that it had started.
    TimedOut,
    NotRun(std::io::Error),
}

/// Runs a command, and ends it when the time is over.
pub(super) fn bounded(command: &mut Command, limit: Duration) -> Result<Ended, Failure> {
    let mut child = match spawn(command) {
        Ok(child) => child,
        Err(error) => return Ok(Ended::NotRun(error)),
    };
    if ends_within(&child, limit)? {
        return exit_code(&mut child).map(Ended::With);
    }
    end(&mut child)?;
    Ok(Ended::TimedOut)
}

fn seconds(text: &OsStr) -> Result<Duration, Failure> {
    let number = text.to_str().and_then(|text| text.trim_end_matches('s').parse::<f64>().ok());
    let limit = number.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit.ok_or_else(|| Failure::Word(format!("{} is no time in seconds", super::shown(text))))
}

/// In a process group of its own, so that its children end with it; if this process is killed, it goes too.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    command.process_group(0);
    // SAFETY: one system call without memory.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
    command.spawn()
}

fn group(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn ends_within(child: &Child, limit: Duration) -> Result<bool, Failure> {
    let failed = |error: rustix::io::Errno| Failure::io("watch the command")(error.into());
    let pid = group(child).ok_or_else(|| failed(rustix::io::Errno::SRCH))?;
    // Not waited for yet, so the number is still its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) if !left.is_zero() => {}
            Err(rustix::io::Errno::INTR) => {}
            Ok(ready) => return Ok(ready > 0),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Asks, then kills. What waits in the kernel can't be killed and isn't waited for: its end is what the caller was bounded against.
fn end(child: &mut Child) -> Result<(), Failure> {
    let Some(group) = group(child) else { return Ok(()) };
    // Both fail only if nobody is left.
    let _ = kill_process_group(group, Signal::TERM);
    ends_within(child, GRACE)?;
    let _ = kill_process_group(group, Signal::KILL);
    ends_within(child, GRACE).map(drop)
}

fn exit_code(child: &mut Child) -> Result<u8, Failure> {
    let status = child.wait().map_err(Failure::io("learn how the command ended"))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
