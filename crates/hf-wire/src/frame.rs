//! Frames of the replication link: a fixed header and a raw payload.
//!
//! ```text
//! 0 magic "HFR1"   4 version   5 kind   6 directory (u16)   8 payload length (u32)   12 checksum (u32)
//! 16 sequence (u64)   24 last fence (u64)   32 file id (u64)   40 argument (u64)   48 payload
//! ```
//! Everything is little endian. The checksum is CRC-32C over the payload and then the header with its checksum field zero, so
//! that a payload's part can be computed before its sequence is known. Frames of the *stream* (operations and what a
//! synchronisation sends) carry the next sequence each; frames of the *connection* (hello, acknowledgements, control,
//! digests, faults, heartbeats) carry sequence 0 and are never sent again.
//!
//! Nothing from the wire is trusted: [`Header::decode`] bounds the length before anything is read, [`Body::decode`] checks every
//! length, and names are one component without `/` and NUL, never `.` or `..`.
//!
//! Versions: 1: the first. The kinds of a verification came later: an end that doesn't know them drops the link when one is asked
//! for, and nothing is lost.
//! `BeginOn` and `AskKnown` came later, too: they go only to an end whose core says in its hello what both have in common, or asks for a
//! synchronisation by date.
//! `Beside` and `Elsewhere` came later, too: they go only to an end whose `Hello` names a number for them, in a field that was 0 before.

mod body;
mod codec;
mod decode;
mod encode;
mod header;
mod kind;
mod list;

pub use body::{Ack, Attrs, Body, Hello, Meta, Stamp};
pub use encode::Encoded;
pub use header::{HEADER_LEN, Header, Place};
pub use list::{Entries, Entry, Pairs, push_entry, push_pair};

/// Version of the frames.
pub const VERSION: u8 = 1;
/// Longest data of one write, in bytes; also the size of the zones that a synchronisation compares.
pub const DATA_MAX: usize = 1 << 20;
/// Longest payload, in bytes.
pub const PAYLOAD_MAX: usize = DATA_MAX + (64 << 10);
/// Longest name of a file or of an extended attribute, in bytes.
pub const NAME_MAX: usize = 255;
/// Longest target of a symbolic link, in bytes.
pub const TARGET_MAX: usize = 4095;
/// Longest value of an extended attribute, in bytes.
pub const VALUE_MAX: usize = 64 << 10;
/// Length of one digest (BLAKE3), in bytes.
pub const DIGEST_LEN: usize = 32;
/// Instead of the number of a zone: the answer to [`Body::AskKnown`].
pub const KNOWN: u64 = u64::MAX;

/// Why bytes are no frame: the link is dropped, nothing of the frame is applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("not a replication frame (magic {0:#x})")]
    Magic(u32),
    #[error("replication frames of version {0} are not understood here (this is {VERSION})")]
    Version(u8),
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    #[error("a payload of {0} bytes is too long")]
    TooLong(u64),
    #[error("checksum is wrong: the frame was damaged on its way")]
    Checksum,
    #[error("a frame of kind {kind} is damaged: {what}")]
    Damaged { kind: u8, what: &'static str },
}

/// Is this one component of a path that may come from a wire?
pub fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

#[cfg(test)]
mod tests;
