//! The rfs process: wait for the heart, the data plane or a deadline, ask the pure actor, run its effects.
//!
//! The hot path never comes through here: the FUSE front and the link work in threads of their own, under the gate that the actor sets.

mod authenticate;
pub mod conflict;
mod event;
mod fence;
mod heart;
mod load;
mod orders;
mod places;
mod run;
mod shell;

pub use authenticate::ByClusterKey;
pub use run::{RfsArgs, run};
