//! The heart's own socket: the daemon, rfs and commands connect to it.

use crate::event::{Event, Events};
use hf_bus::{Connection, Outbox, accept};
use hf_host::files::with_causes;
use hf_wire::bus::{Reply, Request, Role};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// Messages that may wait for a process that doesn't read.
const OUTBOX: usize = 1024;

/// Listens at `path`, for root only.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    hf_host::files::remove_if_there(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections for as long as the heart lives.
pub async fn serve(listener: UnixListener, events: Events) {
    let mut link = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                link += 1;
                tokio::spawn(connection(stream, link, events.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, link: u64, events: Events) {
    let served = match accept(stream, Role::Heart).await {
        Ok(connection) => match connection.peer.role {
            Role::Daemon => daemon(connection, link, &events).await,
            Role::Rfs => rfs(connection, link, &events).await,
            Role::Command => command(connection, &events).await,
            Role::Heart => Ok(()), // hearts don't talk to each other here
        },
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::warn!(error = %with_causes(&error), "a connection to the heart broke");
    }
}

// In what follows a failed send means that the loop is gone, and with it the whole process.

async fn daemon(connection: Connection<UnixStream>, link: u64, events: &Events) -> Result<(), hf_bus::BusError> {
    let Connection { mut reader, writer, .. } = connection;
    drop(events.send(Event::DaemonUp { link, outbox: Outbox::spawn(writer, OUTBOX) }));
    let ended = loop {
        match reader.receive().await {
            Ok(Some(message)) => drop(events.send(Event::Daemon(message))),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(events.send(Event::DaemonDown { link }));
    ended
}

async fn rfs(connection: Connection<UnixStream>, link: u64, events: &Events) -> Result<(), hf_bus::BusError> {
    let Connection { mut reader, writer, .. } = connection;
    drop(events.send(Event::RfsUp { link, outbox: Outbox::spawn(writer, OUTBOX) }));
    let ended = loop {
        match reader.receive().await {
            Ok(Some(message)) => drop(events.send(Event::Rfs { link, message })),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(events.send(Event::RfsDown { link }));
    ended
}

/// One command, as the daemon would take it: works while the daemon restarts.
async fn command(mut connection: Connection<UnixStream>, events: &Events) -> Result<(), hf_bus::BusError> {
    let Some(request) = connection.receive::<Request>().await? else {
        return Ok(());
    };
    let reply = match request {
        Request::Control { command, by, .. } => {
            let (answer, answered) = oneshot::channel();
            drop(events.send(Event::Command { command, by, answer }));
            answered.await.unwrap_or_else(|_| error("the module stopped before it answered"))
        }
        Request::Set { assignment, .. } => {
            let (answer, answered) = oneshot::channel();
            drop(events.send(Event::Set { assignment, answer }));
            answered.await.unwrap_or_else(|_| error("the module stopped before it answered"))
        }
        Request::Errd { order, by, .. } => {
            let (answer, answered) = oneshot::channel();
            drop(events.send(Event::Errd { order, by, answer }));
            answered.await.unwrap_or_else(|_| error("the module stopped before it answered"))
        }
        Request::Print { level, by, text, .. } => {
            drop(events.send(Event::Print { level, by, text }));
            Reply::Done
        }
        _ => error("a heart only takes start, stop, set and the like; ask the daemon"),
    };
    connection.send(&reply).await
}

fn error(message: &str) -> Reply {
    Reply::Error { message: message.to_owned(), hint: None, exit_code: 1 }
}
