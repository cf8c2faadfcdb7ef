//! What a farm module wants of the network (reference 004, 13.5), in words of its configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ethernet::MacAddr;

/// The hash table that is shared among the servers has so many bits (reference 004, 13.5.7.4).
pub const BUCKETS: u32 = 256;

/// A set of the 256 buckets; bucket `n` is bit `n % 64` of word `n / 64`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Buckets(pub [u64; 4]);

impl Buckets {
    pub const NONE: Buckets = Buckets([0; 4]);
    pub const ALL: Buckets = Buckets([u64::MAX; 4]);

    pub fn contains(self, bucket: u8) -> bool {
        self.0[usize::from(bucket / 64)] >> (bucket % 64) & 1 == 1
    }

    pub fn insert(&mut self, bucket: u8) {
        self.0[usize::from(bucket / 64)] |= 1 << (bucket % 64);
    }

    /// How many of the 256.
    pub fn len(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |bucket| self.contains(*bucket))
    }
}

impl FromIterator<u8> for Buckets {
    fn from_iter<T: IntoIterator<Item = u8>>(buckets: T) -> Self {
        let mut all = Self::NONE;
        buckets.into_iter().for_each(|bucket| all.insert(bucket));
        all
    }
}

/// Eight words of 32 buckets, the lowest first, as the membership has them.
impl From<[u32; 8]> for Buckets {
    fn from(words: [u32; 8]) -> Self {
        let long = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        Buckets([long(0), long(2), long(4), long(6)])
    }
}

/// As `vip_if_ctrl -l` prints a bitmap (reference 004, 4.3.5): eight words of 32 bits, the highest bucket first.
impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.iter().rev().flat_map(|word| [word >> 32, word & 0xffff_ffff]);
        let words: Vec<_> = words.map(|word| format!("{word:08x}")).collect();
        f.write_str(&words.join(":"))
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buckets({self})")
    }
}

/// How frames for a virtual address reach the server that they belong to (`<virtual_interface type="...">`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// `vmac_invisible`: the switch floods frames to this MAC, which no server ever sends from; each takes its own.
    Invisible { vmac: MacAddr },
    /// `vmac_directed`: a frame reaches one server, which forwards it to the one that it belongs to.
    Directed,
}

impl Delivery {
    /// The MAC when `addr` isn't set: 5A:FE and the first virtual address in hexadecimal (of an IPv6 address the last four
    /// bytes).
    pub fn default_vmac(first: IpAddr) -> MacAddr {
        let [a, b, c, d] = match first {
            IpAddr::V4(first) => first.octets(),
            IpAddr::V6(first) => {
                let [.., a, b, c, d] = first.octets();
                [a, b, c, d]
            }
        };
        MacAddr([0x5a, 0xfe, a, b, c, d])
    }
}

/// `<rule proto="...">`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
    /// Who has the address: ARP, and neighbour discovery for IPv6. The hash is that of who asks.
    Arp,
}

/// `<rule filter="...">`: what of a packet is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    OnAddr,
    /// Source address and source port.
    OnPort,
    /// The packet's identification, whoever sent it. For IPv6, which has none, the same as `OnPort`.
    OnIpid,
}

/// `<rule>`. Of several that fit a packet the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FarmRule {
    /// `None`: every virtual address.
    pub address: Option<IpAddr>,
    pub protocol: Protocol,
    /// `None`: every port. Without meaning for `arp`.
    pub port: Option<u16>,
    pub filter: Filter,
}

/// `<group>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmGroup {
    pub name: String,
    pub rules: Vec<FarmRule>,
    /// `drain="on"`: established TCP connections stay where they are when buckets move. Only with invisible delivery.
    pub drain: bool,
}

/// `<interface>` with its `<virtual_interface>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmInterface {
    /// The name, or nothing: the interface whose subnet contains the first address.
    pub name: Option<String>,
    pub delivery: Delivery,
    pub addresses: Vec<IpAddr>,
}

/// All of a farm module's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FarmSpec {
    pub module: String,
    pub interfaces: Vec<FarmInterface>,
    pub groups: Vec<FarmGroup>,
    /// The same on every server of the farm, or two servers take a packet and nobody another.
    pub seed: u32,
}

/// The seed of every farm unless something speaks for another.
pub const DEFAULT_SEED: u32 = 0x5afe;

/// One server at one interface, as the others have to know it with directed delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Station {
    pub mac: MacAddr,
    pub ipv4: Option<Ipv4Addr>,
    /// May be link-local.
    pub ipv6: Option<Ipv6Addr>,
}

/// What this server takes of a group, and who takes the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupLoad {
    pub mine: Buckets,
    /// Directed delivery: by the names of [`FarmLoad::peers`]. Buckets of nobody are discarded.
    pub owners: BTreeMap<String, Buckets>,
    /// With `drain`: buckets whose connections no server has any more (their server is dead): packets of connections
    /// that this server doesn't know are answered with a reset. Must be among `mine`.
    pub lost: Buckets,
}

/// Who takes what, as the membership agreed. Changes while the module runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FarmLoad {
    /// By the groups' names; a group that isn't there takes nothing.
    pub groups: BTreeMap<String, GroupLoad>,
    /// By the nodes' names: each one's station at each of [`FarmSpec::interfaces`], in their order. Only for directed
    /// delivery; all other servers of the farm, also those that are not up.
    pub peers: BTreeMap<String, Vec<Option<Station>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps_look_like_the_references() {
        let low: Buckets = (0..128).collect();
        assert_eq!(low.to_string(), "00000000:00000000:00000000:00000000:ffffffff:ffffffff:ffffffff:ffffffff");
        let one: Buckets = [255].into_iter().collect();
        assert_eq!(one.to_string(), "80000000:00000000:00000000:00000000:00000000:00000000:00000000:00000000");
        assert_eq!((low.len(), one.iter().collect::<Vec<_>>()), (128, vec![255]));
        assert!(Buckets::ALL.iter().eq(0..=255));
        let words = [1, 2, 0, 0, 0, 0, 0, 1 << 31];
        assert_eq!(Buckets::from(words).iter().collect::<Vec<_>>(), [0, 33, 255]);
    }

    #[test]
    fn the_virtual_mac_is_5afe_and_the_address() {
        let mac = |address: &str| Delivery::default_vmac(address.parse().unwrap()).to_string();
        assert_eq!(mac("192.168.1.222"), "5a:fe:c0:a8:01:de");
        assert_eq!(mac("fd77::1234:5678"), "5a:fe:12:34:56:78");
    }
}
