//! Replication decisions: who may acknowledge, who may start, what a synchronisation must do (guide P3 to P7).
//!
//! - [`engine`] is the border to the data plane (`hf-fs`): what the core orders and what the data plane reports.
//! - [`compare`] and [`summary`]: who descends from whom.
//! - [`who_starts`]: which of two waiting nodes becomes primary; one total function, the same on both.
//! - [`grant`]: permission to go on alone.
//! - [`ladder`]: what a synchronisation may leave unread.
//! - [`relax`]: who may start though it is not up to date (`syncdelta`).
//! - [`records`]: every change that a record can go through.

mod copy;
pub mod engine;
pub mod grant;
pub mod ladder;
pub mod records;
pub mod relax;
mod start;

pub use copy::{Relation, compare, is_up_to_date, summary};
pub use start::{Preferred, Starter, is_candidate, who_starts, why_not_alone};
