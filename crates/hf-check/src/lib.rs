//! Checkers (reference 004, 13.10 to 13.17): they look, and report what they saw. What follows from it is decided by the heart
//! (`hf_node::heart`, which says when each of them runs) and by the module's failover rules.
//!
//! A [`Probe`] is one checker: a look at something, again and again. The [`Runner`] has all of a module's probes on one thread of
//! its own, with an ordinary priority. A look is a future with a limit; whatever can hang in the kernel or a library (a name that is
//! looked up, a disk) goes [`Aside`]. So no probe can hold up another one, nor the heart, whatever it waits for, and what is
//! kept of each is bounded: one look, one thread aside.

mod aside;
mod connect;
mod disk;
mod http;
mod module;
mod names;
mod ping;
mod probe;
mod runner;
mod splitbrain;
mod tcp;

pub use aside::Aside;
pub use disk::{DiskProbe, serve as serve_disk};
pub use http::HttpProbe;
pub use module::ModuleProbe;
pub use names::Names;
pub use ping::PingProbe;
pub use probe::{Found, Look, Pace, Probe};
pub use runner::{Report, Runner};
pub use splitbrain::SplitbrainProbe;
pub use tcp::TcpProbe;
