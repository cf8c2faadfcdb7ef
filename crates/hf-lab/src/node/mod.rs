//! One machine: its namespaces, its root, its init, and how it gets and loses power.

pub mod boot;
pub mod init;
pub mod power;
pub mod root;
pub mod systemd;
