//! One run of a user script.

use std::fs::File;
use std::future::{Future, pending};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hf_types::{Hang, ScriptOutcome};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cgroup::ModuleCgroup;
use crate::userlog::RunLog;
use crate::{child, table, trust, userlog};

/// What a script finds in PATH unless its module sets another.
pub const SCRIPT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Between SIGTERM and SIGKILL to a script that ran out of time.
pub const TERM_GRACE: Duration = Duration::from_secs(5);

/// After SIGKILL: a process that waits in the kernel (a hung disk or mount) doesn't die by it, and nobody
/// must wait for it here.
const KILL_GRACE: Duration = Duration::from_secs(2);
const GROUP_POLL: Duration = Duration::from_millis(20);
const BUSY_TRIES: u32 = 10;
/// How long a look at the process table may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// A script that runs longer than this is reported; then again each time that the time has doubled.
pub const HANG_AFTER: Duration = Duration::from_secs(30);

/// What to run, and in which surroundings.
#[derive(Debug, Clone, Default)]
pub struct ScriptSpec<'a> {
    /// Absolute path, usually SAFEUSERBIN and [`hf_types::Script::as_str`].
    pub path: PathBuf,
    /// The script's arguments: `[force] current next action` (reference 004, 14.3).
    pub args: Vec<String>,
    /// SAFE, SAFEMODULE, ... and the `<var>`s. Nothing else is inherited; PATH and LANG are set unless given.
    pub env: Vec<(String, String)>,
    /// From the start; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// The user log; `None` is `logging="none"`.
    pub log_file: Option<PathBuf>,
    /// Where the script and all that it starts live.
    pub cgroup: Option<&'a ModuleCgroup>,
    /// Between SIGTERM and SIGKILL; `None` is [`TERM_GRACE`].
    pub term_grace: Option<Duration>,
    /// When it is first reported where the script hangs; `None` is [`HANG_AFTER`].
    pub hang_after: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub outcome: ScriptOutcome,
    pub duration: Duration,
    /// What it printed, to be saved beside the user log; none without a log.
    pub log: Option<RunLog>,
    /// Why nothing of it was logged.
    pub not_logged: Option<String>,
}

/// Runs a script to its end or its time-out. A script that doesn't exist is `Missing`, not an error.
/// Processes that it leaves behind are not waited for. If the future is dropped, the script runs on.
pub async fn run(spec: &ScriptSpec<'_>) -> Ran {
    run_or_kill(spec, pending()).await
}

/// As [`run`]; when `kill` is ready first, the script's process group is killed at once (`Signalled`).
pub async fn run_or_kill(spec: &ScriptSpec<'_>, kill: impl Future<Output = ()>) -> Ran {
    run_watched(spec, kill, |_| ()).await
}

/// As [`run_or_kill`]; `report` is told where the script is when it takes long ([`HANG_AFTER`]), and right before it is ended
/// because it ran out of time.
pub async fn run_watched(spec: &ScriptSpec<'_>, kill: impl Future<Output = ()>, mut report: impl FnMut(Hang)) -> Ran {
    let started = Instant::now();
    let mut ran = Ran { outcome: ScriptOutcome::Missing, duration: Duration::ZERO, log: None, not_logged: None };
    ran.outcome = match start(spec, &mut ran).await {
        Ok(child) => conduct(child, spec, kill, &mut report).await,
        Err(outcome) => outcome,
    };
    ran.log = ran.log.map(RunLog::end);
    ran.duration = started.elapsed();
    ran
}

/// Checks and spawns; an outcome as the error if there is nothing to wait for.
async fn start(spec: &ScriptSpec<'_>, ran: &mut Ran) -> Result<Child, ScriptOutcome> {
    let refused = |error: &dyn std::error::Error| ScriptOutcome::Refused(with_sources(error));
    let path = trust::check_trust(&spec.path).map_err(|error| refused(&error))?.ok_or(ScriptOutcome::Missing)?;
    let log = open_log(spec, ran);
    let procs = spec.cgroup.map(ModuleCgroup::open_procs).transpose().map_err(|error| refused(&error))?.flatten();
    let child = spawn_when_free(&path, spec, log.as_ref(), procs.as_ref())
        .await
        .map_err(|error| ScriptOutcome::Refused(format!("{path:?} can't be started: {error}")))?;
    if let (Some(cgroup), Some(pid)) = (spec.cgroup, group_of(&child)) {
        cgroup.note_session(pid);
    }
    Ok(child)
}

/// Without a log (a full disk, say) the script runs all the same: the application is worth more than what it prints.
fn open_log(spec: &ScriptSpec, ran: &mut Ran) -> Option<File> {
    let path = spec.log_file.as_ref()?;
    let mut not_logged = |error: io::Error| ran.not_logged = Some(format!("{path:?} can't be written: {error}"));
    let mut log = userlog::open(path).map_err(&mut not_logged).ok()?;
    ran.log = RunLog::begin(path, &log, &spec.path, &spec.args).map_err(&mut not_logged).ok();
    // A disk that is full now may have room for the next line.
    userlog::write_header(&mut log, &spec.path, &spec.args).map_err(&mut not_logged).ok();
    Some(log)
}

/// A file that was written a moment ago can't be run while another thread's child, which is about to become
/// another program, still holds the writer's descriptor. That passes by itself.
async fn spawn_when_free(
    path: &Path,
    spec: &ScriptSpec<'_>,
    log: Option<&File>,
    procs: Option<&File>,
) -> io::Result<Child> {
    let mut tries = BUSY_TRIES;
    loop {
        match spawn(path, spec, log, procs) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries > 0 => tries -= 1,
            other => return other,
        }
        sleep(GROUP_POLL).await;
    }
}

fn spawn(path: &Path, spec: &ScriptSpec, log: Option<&File>, procs: Option<&File>) -> io::Result<Child> {
    // The file itself, no pipe: a daemon may hold it for years without anybody reading.
    let (out, err) = match log {
        Some(log) => (Stdio::from(log.try_clone()?), Stdio::from(log.try_clone()?)),
        None => (Stdio::null(), Stdio::null()),
    };
    let procs = procs.map(File::try_clone).transpose()?;
    let mut command = Command::new(path);
    command
        .args(&spec.args)
        .env_clear()
        .env("PATH", SCRIPT_PATH)
        .env("LANG", "C.UTF-8")
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        // Not the replicated directory and not `bin`, which `config` replaces: a daemon would pin it.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    // SAFETY: `prepare` keeps to async-signal-safe calls; `procs` lives in the closure as long as the command.
    unsafe { command.pre_exec(move || child::prepare(procs.as_ref().map(AsRawFd::as_raw_fd))) };
    command.spawn()
}

async fn conduct(
    mut child: Child,
    spec: &ScriptSpec<'_>,
    kill: impl Future<Output = ()>,
    report: &mut impl FnMut(Hang),
) -> ScriptOutcome {
    let Some(group) = group_of(&child) else {
        return ScriptOutcome::Refused("the script has no process id".to_owned());
    };
    let started = Instant::now();
    let limit = async {
        match spec.timeout {
            Some(limit) => sleep(limit).await,
            None => pending().await,
        }
    };
    let ended = tokio::select! {
        status = child.wait() => Ended::ByItself(status),
        () = limit => Ended::Late,
        () = kill => Ended::Unwanted,
        () = watch_hanging(group, spec.hang_after.unwrap_or(HANG_AFTER), &mut *report) => Ended::Unwanted,
    };
    match ended {
        Ended::ByItself(status) => outcome_of(status),
        Ended::Late => {
            tell(group, started, report).await;
            end_group(&mut child, group, spec.term_grace.unwrap_or(TERM_GRACE)).await;
            ScriptOutcome::TimedOut
        }
        Ended::Unwanted => {
            kill_group(&mut child, group).await;
            ScriptOutcome::Signalled(Signal::KILL.as_raw())
        }
    }
}

/// Why a run is over.
enum Ended {
    ByItself(io::Result<ExitStatus>),
    Late,
    Unwanted,
}

/// Never ends: tells after `first`, then each time that the time has doubled.
async fn watch_hanging(group: Pid, first: Duration, report: &mut impl FnMut(Hang)) {
    let started = Instant::now();
    sleep(first).await;
    loop {
        let elapsed = started.elapsed();
        tell(group, started, report).await;
        sleep(elapsed).await;
    }
}

async fn tell(group: Pid, started: Instant, report: &mut impl FnMut(Hang)) {
    // Bounded, because a script that has to be ended waits for this.
    let hang = timeout(LOOK_LIMIT, table::where_it_hangs(group, started.elapsed().as_secs())).await;
    hang.ok().flatten().into_iter().for_each(report);
}

/// SIGTERM to the group; what of it is left after `grace` gets SIGKILL.
async fn end_group(child: &mut Child, group: Pid, grace: Duration) {
    signal_group(group, Signal::TERM);
    let gone = async {
        // The leader is a member until it was waited for.
        let _status = child.wait().await;
        while test_kill_process_group(group).is_ok() {
            sleep(GROUP_POLL).await;
        }
    };
    if timeout(grace, gone).await.is_err() {
        kill_group(child, group).await;
    }
}

async fn kill_group(child: &mut Child, group: Pid) {
    signal_group(group, Signal::KILL);
    // What isn't dead by now is waited for by the runtime, whenever it dies.
    let _ = timeout(KILL_GRACE, child.wait()).await;
}

fn signal_group(group: Pid, signal: Signal) {
    // The only error is that nobody is left, which is what is wanted.
    let _ = kill_process_group(group, signal);
}

fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

fn outcome_of(status: io::Result<ExitStatus>) -> ScriptOutcome {
    let status = match status {
        Ok(status) => status,
        Err(error) => return ScriptOutcome::Refused(format!("its end can't be learnt: {error}")),
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => ScriptOutcome::Exited(code),
        (None, signal) => ScriptOutcome::Signalled(signal.unwrap_or(0)),
    }
}

/// The message with its causes, for a log line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
