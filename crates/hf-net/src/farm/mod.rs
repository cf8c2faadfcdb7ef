//! The network of a farm: one virtual address on every server, each packet taken by one (reference 004, 1.4 and 13.5).
//!
//! docs/internals/farm-network.md tells what is in the kernel and why, and what is promised at each step.

mod error;
mod hash;
mod packet;
mod plan;
mod plane;
mod probe;
mod spec;
mod sysctl;
#[cfg(test)]
mod tests;

pub use error::FarmError;
pub use hash::bucket;
pub use plan::PlanError;
pub use plane::{FarmPlane, Renewed, Started, Stopped, Verified, clear_leftovers, kernel_bitmaps};
pub use probe::{Lack, lacks};
pub use spec::{
    BUCKETS, Buckets, DEFAULT_SEED, Delivery, FarmGroup, FarmInterface, FarmLoad, FarmRule, FarmSpec, Filter,
    GroupLoad, Protocol, Station,
};
