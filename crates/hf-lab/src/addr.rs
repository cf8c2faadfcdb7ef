//! The address plan (LAN number l from 1, node n from 1): 10.90.l.n and fd90:l::n.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The most nodes of a lab: the client and virtual addresses live above.
pub const MAX_NODES: usize = 32;
/// The most LANs of a lab.
pub const MAX_LANS: usize = 8;
/// The machine without a daemon.
pub const CLIENT: &str = "client";
const CLIENT_NUMBER: u8 = 100;

/// The number in the addresses: n for `node<n>`, 100 for `client`.
pub fn number(machine: &str) -> Option<u8> {
    if machine == CLIENT {
        return Some(CLIENT_NUMBER);
    }
    let digits = machine.strip_prefix("node")?;
    let n: u8 = digits.parse().ok()?;
    ((1..=MAX_NODES as u8).contains(&n) && digits == n.to_string()).then_some(n)
}

pub fn v4(lan: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 90, lan, host)
}

pub fn v6(lan: u8, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd90, u16::from(lan), 0, 0, 0, 0, 0, u16::from(host))
}

/// A locally administered address that stays over reboots, as a real card's does.
pub fn mac(lan: u8, host: u8) -> String {
    format!("02:90:00:00:{lan:02x}:{host:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_names() {
        assert_eq!(number("node1"), Some(1));
        assert_eq!(number("node32"), Some(32));
        assert_eq!(number("client"), Some(100));
        for wrong in ["node0", "node33", "node01", "node", "node1 ", "Node1", "x"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_follow_the_plan() {
        assert_eq!(v4(2, 1).to_string(), "10.90.2.1");
        assert_eq!(v6(1, 100).to_string(), "fd90:1::64");
        assert_eq!(mac(1, 100), "02:90:00:00:01:64");
    }
}
