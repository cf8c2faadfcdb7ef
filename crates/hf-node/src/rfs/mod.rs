//! Rfs: roles of the data plane, grants, records, the course of a synchronisation.

mod io;

pub use io::{RfsConfig, RfsEffect, RfsInput};
