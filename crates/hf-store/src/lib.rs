//! What people read later: logs, the history of resources, the commands that were given. Nothing that decides.
//!
//! A heart or an rfs appends lines to a ring file of its own ([`RingWriter`]); the daemon, and only the daemon, moves them
//! into SQLite ([`Store`]). So no log line ever waits for a disk, lines survive the death of either side, and what had to
//! be dropped is counted and shown in the log itself.

mod db;
mod ring;
mod store;

pub use db::ResourceRow;
pub use ring::{RING_SIZE, RingBatch, RingError, RingPosition, RingReader, RingWriter};
pub use store::{Limits, Notice, QueryError, Store};
