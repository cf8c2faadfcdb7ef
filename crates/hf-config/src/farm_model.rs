//! What only a farm's configuration has, as plain data (reference 004, 13.4 and 13.5).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// `<farm>` (reference 004, 13.4): how the nodes of a farm find each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farm {
    /// `port`, UDP; none: 4803 + 3 (id - 1).
    pub port: Option<u16>,
    /// `pulse`, bare numbers in milliseconds, default 500.
    pub pulse_ms: u64,
    /// `mlost_count`, default 4: so many periods without a word from the leader, and another one is elected.
    pub mlost_count: u32,
    /// `slost_count`, default 4: so many periods without a word from another node, and it is no member any more.
    pub slost_count: u32,
    /// `<lan name>`, in the order of the file: networks of cluster.xml, at least one, none twice.
    pub lans: Vec<String>,
}

/// `<virtual_interface>` (reference 004, 13.5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtualMac {
    /// `type="vmac_directed"`: one of the nodes answers for the address with its own MAC address, and hands on.
    Directed,
    /// `type="vmac_invisible"`: all of them receive what is sent to a MAC address that nobody has.
    Invisible {
        /// `addr`; none: made of the first virtual address ([`VirtualMac::usual`]).
        mac: Option<[u8; 6]>,
    },
}

impl VirtualMac {
    /// The word of `type`.
    pub fn kind(self) -> &'static str {
        match self {
            VirtualMac::Directed => "vmac_directed",
            VirtualMac::Invisible { .. } => "vmac_invisible",
        }
    }

    /// `addr` as it is written in the file.
    pub fn written(self) -> Option<String> {
        match self {
            VirtualMac::Invisible { mac: Some(mac) } => Some(mac.map(|byte| format!("{byte:02x}")).join(":")),
            VirtualMac::Invisible { mac: None } | VirtualMac::Directed => None,
        }
    }

    /// `5a:fe` and the address in hexadecimal (4.3.4.1); of an IPv6 address its last four bytes.
    pub fn usual(first: IpAddr) -> [u8; 6] {
        let [a, b, c, d] = match first {
            IpAddr::V4(v4) => v4.octets(),
            IpAddr::V6(v6) => {
                let [.., a, b, c, d] = v6.octets();
                [a, b, c, d]
            }
        };
        [0x5a, 0xfe, a, b, c, d]
    }
}

/// `<group>`: traffic that is shared out together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadGroup {
    /// `name`: the resource is `farm.<name>`.
    pub name: String,
    /// `<host>`: node and power, in the order of the file. Empty: every node of the farm has power 1. Otherwise a node that
    /// isn't listed has power 0.
    pub powers: Vec<(String, u32)>,
    /// `<rule>`, in the order of the file, at least one.
    pub rules: Vec<LoadRule>,
}

impl LoadGroup {
    /// The weight of a node.
    pub fn power(&self, node: &str) -> u32 {
        let listed = self.powers.iter().find(|(name, _)| name == node).map(|(_, power)| *power);
        listed.unwrap_or(u32::from(self.powers.is_empty()))
    }
}

/// `<rule>`: which packets belong to the group, and what says which node serves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRule {
    /// `virtual_addr`; none: `*`.
    pub address: Option<IpAddr>,
    /// `port`; none: `*`.
    pub port: Option<u16>,
    /// `proto`.
    pub proto: Proto,
    /// `filter`.
    pub filter: Filter,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    Udp,
    #[default]
    Tcp,
    /// Questions for the MAC address: ARP and neighbour discovery.
    Arp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Udp => "udp",
            Proto::Tcp => "tcp",
            Proto::Arp => "arp",
        })
    }
}

/// Which part of a packet chooses the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// The client's address: one client, one server.
    #[default]
    OnAddr,
    /// The client's port: each connection by itself.
    OnPort,
    /// The identification of the IP packet: each packet by itself.
    OnIpid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_mac_address_is_that_of_the_reference() {
        let mac = |text: &str| VirtualMac::Invisible { mac: Some(VirtualMac::usual(text.parse().unwrap())) }.written();
        assert_eq!(mac("192.168.56.20").as_deref(), Some("5a:fe:c0:a8:38:14"), "004, 4.3.4.1");
        assert_eq!(mac("fd00::1:2").as_deref(), Some("5a:fe:00:01:00:02"));
    }

    #[test]
    fn who_is_not_listed_has_no_power_once_somebody_is() {
        let mut group = LoadGroup { name: "g".to_owned(), powers: Vec::new(), rules: Vec::new() };
        assert_eq!(group.power("n1"), 1);
        group.powers.push(("n2".to_owned(), 3));
        assert_eq!((group.power("n1"), group.power("n2")), (0, 3));
    }
}
