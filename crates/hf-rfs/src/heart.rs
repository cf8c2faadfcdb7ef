//! The connection to the heart: made again for as long as we live.

use crate::event::{Event, Events};
use hf_bus::{BusError, Connection, Outbox, connect};
use hf_host::files::with_causes;
use hf_wire::bus::Role;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// Messages that may wait for a heart that doesn't read.
const OUTBOX: usize = 1024;
const CONNECT_EVERY: Duration = Duration::from_millis(20);

/// Connects, listens, says when it is over, connects again.
pub async fn keep_connected(socket: PathBuf, events: Events) {
    // Whether the heart that was connected to last may still live.
    let mut lives = false;
    loop {
        match connect(&socket, Role::Rfs).await {
            Ok(connection) => {
                let Connection { mut reader, writer, .. } = connection;
                lives = true;
                let up = events.send(Event::HeartUp(Outbox::spawn(writer, OUTBOX)));
                while let Ok(Some(message)) = reader.receive().await {
                    if events.send(Event::Heart(message)).is_err() {
                        return; // the loop is gone, and with it the process
                    }
                }
                if up.is_err() || events.send(Event::HeartDown).is_err() {
                    return;
                }
            }
            Err(error) if std::mem::take(&mut lives) => {
                lives = !is_nobody_there(&error);
                if !lives && events.send(Event::HeartDead).is_err() {
                    return;
                }
            }
            Err(error) => tracing::debug!(error = %with_causes(&error), "no heart yet"),
        }
        tokio::time::sleep(CONNECT_EVERY).await;
    }
}

/// A socket that no living process listens at, or that was removed: the kernel closes a process' sockets with it.
fn is_nobody_there(error: &BusError) -> bool {
    matches!(error, BusError::Connect { source, .. } if matches!(source.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_bus::accept;

    async fn next(events: &mut tokio::sync::mpsc::UnboundedReceiver<Event>) -> Event {
        tokio::time::timeout(Duration::from_secs(60), events.recv()).await.expect("in time").expect("an event")
    }

    #[tokio::test]
    async fn a_broken_connection_is_no_death_until_nobody_listens() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let socket = place.path().join("heart.sock");
        let heart = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(keep_connected(socket, sender));
        for _ in 0..2 {
            let (stream, _) = heart.accept().await.expect("rfs connects");
            let connection = accept(stream, Role::Heart).await.expect("a hello");
            assert!(matches!(next(&mut events).await, Event::HeartUp(_)));
            drop(connection);
            assert!(matches!(next(&mut events).await, Event::HeartDown));
        }
        drop(heart);
        // The connection that was made meanwhile may have come into the queue of the one that died.
        let dead = loop {
            match next(&mut events).await {
                Event::HeartUp(_) | Event::HeartDown => {}
                other => break other,
            }
        };
        assert!(matches!(dead, Event::HeartDead));
    }
}
