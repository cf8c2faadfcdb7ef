//! Neighbour discovery of IPv6: the unsolicited advertisement (RFC 4861, 7.2.6) and the question of duplicate address
//! detection (RFC 4862, 5.4): the frames.

use std::net::Ipv6Addr;

use socket2::SockFilter;

use crate::ethernet::{HEADER_LEN, MacAddr, Word, filter, joined, mac_at};

pub(crate) const ETHERTYPE: u16 = 0x86dd;
const ICMPV6: u8 = 58;
/// Whoever sees another one has a packet from beyond a router (RFC 4861, 7.1).
const HOP_LIMIT: u8 = 255;
pub(crate) const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: u8 = 0x80;
/// "Forget the address that you know of."
const OVERRIDE: u8 = 0x20;
/// Options (RFC 4861, 4.6.1): the target's and the sender's link-layer address, one unit of eight bytes.
pub(crate) const TARGET_LINK_ADDRESS: [u8; 2] = [2, 1];
pub(crate) const SOURCE_LINK_ADDRESS: [u8; 2] = [1, 1];

/// Offsets in a frame.
const NEXT_HEADER: usize = HEADER_LEN + 6;
const HOPS: usize = HEADER_LEN + 7;
const SOURCE: usize = HEADER_LEN + 8;
const KIND: usize = HEADER_LEN + 40;
const TARGET: usize = KIND + 8;
const OPTIONS: usize = TARGET + 16;

/// Tells everybody that `address` is at this interface. `router`: the node forwards packets, or hosts that use it as
/// their router would drop it.
pub(crate) fn announcement(address: Ipv6Addr, mac: MacAddr, router: bool) -> Vec<u8> {
    let flags = OVERRIDE | if router { ROUTER } else { 0 };
    let message = joined(&[&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0], &address.octets(), &TARGET_LINK_ADDRESS, &mac.0]);
    frame(mac, address, ALL_NODES, message)
}

/// Asks who has `address`, in nobody's name.
pub(crate) fn probe(address: Ipv6Addr, mac: MacAddr) -> Vec<u8> {
    let message = joined(&[&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], &address.octets()]);
    frame(mac, Ipv6Addr::UNSPECIFIED, solicited_node(address), message)
}

/// Asks who has `address` as any client does, in the name of `own` (RFC 4861, 4.3): whoever has the address takes it for no claim.
pub(crate) fn question(address: Ipv6Addr, mac: MacAddr, own: Ipv6Addr) -> Vec<u8> {
    let head = [SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    let message = joined(&[&head, &address.octets(), &SOURCE_LINK_ADDRESS, &mac.0]);
    frame(mac, own, solicited_node(address), message)
}

/// The MAC of somebody else who says in `frame` to have `address`, or to be about to take it.
pub(crate) fn claimant(frame: &[u8], address: Ipv6Addr, my_mac: MacAddr) -> Option<MacAddr> {
    let sender = mac_at(frame, 6)?;
    let neighbour = frame.get(12..14)? == ETHERTYPE.to_be_bytes()
        && *frame.get(NEXT_HEADER)? == ICMPV6
        && *frame.get(HOPS)? == HOP_LIMIT
        && address_at(frame, TARGET)? == address;
    let named = frame.get(OPTIONS..OPTIONS + 2).filter(|option| *option == TARGET_LINK_ADDRESS);
    let owner = match *frame.get(KIND)? {
        ADVERTISEMENT => named.and_then(|_| mac_at(frame, OPTIONS + 2)).unwrap_or(sender),
        SOLICITATION if address_at(frame, SOURCE)?.is_unspecified() => sender,
        _ => return None,
    };
    (neighbour && owner != my_mac && sender != my_mac).then_some(owner)
}

/// Lets through what [`claimant`] has to see.
pub(crate) fn claims_filter(address: Ipv6Addr) -> Vec<SockFilter> {
    let at = |offset: usize, bytes: [u8; 16]| {
        [0usize, 4, 8, 12].map(|part| {
            let word = [bytes[part], bytes[part + 1], bytes[part + 2], bytes[part + 3]];
            Word::long((offset + part) as u32, word)
        })
    };
    let message = |kind: u8| [Word::byte(NEXT_HEADER as u32, ICMPV6), Word::byte(KIND as u32, kind)];
    let target = at(TARGET, address.octets());
    let advertised = [&message(ADVERTISEMENT)[..], &target].concat();
    let probed = [&message(SOLICITATION)[..], &at(SOURCE, [0; 16]), &target].concat();
    filter(&[&advertised, &probed])
}

/// Where probes for `address` go (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// The Ethernet address of [`solicited_node`].
pub(crate) fn probes_group(address: Ipv6Addr) -> MacAddr {
    multicast_mac(solicited_node(address))
}

/// RFC 2464, 7.
fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

fn address_at(frame: &[u8], at: usize) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(frame.get(at..at + 16)?).ok().map(Ipv6Addr::from)
}

/// `message`: ICMPv6 with a checksum of zero.
fn frame(mac: MacAddr, source: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let len = message.len() as u16;
    let sum = checksum(source, to, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    joined(&[
        &multicast_mac(to).0,
        &mac.0,
        &ETHERTYPE.to_be_bytes(),
        &[0x60, 0, 0, 0],
        &len.to_be_bytes(),
        &[ICMPV6, HOP_LIMIT],
        &source.octets(),
        &to.octets(),
        &message,
    ])
}

/// RFC 4443, 2.3: over the pseudo header and the message, whose length is even here.
fn checksum(source: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let len = (message.len() as u32).to_be_bytes();
    let all = joined(&[&source.octets(), &to.octets(), &len, &[0, 0, 0, ICMPV6], message]);
    let mut sum: u32 = all.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0x1234, 0x5699);
    const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    #[test]
    fn groups_are_those_of_rfc_4291_and_2464() {
        assert_eq!(solicited_node(VIP).to_string(), "ff02::1:ff34:5699");
        assert_eq!(probes_group(VIP).to_string(), "33:33:ff:34:56:99");
    }

    /// The sum over everything, the checksum included, is all ones.
    #[test]
    fn checksums_are_right() {
        let own = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 7);
        for frame in [announcement(VIP, ME, true), announcement(VIP, ME, false), probe(VIP, ME), question(VIP, ME, own)]
        {
            let (source, to) = (address_at(&frame, SOURCE).unwrap(), address_at(&frame, SOURCE + 16).unwrap());
            assert_eq!(checksum(source, to, &frame[KIND..]), 0);
        }
    }

    #[test]
    fn who_claims_the_address() {
        assert_eq!(claimant(&announcement(VIP, OTHER, false), VIP, ME), Some(OTHER), "an owner's word");
        assert_eq!(claimant(&probe(VIP, OTHER), VIP, ME), Some(OTHER), "another's probe");
        assert_eq!(claimant(&announcement(VIP, ME, false), VIP, ME), None, "my own word");
        assert_eq!(claimant(&probe(VIP, ME), VIP, ME), None, "my own probe");
        let else_where = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(claimant(&announcement(else_where, OTHER, false), VIP, ME), None, "another address");
        let own = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 7);
        assert_eq!(claimant(&question(VIP, OTHER, own), VIP, ME), None, "a client's question");
        let mut routed = announcement(VIP, OTHER, false);
        routed[HOPS] = 64;
        assert_eq!(claimant(&routed, VIP, ME), None, "from beyond a router");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(frame in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = claimant(&frame, VIP, ME);
        }
    }
}
