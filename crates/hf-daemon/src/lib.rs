//! `holdfast daemon` (the reference's safeadmin): membership of the nodes, commands, supervision of the hearts, logs.
//!
//! It decides nothing: [`hf_node::daemon::DaemonActor`] does. The loop in `shell` is the one place that waits and the one
//! place that changes anything; tasks bring what they learn as events. Its death leaves modules running: their hearts live
//! in sessions and cgroups of their own, and the next daemon finds them by their pid files (docs/internals/processes.md).

mod admin;
mod boot;
mod configure;
mod copy;
mod credentials;
mod dump;
mod effects;
mod event;
mod fence;
mod fits;
mod heart;
mod hearts;
mod lanes;
mod lastconfig;
mod load;
mod log;
mod marker;
mod modules;
mod names;
mod ocf;
mod ports;
mod prerequisites;
mod ready;
mod run;
mod shell;
mod time;
mod vhost;
mod watchdog;
mod wrappers;

pub use run::{DaemonArgs, run};
