//! The nodes of a farm: who is there, who leads, and who serves which part of the traffic (reference 004, 13.4, 13.5.7.4, 4.3.5).
//!
//! ```text
//!   join()             heard a leader, or was the first for a while           leave()
//!   outside ---> joining ----------------------------------------> member ---> leaving ---> outside
//!                                                                             all shares are handed over
//! ```
//!
//! Every node sends all that it knows to every other one on every LAN ([`hf_wire::farm::FarmPulse`]): each `pulse`, and at once when
//! something changed.
//!
//! - **Leader.** A node follows a leader that it hears and that hears it. Where there is none, the first one of cluster.xml that is heard
//!   becomes it. Of two leaders that hear each other (after a partition) the first one of cluster.xml goes on.
//! - **View.** The leader alone says who is a member: itself and who follows it. Each change is a new view, with a number above all
//!   that anybody has heard of. A member takes over only views with higher numbers than its own.
//! - **Shares.** A view says for each of the 256 shares of each group who has it ([`Shares`]). The leader makes it of the view before, so
//!   that no share moves without need.
//! - **Handing over.** A node takes what a new view gives it at once, and lets go of what was taken from it when the new owner has said that
//!   it has it ([`Farm::holds`]): receivers before senders. So no share is without an owner while both live, and none has two of them for longer than
//!   a message is on its way.
//!
//! Nodes of which some hear each other and others don't, on all LANs at once, can make two groups whose shares together are more than 256: as after
//! any partition each group serves who reaches it (4.3.6).

mod config;
mod group;
mod handing;
mod leader;
mod shares;
mod view;

pub use config::{FarmConfig, GroupConfig};
pub use group::{Farm, FarmEvent};
pub use shares::{Share, Shares, quotas};
