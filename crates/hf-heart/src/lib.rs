//! The heart's loop: wait for an input or a deadline, ask the pure actor, run its effects.
//!
//! One thread with a real-time priority does all of it; nothing it calls takes more than a millisecond, and whatever takes longer (scripts,
//! starting rfs) is a task whose end comes back as an input. [`shell`] is the loop; the other modules are one kind of effect each.

mod application;
mod boost;
mod checkers;
mod errd;
mod event;
mod lanes;
mod late;
mod load;
mod loops;
mod replication;
mod reread;
mod run;
mod schedule;
mod scripts;
mod shell;
mod socket;
mod vips;

pub use run::{HeartArgs, run};
