//! Log rings: one preallocated file a writing process, for log lines and the history of resources.
//!
//! Layout (version 1): a header of [`layout::HEADER`] bytes, then slots of [`layout::SLOT`] bytes. A slot at place
//! `seq % slots` holds its own sequence number, so a reader that was lapped finds its way without following lengths. A
//! line takes one slot or several (`part` of `parts`). The header's `published` is written after the slots of a line, so
//! a line that its writer died in the middle of is never seen; what a power cut leaves of it fails its checksum.
//!
//! Lines are numbered too. Whatever is lost on the way (the writer's queue was full, the reader was lapped, a slot is
//! torn) shows as a gap in these numbers, and the reader says how many lines are missing.
//!
//! Why no mmap: a page fault on a file mapping can wait for the disk, and ends in SIGBUS if someone truncates the file. A
//! thread of the writer does plain writes; they outlive the process in the page cache just as well.

mod layout;
mod reader;
mod writer;

pub use reader::{RingBatch, RingPosition, RingReader};
pub use writer::RingWriter;

use hf_types::{LogLine, Resource};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Size of a ring in bytes, unless asked otherwise: some 4,000 lines.
pub const RING_SIZE: u64 = 1 << 20;

/// What a ring carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    /// A value that a resource took.
    Resource {
        resource: Resource,
        /// For the history also if it is the value before.
        #[serde(default)]
        always: bool,
    },
    Line(LogLine),
}

/// Why a ring can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error("cannot {what} the log ring {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the log ring {path} is written by another process that is still alive")]
    Busy { path: PathBuf },
    #[error("{path} is no log ring of a version known here")]
    NoRing { path: PathBuf },
}

#[cfg(test)]
mod tests;
