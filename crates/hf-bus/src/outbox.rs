use crate::{BusError, Writer, frame::encode};
use bytes::BytesMut;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// The other end does not read: drop the connection, it will connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end of a bus connection does not read, or is gone")]
pub struct OutboxFull;

/// A sending side that never waits: messages queue for a task that writes them.
///
/// Dropping it ends the task once everything queued is written, and with it this direction: the other side reads the end and hangs up.
/// Without that a sender that gave up on a full queue would stay connected and be mute.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: mpsc::Sender<BytesMut>,
}

impl Outbox {
    /// Gives `writer` to a task of the current runtime. At most `depth` messages wait.
    pub fn spawn<W>(writer: Writer<W>, depth: usize) -> Outbox
    where
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (queue, messages) = mpsc::channel(depth);
        tokio::spawn(write_all(writer.into_inner(), messages));
        Outbox { queue }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// [`BusError::Encode`] or [`BusError::MessageTooLong`] for the message, [`BusError::Full`] when too many wait or the
    /// connection broke; the reading side of the same connection notices the break too.
    pub fn send<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), BusError> {
        let frame = encode(message)?;
        self.queue.try_send(frame).map_err(|_| BusError::Full(OutboxFull))
    }
}

/// Ends at the first error: the queue closes with it, so that the sender learns.
async fn write_all<W: AsyncWrite + Unpin>(mut to: W, mut messages: mpsc::Receiver<BytesMut>) {
    while let Some(frame) = messages.recv().await {
        if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    // An error means that the other side is gone already.
    let _ = to.shutdown().await;
}
