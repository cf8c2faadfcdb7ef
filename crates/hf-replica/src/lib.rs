//! Replication decisions: who may acknowledge, who may start, what a synchronisation must do (REPLICATION P3 to P7).
//!
//! [`engine`] is the border to the data plane (`hf-fs`): what the core orders and what the data plane reports.

pub mod engine;
