//! The daemon: membership of the nodes, supervision of the hearts, commands.

mod io;

pub use io::{DaemonConfig, DaemonEffect, DaemonInput, HeartExit, InstalledModule};
