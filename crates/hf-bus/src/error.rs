use std::io;
use std::path::PathBuf;

/// Why a connection of the bus can't be used (any more). The connection is to be dropped after every one of them.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("cannot connect to {path}")]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("reading from the bus failed")]
    Read(#[source] io::Error),
    #[error("writing to the bus failed")]
    Write(#[source] io::Error),
    #[error("the other end closed the connection in the middle of a frame ({got} bytes of it came)")]
    HalfFrame { got: usize },
    #[error("a frame of {length} bytes came, at most {max} are accepted: the other end does not speak our protocol")]
    TooLong { length: usize, max: usize },
    #[error("a message of {length} bytes is longer than a frame may be ({max})")]
    MessageTooLong { length: usize, max: usize },
    #[error("a frame holds no message that is known here")]
    Json(#[source] serde_json::Error),
    #[error("a message could not be written as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("the other end closed the connection without a hello")]
    NoHello,
    #[error(transparent)]
    Full(#[from] crate::OutboxFull),
    #[error("no hello came within {ms} ms")]
    HelloTimeout { ms: u64 },
    #[error(
        "the other process speaks bus versions {their_oldest} to {their_version}, this one {our_oldest} to {our_version}: restart the older one"
    )]
    Version { their_version: u16, their_oldest: u16, our_version: u16, our_oldest: u16 },
}
