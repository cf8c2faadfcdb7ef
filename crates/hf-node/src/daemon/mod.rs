//! The daemon: membership of the nodes, supervision of the hearts, commands.

mod actor;
mod io;

pub use actor::{DaemonActor, DaemonStatus};
pub use io::{DaemonConfig, DaemonEffect, DaemonInput, HeartExit, InstalledModule};
