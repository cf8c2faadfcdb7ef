//! PID 1 of a machine: reaps, keeps the daemon running as systemd's `Restart=always` would, shuts down in order.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::boot::environment;
use crate::error::{Context, Result, mkdir, write};

/// systemd's default pause before a restart.
const RESTART_AFTER: Duration = Duration::from_millis(100);
/// How long the daemon may take to stop its modules at a shutdown (systemd's TimeoutStopSec).
const STOP_WITHIN: Duration = Duration::from_secs(90);
/// How long everything else may take after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Where systemd would put the daemon.
const DAEMON_GROUP: &str = "/sys/fs/cgroup/system.slice/holdfast.service";
const INIT_GROUP: &str = "/sys/fs/cgroup/init.scope";
/// Is there once a machine that restarts itself has gone down.
const HALTED: &str = "/run/halted";
/// Where `holdfast lab exec` puts what it runs.
pub const EXEC_GROUP: &str = "user.slice";

struct Init {
    daemon: Option<Pid>,
    /// When to start the daemon; None while it runs or if the machine has none.
    start_at: Option<Instant>,
}

/// Runs until the machine shuts down.
pub fn run(no_daemon: bool) -> Result<()> {
    let wanted = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGPWR];
    let signals = SigSet::from_iter(wanted);
    signals.thread_block().context(|| "blocking signals".to_owned())?;
    for group in [INIT_GROUP, DAEMON_GROUP] {
        mkdir(Path::new(group))?;
    }
    write(&Path::new(INIT_GROUP).join("cgroup.procs"), "0")?;
    let mut init = Init { daemon: None, start_at: (!no_daemon).then(Instant::now) };
    loop {
        init.start_if_due();
        match wait_signal(&signals, init.patience()) {
            Some(Signal::SIGTERM | Signal::SIGPWR) => {
                init.shut_down(&signals);
                return Ok(());
            }
            Some(Signal::SIGINT) => return init.halt(&signals),
            Some(_) | None => init.reap(),
        }
    }
}

/// Waits for one of the signals, at most `limit`.
fn wait_signal(signals: &SigSet, limit: Duration) -> Option<Signal> {
    let limit =
        libc::timespec { tv_sec: limit.as_secs() as libc::time_t, tv_nsec: limit.subsec_nanos() as libc::c_long };
    // SAFETY: a valid set and time; no siginfo wanted.
    let got = unsafe { libc::sigtimedwait(signals.as_ref(), std::ptr::null_mut(), &limit) };
    Signal::try_from(got).ok()
}

impl Init {
    /// How long there is nothing to do but to wait.
    fn patience(&self) -> Duration {
        self.start_at
            .map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()))
            .max(Duration::from_millis(1))
    }

    fn start_if_due(&mut self) {
        if self.start_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        match start_daemon() {
            Ok(pid) => {
                self.daemon = Some(pid);
                self.start_at = None;
            }
            Err(e) => {
                say(&format!("the daemon did not start: {e}"));
                self.start_at = Some(Instant::now() + RESTART_AFTER);
            }
        }
    }

    /// Collects every dead child, ours or adopted.
    fn reap(&mut self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { return };
            if Some(pid) == self.daemon {
                say(&format!("the daemon ended ({}); it is started again", told(status)));
                self.daemon = None;
                self.start_at = Some(Instant::now() + RESTART_AFTER);
            }
        }
    }

    /// The daemon first, with its modules; then everybody; then the disk.
    fn shut_down(&mut self, signals: &SigSet) {
        say("shutting down");
        if let Some(daemon) = self.daemon {
            // ESRCH: it is dead and gets reaped below.
            let _ = kill(daemon, Signal::SIGTERM);
            self.wait(signals, STOP_WITHIN, |init| init.daemon.is_none());
        }
        for (signal, limit) in [(Signal::SIGTERM, END_WITHIN), (Signal::SIGKILL, END_WITHIN)] {
            // ESRCH: nobody is left.
            let _ = kill(Pid::from_raw(-1), signal);
            self.wait(signals, limit, |_| others().is_empty());
        }
        // SAFETY: no argument.
        unsafe { libc::sync() };
        say("down");
    }

    /// The machine restarts itself (Ctrl-Alt-Del, as a kernel tells its init): it goes down in good order. Coming up again takes
    /// new namespaces and cables, which only `holdfast lab reboot` can make; until then it stands as a machine in its BIOS.
    fn halt(&mut self, signals: &SigSet) -> Result<()> {
        self.shut_down(signals);
        write(Path::new(HALTED), "")?;
        say("waiting for 'holdfast lab reboot'");
        loop {
            if let Some(Signal::SIGTERM | Signal::SIGPWR) = wait_signal(signals, Duration::from_secs(3600)) {
                return Ok(());
            }
            self.reap();
        }
    }

    fn wait(&mut self, signals: &SigSet, limit: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !done(self) && Instant::now() < deadline {
            wait_signal(signals, Duration::from_millis(20));
            self.reap();
        }
    }
}

fn told(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit code {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("{signal}"),
        other => format!("{other:?}"),
    }
}

/// Every other process of the machine.
fn others() -> BTreeSet<i32> {
    crate::error::entries(Path::new("/proc"))
        .into_iter()
        .filter_map(|p| p.file_name()?.to_str()?.parse().ok())
        .filter(|pid| *pid != 1)
        .collect()
}

fn start_daemon() -> Result<Pid> {
    let what = || "starting the daemon".to_owned();
    let group = File::options().write(true).open(Path::new(DAEMON_GROUP).join("cgroup.procs")).context(what)?;
    let mut command = Command::new(format!("{}/holdfast", super::root::SAFE));
    command.arg("daemon").env_clear().envs(environment());
    // SAFETY: in the child before exec: a write, and unblocking signals, both async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            (&group).write_all(b"0")?;
            SigSet::all().thread_unblock()?;
            Ok(())
        })
    };
    let child = command.spawn().context(what)?;
    Ok(Pid::from_raw(child.id() as i32))
}

/// A line on the console.
fn say(text: &str) {
    // The console is a file; if it can't be written there is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "init: {text}");
}
