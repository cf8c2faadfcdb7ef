//! Where in a packet stands what the farm looks at.

use std::net::IpAddr;

use super::plan::{compare, load, lookup, meta, rule};
use super::spec::Filter;
use crate::arp;
use crate::ethernet::MacAddr;
use crate::ndp;
use crate::nft::{Base, Comparison, Expr, Field, Kind, Meta, Register, Rule};

/// Ethernet.
pub(super) const LINK_DESTINATION: Field = Field::new(Base::Link, 0, 6);
pub(super) const LINK_SOURCE: Field = Field::new(Base::Link, 6, 6);
/// ARP (RFC 826) between Ethernet and IPv4.
const ARP_OPERATION: Field = Field::new(Base::Network, 6, 2);
pub(super) const ARP_SENDER_MAC: Field = Field::new(Base::Network, 8, 6);
pub(super) const ARP_SENDER: Field = Field::new(Base::Network, 14, 4);
const ARP_TARGET: Field = Field::new(Base::Network, 24, 4);
const ARP_REQUEST: u16 = 1;
/// The first byte of ICMP and ICMPv6.
const ICMP_TYPE: Field = Field::new(Base::Transport, 0, 1);
const SOURCE_PORT: Field = Field::new(Base::Transport, 0, 2);
/// Behind the eight bytes of an ICMP error, the packet that it is about begins.
const QUOTED: u32 = 8;
/// An IPv6 header without extensions; neighbour discovery has none.
const IPV6_LEN: u32 = 40;
const NEIGHBOUR_TARGET: Field = Field::new(Base::Network, IPV6_LEN + 8, 16);
const NEIGHBOUR_OPTION: Field = Field::new(Base::Network, IPV6_LEN + 24, 2);
const NEIGHBOUR_MAC: Field = Field::new(Base::Network, IPV6_LEN + 26, 6);
const ICMPV6_CHECKSUM: u32 = IPV6_LEN + 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Version {
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Version::V4 } else { Version::V6 }
    }

    fn pick<T>(self, v4: T, v6: T) -> T {
        match self {
            Version::V4 => v4,
            Version::V6 => v6,
        }
    }

    pub(super) fn digit(self) -> u8 {
        self.pick(4, 6)
    }

    pub(super) fn name(self) -> &'static str {
        self.pick("IPv4", "IPv6")
    }

    pub(super) fn kind(self) -> Kind {
        self.pick(Kind::Ipv4, Kind::Ipv6)
    }

    pub(super) fn ethertype(self) -> u16 {
        self.pick(0x0800, ndp::ETHERTYPE)
    }

    pub(super) fn nfproto(self) -> u8 {
        self.pick(libc::NFPROTO_IPV4, libc::NFPROTO_IPV6) as u8
    }

    fn source(self) -> Field {
        self.pick(Field::new(Base::Network, 12, 4), Field::new(Base::Network, 8, 16))
    }

    pub(super) fn destination(self) -> Field {
        self.pick(Field::new(Base::Network, 16, 4), Field::new(Base::Network, 24, 16))
    }

    fn icmp(self) -> u8 {
        self.pick(libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6) as u8
    }

    /// The packet asks for the MAC of one of the addresses.
    pub(super) fn question(self, vips: &str) -> Vec<Expr> {
        let kind = match self {
            Version::V4 => {
                let protocol = meta(Meta::Protocol, arp::ETHERTYPE.to_be_bytes().to_vec());
                [protocol, compare(ARP_OPERATION, ARP_REQUEST.to_be_bytes().to_vec())].concat()
            }
            Version::V6 => neighbour(ndp::SOLICITATION),
        };
        [kind, load(self.asked_field()), lookup(vips, false)].concat()
    }

    pub(super) fn asked_field(self) -> Field {
        self.pick(ARP_TARGET, NEIGHBOUR_TARGET)
    }

    pub(super) fn asker_field(self) -> Field {
        self.pick(ARP_SENDER, self.source())
    }

    /// A fragment other than the first.
    pub(super) fn later_fragment(self) -> Vec<Expr> {
        let register = Register::WORK;
        let (load, mask) = match self {
            Version::V4 => (Expr::Load { field: Field::new(Base::Network, 6, 2), to: register }, [0x1f, 0xff]),
            Version::V6 => (Expr::LoadFragment { offset: 2, to: register }, [0xff, 0xf8]),
        };
        let and = Expr::And { register, mask: mask.to_vec() };
        vec![load, and, Expr::Compare { register, how: Comparison::NotEqual, with: vec![0; 2] }]
    }

    /// ICMP of any type but "echo request".
    pub(super) fn icmp_but_echo(self) -> Vec<Expr> {
        let with = vec![self.pick(8, 128)];
        let other = Expr::Compare { register: Register::WORK, how: Comparison::NotEqual, with };
        [meta(Meta::L4Proto, vec![self.icmp()]), load(ICMP_TYPE), vec![other]].concat()
    }

    /// ICMP that quotes the packet it is about: one alternative each.
    pub(super) fn icmp_errors(self) -> Vec<Vec<Expr>> {
        let icmp = meta(Meta::L4Proto, vec![self.icmp()]);
        let is = |kind: u8| [icmp.clone(), compare(ICMP_TYPE, vec![kind])].concat();
        match self {
            // Unreachable, time exceeded, parameter problem.
            Version::V4 => [3, 11, 12].map(is).to_vec(),
            // Unreachable, too big, time exceeded, parameter problem.
            Version::V6 => [1, 2, 3, 4].map(is).to_vec(),
        }
    }

    /// Of the quoted packet, which this server sent: protocol, source address, source port.
    pub(super) fn quoted(self) -> [Field; 3] {
        let at = |offset, len| Field::new(Base::Transport, QUOTED + offset, len);
        self.pick([at(9, 1), at(12, 4), at(20, 2)], [at(6, 1), at(8, 16), at(40, 2)])
    }
}

/// What of a packet is hashed.
pub(super) fn key_of(version: Version, filter: Filter) -> Vec<Field> {
    match (filter, version) {
        (Filter::OnAddr, _) => vec![version.source()],
        (Filter::OnIpid, Version::V4) => vec![Field::new(Base::Network, 4, 2)],
        (Filter::OnPort, _) | (Filter::OnIpid, Version::V6) => vec![version.source(), SOURCE_PORT],
    }
}

/// The same of a quoted packet, whose destination is the client. `None`: an identification is the client's own affair.
pub(super) fn quoted_key_of(version: Version, filter: Filter) -> Option<Vec<Field>> {
    let at = |offset, len| Field::new(Base::Transport, QUOTED + offset, len);
    let client = version.pick(at(16, 4), at(24, 16));
    let port = version.pick(at(22, 2), at(42, 2));
    match (filter, version) {
        (Filter::OnAddr, _) => Some(vec![client]),
        (Filter::OnIpid, Version::V4) => None,
        (Filter::OnPort, _) | (Filter::OnIpid, Version::V6) => Some(vec![client, port]),
    }
}

fn neighbour(kind: u8) -> Vec<Expr> {
    let protocol = meta(Meta::Protocol, ndp::ETHERTYPE.to_be_bytes().to_vec());
    let icmp = compare(Field::new(Base::Network, 6, 1), vec![libc::IPPROTO_ICMPV6 as u8]);
    [protocol, icmp, compare(Field::new(Base::Network, IPV6_LEN, 1), vec![kind])].concat()
}

/// Puts the virtual MAC into what says where the address is: advertisements of it, and questions that are asked in its name.
pub(super) fn neighbour_messages(vips: &str, vmac: MacAddr) -> Vec<Rule> {
    let say = |comment: &str, kind, address, option: [u8; 2]| {
        let about = [load(address), lookup(vips, false), compare(NEIGHBOUR_OPTION, option.to_vec())].concat();
        rule(comment, [neighbour(kind), about, overwrite(NEIGHBOUR_MAC, vmac, Some(ICMPV6_CHECKSUM))].concat())
    };
    vec![
        say("advertisements: the virtual MAC", ndp::ADVERTISEMENT, NEIGHBOUR_TARGET, ndp::TARGET_LINK_ADDRESS),
        say("questions: the virtual MAC", ndp::SOLICITATION, Version::V6.source(), ndp::SOURCE_LINK_ADDRESS),
    ]
}

pub(super) fn overwrite(field: Field, mac: MacAddr, checksum: Option<u32>) -> Vec<Expr> {
    let value = Expr::Immediate { to: Register::WORK, value: mac.0.to_vec() };
    vec![value, Expr::Write { field, from: Register::WORK, checksum }]
}
