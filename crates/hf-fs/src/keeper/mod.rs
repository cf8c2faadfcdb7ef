//! The keeper: a tiny process that holds what must outlive the server of a mount.
//!
//! The kernel keeps a FUSE connection alive while any process holds its descriptor. The keeper mounts, holds the descriptor, the
//! first exchange with the kernel, the directories' descriptors and the memory files (ids, results, the link's ring), and hands them to whoever
//! serves the mount. It reads nothing but the one INIT request, opens no file under the mount and has no file system code, so
//! there is little that could end it.
//!
//! A server asks through a sequenced-packet socket: one [`protocol`] message a request and an answer, descriptors beside it. At most one living process
//! serves a mount: the keeper hands over only when the one before is completely gone.

mod client;
mod mounts;
mod protocol;
mod server;
mod wire;

pub use client::{Attached, Client, KeeperError};
pub use protocol::{Options, VERSION};
pub use server::{RunError, run};
