//! Addresses and links of this network namespace.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::ethernet::MacAddr;
use crate::netlink::Netlink;

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressEntry {
    pub index: u32,
    pub address: IpAddr,
    pub prefix_len: u8,
    /// Seconds that it still lives; `None` for ever.
    pub valid_s: Option<u32>,
}

impl AddressEntry {
    /// Whether the entry's subnet contains `other`.
    pub fn contains(&self, other: IpAddr) -> bool {
        let (mine, other, len) = match (self.address, other) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => (mine.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(mine), IpAddr::V6(other)) => (mine.to_bits(), other.to_bits(), 128u32),
            _ => return false,
        };
        let host = len.saturating_sub(self.prefix_len.into());
        let network = |bits: u128| bits.checked_shr(host).unwrap_or(0);
        network(mine) == network(other)
    }
}

impl AddressEntry {
    /// The first address of the entry's subnet, as it names the network.
    pub fn network(&self) -> IpAddr {
        let host = |longest: u8| u32::from(longest.saturating_sub(self.prefix_len));
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host(32)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host(128)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        }
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// `None` for interfaces that aren't Ethernet.
    pub mac: Option<MacAddr>,
    /// Switched on by the administrator.
    pub up: bool,
    /// Switched on, and the cable (or whatever is below) carries.
    pub carrier: bool,
}

/// A socket to the kernel's routing tables.
pub(crate) struct Route(Netlink);

impl Route {
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_ROUTE).map(Self)
    }

    /// All addresses.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<AddressEntry>> {
        let question = AddressMessage::default();
        let answer = self.ask(RouteNetlinkMessage::GetAddress(question), NLM_F_DUMP)?;
        Ok(answer.iter().filter_map(address_of).collect())
    }

    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let answer = self.ask(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(answer.iter().filter_map(link_of).collect())
    }

    /// Adds the address or, if it is there with this prefix, gives it a new lifetime.
    pub(crate) fn put_address(&mut self, entry: &AddressEntry) -> io::Result<()> {
        let message = RouteNetlinkMessage::NewAddress(address_message(entry));
        self.ask(message, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    pub(crate) fn delete_address(&mut self, entry: &AddressEntry) -> io::Result<()> {
        let message = RouteNetlinkMessage::DelAddress(address_message(entry));
        self.ask(message, NLM_F_ACK).map(drop)
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut question = NetlinkMessage::new(header, message.into());
        question.finalize();
        let mut bytes = vec![0; question.buffer_len()];
        question.serialize(&mut bytes);
        self.0.ask(bytes)?.iter().map(|frame| parse(frame)).collect()
    }
}

/// A frame of the routing tables.
pub(crate) fn parse(frame: &[u8]) -> io::Result<RouteNetlinkMessage> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(frame).map_err(io::Error::other)?;
    match message.payload {
        netlink_packet_core::NetlinkPayload::InnerMessage(inner) => Ok(inner),
        other => Err(io::Error::other(format!("unexpected netlink message {other:?}"))),
    }
}

fn address_message(entry: &AddressEntry) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = if entry.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = entry.prefix_len;
    message.header.scope = AddressScope::Universe;
    message.header.index = entry.index;
    message.attributes = vec![AddressAttribute::Local(entry.address), AddressAttribute::Address(entry.address)];
    if entry.address.is_ipv6() {
        // Usable at once: whether somebody else has it is asked by `Guard`. No route of its own.
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute));
    }
    if let Some(valid) = entry.valid_s {
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = valid;
        // Deprecated from the beginning: the node's own connections never get it as their source (RFC 6724, rule 3).
        lifetime.ifa_preferred = if entry.address.is_ipv4() { valid } else { 0 };
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    message
}

/// `None` for other kinds of messages.
pub(crate) fn address_of(message: &RouteNetlinkMessage) -> Option<AddressEntry> {
    let (RouteNetlinkMessage::NewAddress(message) | RouteNetlinkMessage::DelAddress(message)) = message else {
        return None;
    };
    let mut local = None;
    let mut remote = None;
    let mut permanent = message.header.flags.contains(AddressHeaderFlags::Permanent);
    let mut valid = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => remote = Some(*address),
            AddressAttribute::Flags(flags) => permanent |= flags.contains(AddressFlags::Permanent),
            AddressAttribute::CacheInfo(info) => valid = Some(info.ifa_valid),
            _ => (),
        }
    }
    Some(AddressEntry {
        index: message.header.index,
        // On point-to-point links the two differ, and ours is the local one.
        address: local.or(remote)?,
        prefix_len: message.header.prefix_len,
        valid_s: valid.filter(|seconds| !permanent && *seconds != u32::MAX),
    })
}

/// `None` for other kinds of messages.
pub(crate) fn link_of(message: &RouteNetlinkMessage) -> Option<Link> {
    let (RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message)) = message else {
        return None;
    };
    let mut name = String::new();
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok().map(MacAddr),
            _ => (),
        }
    }
    let flags = message.header.flags;
    Some(Link {
        index: message.header.index,
        name,
        mac: mac.filter(|_| message.header.link_layer_type == LinkLayerType::Ether),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_name_of_their_first_address() {
        let network = |address: &str, prefix_len| {
            let address = address.parse().unwrap();
            AddressEntry { index: 1, address, prefix_len, valid_s: None }.network().to_string()
        };
        assert_eq!(network("192.168.1.20", 24), "192.168.1.0");
        assert_eq!(network("10.1.2.3", 15), "10.0.0.0");
        assert_eq!((network("10.1.2.3", 32), network("10.1.2.3", 0)), ("10.1.2.3".into(), "0.0.0.0".into()));
        assert_eq!((network("fd77::1:2", 64), network("fd77::1", 0)), ("fd77::".into(), "::".into()));
    }

    #[test]
    fn subnets() {
        let contains = |network: &str, prefix_len, other: &str| {
            let address = network.parse().unwrap();
            AddressEntry { index: 1, address, prefix_len, valid_s: None }.contains(other.parse().unwrap())
        };
        assert!(contains("10.90.1.1", 24, "10.90.1.200"));
        assert!(!contains("10.90.1.1", 24, "10.90.2.1"));
        assert!(contains("10.90.1.1", 0, "192.168.0.1"));
        assert!(contains("10.90.1.1", 32, "10.90.1.1"));
        assert!(!contains("10.90.1.1", 32, "10.90.1.2"));
        assert!(contains("fd77::1", 64, "fd77::99"));
        assert!(!contains("fd77::1", 64, "fd77:0:0:1::99"));
        assert!(contains("fd77::1", 0, "2001:db8::1"));
        assert!(!contains("fd77::1", 128, "fd77::2"));
        assert!(!contains("0.0.0.0", 0, "fd77::2"));
    }
}
