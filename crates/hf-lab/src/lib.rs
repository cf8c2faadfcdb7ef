//! Clusters on one machine, out of namespaces: `holdfast lab`.
//!
//! A lab is real: nodes with their own kernel namespaces, network cards, disk and boot id, running the real daemon; LANs that are bridges
//! with cables to pull; and power cuts after which exactly what was flushed is there. User's page: docs/user/lab.md.
//!
//! Walk through it: [`up`] makes the LANs ([`switch`]) and boots the machines ([`node::boot`]): a disk ([`disk`]), namespaces, a root
//! ([`node::root`]), cables, an init ([`node::init`]). [`node::power`] takes the power away, [`faults`] does everything less
//! violent, [`enter`] runs commands inside, [`down`] removes all of it without trusting any record.

mod addr;
mod args;
mod cgroup;
mod cluster;
mod disk;
mod disk_faults;
mod down;
mod enter;
mod error;
mod faults;
mod node;
mod paths;
mod process;
mod shape;
mod state;
mod status;
mod switch;
mod timeline;
mod up;

pub use args::{LabArgs, run};
pub use process::DEBIAN_PACKAGES;
