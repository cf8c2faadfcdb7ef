//! Replicated directories: everything that touches files.
//!
//! - [`pipeline`]: the contract between the front end and replication.
//! - [`table`]: file ids, the same on both nodes.
//! - [`backing`]: the directory where the data really is.

pub mod backing;
pub mod pipeline;
pub mod table;
