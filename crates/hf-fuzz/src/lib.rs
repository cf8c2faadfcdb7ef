//! Wrong input for everything that reads strangers' bytes: configurations, rules, datagrams, frames, messages of the bus, packages.
//!
//! A [`Target`] takes bytes and panics where something that must always hold doesn't. [`run`] takes its examples (good files of this
//! repository, good frames in `corpus/`), changes them at random ([`mutate`]), and keeps what the target answers in a new way as further
//! examples, so that it gets deeper. No instrumentation of the compiler is needed: it runs with the toolchain that builds the product, and the
//! same seed makes the same inputs. What panics, or takes too long, is a [`Finding`] with its bytes.
//!
//! A short run is a test of this crate; `cargo xtask soak --fuzz SECONDS` is the long one.

mod mutate;
mod random;
mod run;
mod targets;

pub use mutate::mutate;
pub use random::Random;
pub use run::{Budget, Finding, Outcome, run};
pub use targets::{Target, all};
