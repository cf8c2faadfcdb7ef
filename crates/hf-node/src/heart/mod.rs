//! The heart: heartbeats, the mirror state machine, scripts, virtual IPs, permission to acknowledge.
//!
//! - [`HeartActor`] takes inputs and lets the rules look (`actor`), with what it knows of the other node (`peer`), of its
//!   rfs (`rfs`), of scripts and addresses (`scripts`, `vips`); `resources` are what it tells people and rules of that.
//! - The rules, one file a state: `waiting`, `primary`, `secondary`. `commands` takes what an administrator says, `loops` counts what detectors ask for, `errd` watches processes, `reboot` is what one of them may become, `rules` looks at the module's failover rules, `steps`
//!   carries out the plans of `hf_module::mirror`, `configured` goes by another configuration, `advice` says why nothing is heard, `checkers` which checkers run,
//!   `syncdelta` relaxes who may start, `schedule` lets a secondary synchronise by `syncat` only.

mod actor;
mod advice;
mod checkers;
mod claims;
mod commands;
mod config;
mod configured;
mod errd;
mod failover;
mod io;
mod loops;
mod others;
mod peer;
mod primary;
mod reboot;
mod refuted;
mod resources;
mod resume;
mod rfs;
mod rfs_resources;
mod rules;
mod runs;
mod schedule;
mod scripts;
mod secondary;
mod splitbrain;
mod steps;
mod syncdelta;
mod vips;
mod waiting;

pub use actor::HeartActor;
pub use advice::LaneSight;
pub use config::HeartConfigError;
pub use configured::unsound_lanes;
pub use io::{HeartConfig, HeartEffect, HeartInput, Lane, Vip};
pub use loops::{KeptLoops, LoopLimits};
pub use splitbrain::{WITNESS_EVERY, WITNESS_TIMEOUT};
