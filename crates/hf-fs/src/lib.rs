//! Replicated directories: everything that touches files.
//!
//! - [`pipeline`]: the contract between the front end and replication.

pub mod pipeline;
