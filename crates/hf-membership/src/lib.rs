//! Who is there: the heartbeats of a pair of hearts ([`Pair`]), the nodes that a daemon hears ([`Nodes`]), and the nodes of a farm ([`Farm`]).
//!
//! All are told the time and every datagram, and answer questions; none sends anything or reads a clock. A datagram
//! counts for its lane whenever it is newer than what that lane has heard, and as the sender's state only when it is newer
//! than what any lane has heard: lanes differ in speed, and an old state must never come back.

mod farm;
mod nodes;
mod pair;

pub use farm::{Farm, FarmConfig, FarmEvent, GroupConfig, Share, Shares, quotas};
pub use nodes::{Heard, NodeView, Nodes, Numbered};
pub use pair::{LaneChange, LaneConfig, LaneStatus, Pair, Receipt};
