//! Hearts as processes: starting one, finding one again, listening to it, noticing its end.

use crate::event::{Event, Events, HeartEvent};
use hf_bus::{BusError, Outbox, Reader, connect};
use hf_exec::{Identity, Liveness, PidFile, PidFileError, ProcessWatch, WatchError, own_cgroup};
use hf_host::Paths;
use hf_host::files::{FileError, failed, make_dir, remove_if_there, with_causes};
use hf_types::{Caller, Command, ModuleName, NodeName};
use hf_wire::bus::{HeartToDaemon, Role};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncRead;

/// Messages that may wait for a heart that doesn't read.
const OUTBOX: usize = 256;
/// Between two tries to connect to a heart that lives.
const CONNECT_EVERY: Duration = Duration::from_millis(20);
/// How long the last words of a dead heart may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A heart was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("can't start {program}")]
    Program {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the new heart can't be watched")]
    Watch(#[from] WatchError),
    #[error("the new heart was gone at once")]
    Gone(#[source] io::Error),
}

/// Starts `holdfast heart AM --first COMMAND --by CALLER` in a session and a cgroup of its own, so that it outlives us
/// (docs/internals/processes.md).
pub fn spawn(
    program: &Path,
    paths: &Paths,
    me: &NodeName,
    module: &ModuleName,
    first: Command,
    by: &Caller,
) -> Result<ProcessWatch, SpawnError> {
    make_dir(&paths.module_run(module), 0o750)?;
    make_dir(&paths.user_var(module), 0o755)?;
    // Nobody lives behind it: the loop starts a heart only when there is none.
    let socket = paths.heart_socket(module);
    remove_if_there(&socket).map_err(failed("remove", &socket))?;
    let cgroup = make_cgroup(paths, module)?;
    let mut child = command(program, paths, me, module, cgroup.as_deref());
    child.args(["heart", module.as_str(), "--first", &first.argument(), "--by"]).arg(&by.0);
    let mut child = child.spawn().map_err(|source| SpawnError::Program { program: program.to_owned(), source })?;
    let pid = child.id().map_or(0, u32::cast_signed); // not waited for yet, so it has one
    let watch = Identity::of(pid).map_err(SpawnError::Gone).and_then(|identity| Ok(ProcessWatch::open(identity)?));
    enter_cgroup(cgroup.as_deref(), pid);
    // Reaps it; what its end means is judged by the watch, which also sees adopted hearts.
    tokio::spawn(async move { child.wait().await });
    watch
}

/// Our own program, also after an upgrade replaced it while we run.
pub fn own_program(paths: &Paths) -> PathBuf {
    std::env::current_exe().ok().filter(|program| program.exists()).unwrap_or_else(|| paths.safe().join("holdfast"))
}

fn command(
    program: &Path,
    paths: &Paths,
    me: &NodeName,
    module: &ModuleName,
    cgroup: Option<&Path>,
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command
        .env("SAFE", paths.safe())
        .env("SAFEVAR", paths.safevar())
        .env("SAFEMODULE", module.as_str())
        .env("HOLDFAST_NODE", me.as_str())
        .env_remove("HOLDFAST_CGROUP")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .current_dir("/")
        .stdin(std::process::Stdio::null());
    if let Some(cgroup) = cgroup {
        command.env("HOLDFAST_CGROUP", cgroup);
    }
    // SAFETY: setsid is async-signal-safe and touches no memory of ours.
    unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(|_| ())?)) };
    command
}

/// `OWN/holdfast/AM` with `ours` in it; none where there is no cgroup2 that we may write.
fn make_cgroup(paths: &Paths, module: &ModuleName) -> Result<Option<PathBuf>, FileError> {
    let Some(own) = own_cgroup() else {
        return Ok(None);
    };
    let group = own.join("holdfast").join(module.as_str());
    if let Err(error) = std::fs::create_dir_all(group.join("ours")) {
        tracing::warn!(%error, group = %group.display(), "no cgroup for the module");
        return Ok(None);
    }
    let note = paths.cgroup_note(module);
    // Of no use after the next boot: it needn't reach the disk.
    std::fs::write(&note, group.to_string_lossy().as_bytes()).map_err(failed("write", &note))?;
    Ok(Some(group))
}

/// A moment after its start: a heart has no children that early.
fn enter_cgroup(cgroup: Option<&Path>, pid: i32) {
    let Some(cgroup) = cgroup else { return };
    if let Err(error) = std::fs::write(cgroup.join("ours/cgroup.procs"), pid.to_string()) {
        tracing::warn!(%error, "the heart stays in our cgroup");
    }
}

/// The heart that lives, if one does.
pub fn find(paths: &Paths, module: &ModuleName) -> Result<Option<ProcessWatch>, PidFileError> {
    match PidFile::verify(&paths.pid_file(module, "heart"))? {
        // Gone between the two looks: it doesn't live.
        Liveness::Alive(identity) => Ok(ProcessWatch::open(identity).ok()),
        Liveness::Dead(_) | Liveness::Unknown => Ok(None),
    }
}

/// Listens to a heart until it is dead, and connects again whenever the connection breaks before.
pub async fn supervise(watch: ProcessWatch, socket: PathBuf, module: ModuleName, run: u64, to: Events) {
    let link = Link { module, run, to };
    let mut stopped = false;
    while !stopped {
        let connection = tokio::select! {
            connection = connect_patiently(&socket) => connection,
            _ = watch.exited() => break,
        };
        let outbox = Outbox::spawn(connection.writer, OUTBOX);
        link.tell(HeartEvent::Connected(outbox)).await;
        stopped = listen(connection.reader, &watch, &link).await;
    }
    // A heart that said good-bye may take its time to go; its module is not free before it is gone.
    if let Err(error) = watch.exited().await {
        tracing::error!(%error, module = %link.module, "the heart's end can't be watched");
    }
    link.tell(HeartEvent::Gone { stopped }).await;
}

struct Link {
    module: ModuleName,
    run: u64,
    to: Events,
}

impl Link {
    /// The loop only goes away with the whole daemon.
    async fn tell(&self, event: HeartEvent) {
        let event = Event::Heart { module: self.module.clone(), run: self.run, event };
        if self.to.send(event).await.is_err() {
            tracing::debug!("the loop is gone");
        }
    }
}

async fn connect_patiently(socket: &Path) -> hf_bus::Connection<tokio::net::UnixStream> {
    let mut told = false;
    loop {
        match connect(socket, Role::Daemon).await {
            Ok(connection) => return connection,
            Err(error) => {
                let starting = matches!(&error, BusError::Connect { source, .. }
                    if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused));
                if !starting && !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %with_causes(&error), "a heart lives and can't be talked to");
                }
            }
        }
        tokio::time::sleep(CONNECT_EVERY).await;
    }
}

/// Passes messages on until the connection ends; whether the heart said that it would go.
async fn listen<R: AsyncRead + Unpin>(mut reader: Reader<R>, watch: &ProcessWatch, link: &Link) -> bool {
    let mut stopped = false;
    let mut dead = false;
    loop {
        let received = if dead {
            let last = tokio::time::timeout(LAST_WORDS, reader.receive()).await;
            last.unwrap_or(Ok(None))
        } else {
            tokio::select! {
                biased;
                received = reader.receive::<HeartToDaemon>() => received,
                _ = watch.exited() => { dead = true; continue }
            }
        };
        match received {
            Ok(Some(message)) => {
                stopped |= matches!(message, HeartToDaemon::Stopped { .. });
                link.tell(HeartEvent::Message(message)).await;
            }
            Ok(None) => return stopped,
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), module = %link.module, "the heart's connection broke");
                return stopped;
            }
        }
    }
}
