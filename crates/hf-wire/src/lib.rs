//! What goes over wires: the bus between our own processes on one node ([`bus`]), and (beside it) heartbeats,
//! membership and replication frames between nodes.
//!
//! Bus messages are JSON in frames of a four-byte big-endian length. A [`bus::Hello`] comes first, both ways. Fields may be
//! added with `#[serde(default)]`; a version above ours is refused only if its `oldest` is above ours too, because an upgrade
//! replaces the daemon while modules run (version N talks to N-1 and back).

pub mod bus;
mod bus_admin;
pub mod bus_cluster;
pub mod check;
pub mod farm;
pub mod frame;
pub mod heartbeat;
pub mod inquiry;
pub mod membership;
