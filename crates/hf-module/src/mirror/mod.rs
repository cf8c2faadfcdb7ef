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
//! - [`LEGAL`] is the table of its changes.
//! - The plans that only a mirror has are the `Plan`s made in `plan`.

mod place;
mod plan;

pub use crate::{Door, Goal, Illegal, Part, Passage, Place, Plan, Step, arguments, automaton};
pub use place::LEGAL;
