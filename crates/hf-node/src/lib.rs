//! The three actors of a node, pure: the daemon, a heart a module, an rfs a module.
//!
//! Each has `handle(&mut self, now, input) -> Vec<Effect>` and `next_deadline(&self) -> Option<(Instant, TimerName)>`; the
//! shell waits for an input or the deadline, calls `handle`, runs the effects, and brings what it learns back as another
//! input. The simulator does the same with a clock, a network and disks of its own, and delays, loses or kills each actor
//! alone. State is plain data: `Clone + Debug + PartialEq + Serialize`.

pub mod daemon;
pub mod heart;
pub mod rfs;
