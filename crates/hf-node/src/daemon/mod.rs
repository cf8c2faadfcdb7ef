//! The daemon: membership of the nodes, supervision of the hearts, commands.

mod actor;
mod after_death;
mod boot;
mod closing;
mod dynamic;
mod fencing;
mod io;
mod prerequisites;
mod status;
mod supervised;
#[cfg(test)]
mod tests;

pub use actor::DaemonActor;
pub use boot::{boot_word, starts_at_boot};
pub use dynamic::{Proposal, Verdict, judge};
pub use io::{DaemonConfig, DaemonEffect, DaemonInput, HeartExit, InstalledModule};
pub use prerequisites::{Asked, Finding, compare_nodes};
pub use status::DaemonStatus;
