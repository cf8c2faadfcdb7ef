//! The heart: heartbeats, the mirror state machine, scripts, virtual IPs, permission to acknowledge.

mod io;

pub use io::{HeartConfig, HeartEffect, HeartInput, Lane, Vip};
