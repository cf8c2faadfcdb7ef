//! The light module: one node, no other one that it would ask (reference 004, 6.2, the note, and 13.2.3).
//!
//! ```text
//!            start             nothing holds it
//!   STOP  ------------->  WAIT ----------------> UP
//!    ^                    ^  ^                    |
//!    |                    |  +---- stopstart, ----+
//!    +--- stop (all) -----+        stopwait
//! ```
//!
//! - [`LEGAL`] is the table of its changes: the automaton that the reference draws for farm modules, which light modules have too.
//! - Its application is started by `start_both` and stopped by `stop_both`: they belong to UP (6.2).

mod place;
mod plan;

pub use place::LEGAL;
