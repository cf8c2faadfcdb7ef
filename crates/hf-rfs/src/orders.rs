//! `rfs.sock`: what commands ask of rfs that isn't about the module's state. It looks and reports; nothing is decided here.

use crate::event::{Event, Events};
use hf_bus::{BusError, Connection, accept};
use hf_fs::engine::Linked;
use hf_fs::link::{Flow, Link};
use hf_fs::sync;
use hf_host::files::with_causes;
use hf_host::{clock, random};
use hf_types::{Event as Logged, ModuleName};
use hf_wire::bus::{CheckReport, Reply, RfsOrder, Role};
use hf_wire::check::{CheckCount, Difference};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

/// What is known to every connection.
pub struct Orders {
    pub linked: Linked,
    /// What applications use, in the order of the configuration.
    pub dirs: Vec<PathBuf>,
    pub module: ModuleName,
    pub events: Events,
}

/// Listens at `path`, for root only: the daemon asks in the name of who may.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Err(source) = hf_host::files::remove_if_there(path) {
        return Err(io::Error::other(with_causes(&source)));
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections for as long as rfs lives.
pub async fn serve(listener: UnixListener, orders: Arc<Orders>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, orders.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a command could not connect");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, orders: Arc<Orders>) {
    if let Err(error) = exchange(stream, &orders).await {
        tracing::debug!(error = %with_causes(&error), "a command's connection ended");
    }
}

async fn exchange(stream: UnixStream, orders: &Orders) -> Result<(), BusError> {
    let mut connection = accept(stream, Role::Rfs).await?;
    while let Some(order) = connection.receive::<RfsOrder>().await? {
        match order {
            RfsOrder::Verify => orders.verify(&mut connection).await?,
            RfsOrder::Diff => orders.diff(&mut connection).await?,
        }
    }
    Ok(())
}

fn refusal(message: impl Into<String>, hint: String) -> Reply {
    Reply::Error { message: message.into(), hint: Some(hint), exit_code: 1 }
}

impl Orders {
    fn log(&self, text: String) {
        // The loop goes only with the whole process.
        let _ = self.events.send(Event::Log(Logged::Text(text)));
    }

    fn link(&self) -> Result<Arc<Link>, Box<Reply>> {
        let hint = format!("holdfast state -m {}", self.module);
        let message = "the replicated directories are not in use on this node";
        self.linked.link().ok_or_else(|| Box::new(refusal(message, hint)))
    }

    /// Until the verification has ended, or who asked has gone.
    async fn verify(&self, connection: &mut Connection<UnixStream>) -> Result<(), BusError> {
        let (sender, mut reports) = mpsc::unbounded_channel();
        let begun = self.link().and_then(|link| {
            let report = Arc::new(move |report| sender.send(report).is_ok());
            let hint = format!(
                "holdfast state -m {}; the module must be PRIM on one node and SECOND on the other",
                self.module
            );
            sync::verify(&link, random::number() | 1, report).map_err(|why| Box::new(refusal(why.to_string(), hint)))
        });
        if let Err(refused) = begun {
            return connection.send(&*refused).await;
        }
        self.log("Verification of the replicated directories begins".to_owned());
        while let Some(report) = reports.recv().await {
            match report {
                CheckReport::Found(difference) => {
                    let difference = self.placed(difference);
                    let (path, what) = (&difference.path, difference.differs.as_str());
                    self.log(format!("Verification: {path}: {what}{}", in_brackets(&difference.detail)));
                    connection.send(&Reply::Check(CheckReport::Found(difference))).await?;
                }
                CheckReport::Ended(count) => {
                    self.log(ended(&count, &self.module));
                    connection.send(&Reply::Check(CheckReport::Ended(count))).await?;
                    return connection.send(&Reply::Done).await;
                }
                CheckReport::Failed { why } => {
                    self.log(format!("Verification ended early: {why}"));
                    return connection.send(&refusal(why, format!("holdfast state -m {}", self.module))).await;
                }
                progress => connection.send(&Reply::Check(progress)).await?,
            }
        }
        Ok(())
    }

    /// With its whole path.
    fn placed(&self, difference: Difference) -> Difference {
        let dir = self.dirs.get(usize::from(difference.dir)).cloned().unwrap_or_default();
        let path = if difference.path.is_empty() { dir } else { dir.join(&difference.path) };
        Difference { path: path.to_string_lossy().into_owned(), ..difference }
    }

    async fn diff(&self, connection: &mut Connection<UnixStream>) -> Result<(), BusError> {
        let link = match self.link() {
            Ok(link) => link,
            Err(refused) => return connection.send(&*refused).await,
        };
        if link.flow() == Flow::Following {
            let hint = "call it on the node where the module is ALONE or PRIM".to_owned();
            return connection.send(&refusal("this node is the secondary: nothing changes here", hint)).await;
        }
        // In step now: what an application writes is there at once.
        let since_s = match link.flow() {
            Flow::InStep => Some(clock::wall_us() / 1_000_000),
            _ => self.linked.in_step_until_s(),
        };
        let changed = tokio::task::spawn_blocking(move || sync::changed(&link, since_s)).await;
        let reply = match changed {
            Ok(Ok(changed)) => Reply::Changed(changed),
            Ok(Err(error)) => {
                refusal(format!("the tree can't be read: {error}"), format!("holdfast log -m {}", self.module))
            }
            Err(error) => refusal(format!("an error of Holdfast itself: {error}"), "holdfast dump".to_owned()),
        };
        let good = matches!(reply, Reply::Changed(_));
        connection.send(&reply).await?;
        if good { connection.send(&Reply::Done).await } else { Ok(()) }
    }
}

/// ` (text)`, or nothing.
fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn ended(count: &CheckCount, module: &ModuleName) -> String {
    let looked = format!("{} files, {} MB compared", count.files, count.bytes / 1_000_000);
    match count.differences {
        0 => format!("Verification ended: both copies are equal ({looked})"),
        n => format!(
            "Verification ended: {n} differences ({looked}); on the secondary, 'holdfast stop -m {module}' and then \
             'holdfast second fullsync -m {module}' make it equal again"
        ),
    }
}
