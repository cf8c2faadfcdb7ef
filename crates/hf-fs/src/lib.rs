//! Replicated directories: everything that touches files.
//!
//! - [`pipeline`]: the contract between the front end and replication.
//! - [`table`]: file ids, the same on both nodes.
//! - [`backing`]: the directory where the data really is.
//! - [`engine`]: all of this under the orders of the core.
//! - [`front`]: what applications see of it, through FUSE.
//! - [`keeper`]: the process that holds a mount while its server dies and is replaced.
//! - [`link`]: the connection to the other copy, and applying what comes.
//! - [`sync`]: synchronisation by content.
//! - [`manifest`]: what a copy remembers of its files over an orderly stop.
//! - [`record`]: what a directory durably knows of itself and of the other copy.

pub mod backing;
pub mod engine;
pub mod front;
pub mod keeper;
pub mod link;
pub mod manifest;
pub mod pipeline;
pub mod record;
pub mod sync;
pub mod table;
