//! What can go wrong with a farm's network.

use std::io;
use std::net::IpAddr;

use thiserror::Error;

use super::plan::PlanError;
use crate::error::{VipCause, VipError};
use crate::nft::NftError;

/// An operation on a farm's network failed. Where nothing else is said, the kernel is as it was.
#[derive(Debug, Error)]
pub enum FarmError {
    #[error("can't talk to the kernel about the network (root's rights are needed)")]
    Socket(#[source] io::Error),
    #[error("the virtual address {address} has no place")]
    Place {
        address: IpAddr,
        #[source]
        source: VipError,
    },
    #[error("<interface> number {number} has no virtual address: add a <virtual_addr>, or take the interface away")]
    NoAddress { number: usize },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the filter of the farm can't be changed")]
    Filter(#[from] NftError),
    #[error("can't {what}")]
    Kernel {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("another process (netlink port {owner}) has the filter of {module}: stop it first")]
    InUse { module: String, owner: u32 },
    #[error("can't set the virtual address {address}")]
    Address {
        address: IpAddr,
        #[source]
        source: VipCause,
    },
    #[error("the filter of {module} wasn't renewed for {seconds} s, so its addresses aren't either: stop and start it")]
    Stale { module: String, seconds: u64 },
}

impl FarmError {
    /// For `map_err`: what the kernel was asked for.
    pub(super) fn kernel(what: &'static str) -> impl Fn(io::Error) -> FarmError {
        move |source| FarmError::Kernel { what, source }
    }
}
