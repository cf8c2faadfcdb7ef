//! The connection to the heart: made again for as long as we live.

use crate::event::{Event, Events};
use hf_bus::{Connection, Outbox, connect};
use hf_host::files::with_causes;
use hf_wire::bus::Role;
use std::path::PathBuf;
use std::time::Duration;

/// Messages that may wait for a heart that doesn't read.
const OUTBOX: usize = 1024;
const CONNECT_EVERY: Duration = Duration::from_millis(20);

/// Connects, listens, says when it is over, connects again.
pub async fn keep_connected(socket: PathBuf, events: Events) {
    loop {
        match connect(&socket, Role::Rfs).await {
            Ok(connection) => {
                let Connection { mut reader, writer, .. } = connection;
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
            Err(error) => tracing::debug!(error = %with_causes(&error), "no heart yet"),
        }
        tokio::time::sleep(CONNECT_EVERY).await;
    }
}
