use crate::{BusError, Reader, Writer};
use hf_wire::bus::{FRAME_MAX, Hello, OLDEST, Role, VERSION};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

/// How long the other end may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A hello is short: nobody makes us reserve more before it was checked.
const HELLO_MAX: usize = 4096;

/// A connection of the bus whose hello was checked.
#[derive(Debug)]
pub struct Connection<S> {
    pub reader: Reader<ReadHalf<S>>,
    pub writer: Writer<WriteHalf<S>>,
    /// What the other end said of itself. Its `role` and `pid` are claims, not proof: ask the socket for credentials.
    pub peer: Hello,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    /// Sends a message ([`Writer::send`]).
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), BusError> {
        self.writer.send(message).await
    }

    /// The next message ([`Reader::receive`]).
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BusError> {
        self.reader.receive().await
    }
}

/// Connects to a process of ours that listens at `path`, and exchanges hellos.
pub async fn connect(path: &Path, role: Role) -> Result<Connection<UnixStream>, BusError> {
    let stream = UnixStream::connect(path).await;
    let stream = stream.map_err(|source| BusError::Connect { path: path.to_owned(), source })?;
    handshake(stream, role).await
}

/// Exchanges hellos on a connection that came in.
pub async fn accept(stream: UnixStream, role: Role) -> Result<Connection<UnixStream>, BusError> {
    handshake(stream, role).await
}

/// Exchanges hellos on any stream. Both ends do the same: say hello, then read the other's, then compare.
pub async fn handshake<S: AsyncRead + AsyncWrite>(stream: S, role: Role) -> Result<Connection<S>, BusError> {
    handshake_as(stream, our_hello(role), HELLO_TIMEOUT).await
}

fn our_hello(role: Role) -> Hello {
    Hello { version: VERSION, oldest: OLDEST, role, pid: std::process::id() }
}

async fn handshake_as<S: AsyncRead + AsyncWrite>(
    stream: S,
    ours: Hello,
    patience: Duration,
) -> Result<Connection<S>, BusError> {
    let (read, write) = tokio::io::split(stream);
    let mut reader = Reader::with_limit(read, HELLO_MAX);
    let mut writer = Writer::new(write);
    let exchange = async {
        writer.send(&ours).await?;
        reader.receive::<Hello>().await?.ok_or(BusError::NoHello)
    };
    let peer = tokio::time::timeout(patience, exchange)
        .await
        .map_err(|_| BusError::HelloTimeout { ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) })??;
    check_version(&ours, &peer)?;
    reader.set_limit(FRAME_MAX);
    Ok(Connection { reader, writer, peer })
}

/// Two processes understand each other if the newer one still speaks the older one's version.
fn check_version(ours: &Hello, theirs: &Hello) -> Result<(), BusError> {
    if theirs.version >= ours.oldest && theirs.oldest <= ours.version {
        return Ok(());
    }
    Err(BusError::Version {
        their_version: theirs.version,
        their_oldest: theirs.oldest,
        our_version: ours.version,
        our_oldest: ours.oldest,
    })
}

#[cfg(test)]
mod tests;
