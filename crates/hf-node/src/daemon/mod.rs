//! The daemon: membership of the nodes, supervision of the hearts, commands.

mod actor;
mod fencing;
mod io;
mod supervised;
#[cfg(test)]
mod tests;

pub use actor::{DaemonActor, DaemonStatus};
pub use io::{DaemonConfig, DaemonEffect, DaemonInput, HeartExit, InstalledModule};
