//! What can go wrong with a virtual address.

use std::io;
use std::net::IpAddr;

use thiserror::Error;

/// One operation on one address failed.
#[derive(Debug, Error)]
#[error("can't {operation} the virtual address {address}")]
pub struct VipError {
    pub operation: &'static str,
    pub address: IpAddr,
    #[source]
    pub cause: VipCause,
}

/// Why. Where nothing else is said, the address is as it was.
#[derive(Debug, Error)]
pub enum VipCause {
    #[error("no interface has a subnet that contains it: set `name` in <interface>")]
    NoInterface,
    #[error("there is no interface {name:?}")]
    UnknownInterface { name: String },
    #[error("the lifetime of {millis} ms is below one second, which is the kernel's unit")]
    Lifetime { millis: u128 },
    #[error("it is configured on {interface} for ever, not by Holdfast: remove it there")]
    Foreign { interface: String },
    #[error("it is no longer on any interface")]
    Gone,
    #[error("{millis} ms passed while it was renewed, so it may have expired meanwhile; it was removed")]
    Stalled { millis: u128 },
    #[error("{interface} has no Ethernet address")]
    NoEthernet { interface: String },
    #[error("the kernel refused to {what}")]
    Kernel { what: &'static str, source: io::Error },
}

impl VipCause {
    /// For `map_err`: what the kernel was asked for.
    pub(crate) fn kernel(what: &'static str) -> impl Fn(io::Error) -> VipCause {
        move |source| VipCause::Kernel { what, source }
    }
}
