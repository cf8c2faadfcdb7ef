//! Rfs: roles of the data plane, grants, records, the course of a synchronisation.

mod actor;
mod change;
mod config;
mod io;

pub use actor::{RfsActor, RfsStatus};
pub use io::{RfsConfig, RfsEffect, RfsInput};
