//! Rfs: roles of the data plane, grants, records, the course of a synchronisation.
//!
//! [`RfsActor`] (`actor`) takes inputs from three sides: the heart (`orders`), the data plane (`plane`) and the other node's
//! rfs over the link (`other`). Whatever has to be durable first goes through `durable`, as a `change` of the records.

mod actor;
mod change;
mod config;
mod durable;
mod io;
mod keep;
mod orders;
mod other;
mod patience;
mod plane;
mod synced;

pub use actor::{RfsActor, RfsStatus};
pub use io::{RfsConfig, RfsEffect, RfsInput};
