//! The farm module: the application runs on every node (reference 004, 6.2). A light module has the same automaton (6.2, the
//! note, and 13.2.3): each of its nodes is by itself.
//!
//! ```text
//!            start             nothing holds it
//!   STOP  ------------->  WAIT ----------------> UP
//!    ^                    ^  ^                    |
//!    |                    |  +---- stopstart, ----+
//!    +--- stop (all) -----+        stopwait
//! ```
//!
//! - [`LEGAL`] is the table of their changes. No other node has a say in them: what the nodes of a farm share is the traffic, not
//!   the state.
//! - The application is started by `start_both` and stopped by `stop_both`: they belong to UP (6.2).

mod place;
mod plan;

pub use place::LEGAL;
