//! The listener for health checks and module checkers (reference 004, 13.5.3): its socket, its process, what it is told.

use crate::event::{Event, Events};
use hf_host::Paths;
use hf_host::files::{make_dir, with_causes};
use hf_ready::Table;
use hf_types::{Colour, ModuleState, NodeName, ResourceValue};
use hf_wire::bus::ModuleStatus;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

/// The listener hears from us at least this often; for 10 s without a word it calls nobody ready.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// A listener that doesn't read for so long hangs.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Between the end of a listener and the next one: the longer, the oftener it failed in a row.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Who lived for so long didn't fail at its start.
const LIVED: Duration = Duration::from_secs(60);

/// What the daemon says to its listener.
pub struct Ready {
    table: watch::Sender<Table>,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
enum ReadyError {
    #[error(
        "TCP port {port} can't be had, so load balancers and other nodes' module checkers hear nothing of this node"
    )]
    Port {
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Directory(#[from] hf_host::files::FileError),
    #[error("the listener for health checks can't be started")]
    Start(#[source] io::Error),
    #[error("the listener for health checks ended ({0})")]
    Ended(ExitStatus),
    #[error("the listener for health checks doesn't read what it is told")]
    Hangs,
}

impl Ready {
    /// Starts a listener (`PROGRAM ready`) on this port, and another one whenever it ends.
    pub fn start(paths: &Paths, program: PathBuf, port: u16, events: Events) -> Ready {
        let (table, told) = watch::channel(Table::default());
        let empty = paths.run().join("empty");
        tokio::spawn(async move {
            let mut keeper = Keeper { program, port, empty, told, events, said: None };
            keeper.keep().await;
        });
        Ready { table }
    }

    /// Which modules are ready on this node `me`.
    pub fn tell(&self, me: &NodeName, modules: &[ModuleStatus]) {
        let mut table = Table::default();
        for module in modules.iter().filter(|module| module.node == *me && is_ready(module)) {
            table.add(module.module.clone(), &run_of(module));
        }
        self.table.send_if_modified(|before| {
            let changed = *before != table;
            *before = table;
            changed
        });
    }
}

/// Reference 004, 13.5.3.
fn is_ready(module: &ModuleStatus) -> bool {
    let serves = module.state.is_primary() || module.state == ModuleState::Up;
    serves && module.colour == Colour::Green
}

fn run_of(module: &ModuleStatus) -> String {
    let run = module.resources.iter().find(|resource| resource.name == "heart.run");
    match run.map(|resource| &resource.value) {
        Some(ResourceValue::Text(run)) => run.clone(),
        _ => String::new(),
    }
}

/// What keeps a listener alive.
struct Keeper {
    program: PathBuf,
    port: u16,
    /// All that the listener sees of the disk.
    empty: PathBuf,
    told: watch::Receiver<Table>,
    events: Events,
    /// The failure that was told last: the same one again isn't news.
    said: Option<String>,
}

impl Keeper {
    async fn keep(&mut self) {
        let mut pause = PAUSE;
        loop {
            let began = tokio::time::Instant::now();
            match self.run_once().await {
                // The daemon ends.
                Ok(()) => return,
                Err(error) => self.complain(with_causes(&error)).await,
            }
            pause = if began.elapsed() >= LIVED { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn complain(&mut self, text: String) {
        if self.said.as_ref() == Some(&text) {
            return;
        }
        self.said = Some(text.clone());
        // The loop only goes away with the whole daemon.
        let _gone = self.events.send(Event::Tell(text)).await;
    }

    /// One listener's life. Its socket ends with it: who asks is refused rather than left waiting.
    async fn run_once(&mut self) -> Result<(), ReadyError> {
        make_dir(&self.empty, 0o755)?;
        let socket = listen(self.port).map_err(|source| ReadyError::Port { port: self.port, source })?;
        let (mut child, mut stdin) = spawn(&self.program, &self.empty, socket).map_err(ReadyError::Start)?;
        if self.said.take().is_some() {
            let text = format!("health checks are answered on TCP port {}", self.port);
            let _gone = self.events.send(Event::Tell(text)).await;
        }
        loop {
            let line = self.told.borrow_and_update().line();
            match tokio::time::timeout(READ_LIMIT, stdin.write_all(line.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(ReadyError::Ended(child.wait().await.map_err(ReadyError::Start)?)),
                Err(_) => return Err(ReadyError::Hangs),
            }
            tokio::select! {
                changed = self.told.changed() => if changed.is_err() { return Ok(()) },
                ended = child.wait() => return Err(ReadyError::Ended(ended.map_err(ReadyError::Start)?)),
                () = tokio::time::sleep(SAY_EVERY) => {}
            }
        }
    }
}

/// On every address of this machine, of both kinds where it has both.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

fn spawn(program: &Path, directory: &Path, socket: TcpListener) -> io::Result<(Child, ChildStdin)> {
    let mut child = Command::new(program)
        .arg("ready")
        .env_clear()
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(OwnedFd::from(socket)))
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take().ok_or_else(|| io::Error::other("it has no standard input"))?;
    Ok((child, stdin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::Resource;

    #[test]
    fn ready_are_those_that_serve_and_are_settled() {
        let module = |state, colour| ModuleStatus {
            node: "n1".parse().expect("a name"),
            module: "pg".parse().expect("a name"),
            id: 1,
            state,
            colour,
            resources: Vec::new(),
            why: None,
            sync: None,
        };
        for state in [ModuleState::Prim, ModuleState::Alone, ModuleState::Up] {
            assert!(is_ready(&module(state, Colour::Green)));
            assert!(!is_ready(&module(state, Colour::Magenta)));
        }
        for state in [ModuleState::Stop, ModuleState::Wait, ModuleState::Second, ModuleState::Unknown] {
            assert!(!is_ready(&module(state, Colour::Green)));
        }
        let mut running = module(ModuleState::Alone, Colour::Green);
        assert_eq!(run_of(&running), "");
        let value = ResourceValue::Text("1f".to_owned());
        running.resources.push(Resource { name: "heart.run".to_owned(), value, by: "heart".to_owned(), at_us: 0 });
        assert_eq!(run_of(&running), "1f");
    }
}
