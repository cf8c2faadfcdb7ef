//! A deterministic simulator of two nodes with the real actors: daemon, heart and rfs each, all pure.
//!
//! A run is given by a seed alone: no threads, no clock, no other randomness. It powers two nodes on, lets clients write and
//! faults happen, then ends the faults and waits until the cluster is whole again. Meanwhile every fact (an acknowledgement, a
//! record on the disk, an address set) goes past the [`invariants`], each a sentence with its source.
//!
//! The world is as unkind as the borders of the actors allow: processes die one by one, bus messages come late (in order), the
//! data plane's threads do not wait for the core, a frozen node wakes in any order, what was not synced is there after a power
//! cut or not. [`bugs`] are planted between the actors and the world, to prove that the invariants would catch them.
//!
//! `cargo run --release -p hf-sim -- --seeds 1..20000` runs many seeds; a failing one is printed with its last events and the
//! command that runs it again.

mod address;
pub mod bugs;
pub mod clock;
pub mod engine;
mod event;
mod facts;
pub mod faults;
pub mod invariants;
mod ledger;
mod link;
mod net;
mod node;
mod people;
mod process;
mod rng;
pub mod run;
mod setup;
mod shell;
mod show;
pub mod sweep;
mod trace;
pub mod transitions;
mod world;

pub use facts::{Fact, View};
pub use ledger::Ledger;
pub use run::{Failure, Options, explain, run};
pub use world::{Stats, Violation};
