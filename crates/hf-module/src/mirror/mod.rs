//! The mirror module (reference 004, 5.2 and 14.2).
//!
//! ```text
//!            start              may start            the other is SECOND (green)
//!   STOP  ------------->  WAIT ------------> ALONE <--------------------------> PRIM
//!    ^                    ^  |                 ^ |                               | ^
//!    |                    |  | other primary   | | stopstart, yielding           | | swap
//!    |         stopstart, |  v                 | v                               v |
//!    +--- stop (all) ---- + SECOND ------------+ WAIT                           SECOND
//!                            takeover
//! ```
//!
//! - [`Door`] is the only way from one [`Place`] (state and colour) to another.
//! - [`Plan`] is the sequence of steps that a change consists of: scripts, addresses, replication, farewell.
//! - [`Part`] says which start and stop scripts belong to which state, and [`automaton`] in which order they are called.

pub mod automaton;
mod place;
mod plan;
mod script;

pub use automaton::Part;
pub use place::{Door, Illegal, LEGAL, Passage, Place};
pub use plan::{Goal, Plan, Step};
pub use script::arguments;
