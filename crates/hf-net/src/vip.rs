//! The border between the heart and the platform.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::VipError;
use crate::guard::Guard;

/// A virtual address and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipSpec {
    pub address: IpAddr,
    /// `<interface name="...">`; `None`: the interface whose subnet contains the address.
    pub interface: Option<String>,
    /// From `<virtual_addr netmask="...">`; `None`: 32, for IPv6 128.
    pub prefix_len: Option<u8>,
}

impl VipSpec {
    /// An address on the interface whose subnet contains it.
    pub fn new(address: IpAddr) -> Self {
        Self { address, interface: None, prefix_len: None }
    }
}

/// Where [`VirtualIp::set`] put the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub interface: String,
    pub index: u32,
    /// What didn't work though the address is there (announcement, `arp_announce`): to be logged.
    pub warnings: Vec<String>,
}

/// What [`VirtualIp::clear`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The address was there.
    pub was_set: bool,
    /// Connections that were reset.
    pub reset: usize,
}

/// Virtual addresses of this machine. Every call is synchronous and short.
pub trait VirtualIp: Send {
    /// Puts the address on its interface for `lifetime` (whole seconds, rounded down, at least one) and announces it.
    /// An address that is there with a lifetime already (of a dead predecessor) is taken over.
    fn set(&mut self, vip: &VipSpec, lifetime: Duration) -> Result<Placed, VipError>;

    /// Lets the address live for `lifetime` from now. `Gone` if it isn't there: it is never brought back.
    fn renew(&mut self, address: IpAddr, lifetime: Duration) -> Result<(), VipError>;

    /// Tells the LAN once more where the address is (`arpinterval`).
    fn announce(&mut self, address: IpAddr) -> Result<(), VipError>;

    /// Takes the address away; `reset`: first resets its connections (`tcpreset`). Not an error if it isn't there.
    /// Works for an address that another process set.
    fn clear(&mut self, address: IpAddr, reset: bool) -> Result<Cleared, VipError>;

    /// Watches the interface where the address belongs for others who claim it, whether it is set or not. To be awaited
    /// within a tokio runtime.
    fn guard(&mut self, vip: &VipSpec) -> Result<Guard, VipError>;

    /// Established TCP connections of the address (`connections="on"`).
    fn connections(&mut self, address: IpAddr) -> Result<usize, VipError>;
}
