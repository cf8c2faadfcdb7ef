//! The heart: heartbeats, the mirror state machine, scripts, virtual IPs, permission to acknowledge.

mod actor;
mod config;
mod io;

pub use actor::HeartActor;
pub use config::HeartConfigError;
pub use io::{HeartConfig, HeartEffect, HeartInput, Lane, Vip};
