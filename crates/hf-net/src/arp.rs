//! Gratuitous ARP and the ARP probe of RFC 5227: the frames.

use std::net::Ipv4Addr;

use socket2::SockFilter;

use crate::ethernet::{MacAddr, Word, filter, joined, mac_at};

pub(crate) const ETHERTYPE: u16 = 0x0806;
/// Ethernet type IPv4 over Ethernet, six and four bytes long.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// The part of an ARP packet that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ArpPacket {
    operation: u16,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

impl ArpPacket {
    /// An Ethernet frame for everybody.
    fn broadcast_frame(&self) -> Vec<u8> {
        joined(&[
            &MacAddr::BROADCAST.0,
            &self.sender_mac.0,
            &ETHERTYPE.to_be_bytes(),
            &ARP_HEAD,
            &self.operation.to_be_bytes(),
            &self.sender_mac.0,
            &self.sender.octets(),
            &self.target_mac.0,
            &self.target.octets(),
        ])
    }

    fn parse(frame: &[u8]) -> Option<Self> {
        if frame.get(12..14)? != ETHERTYPE.to_be_bytes() || frame.get(14..20)? != ARP_HEAD {
            return None;
        }
        let ip = |at: usize| <[u8; 4]>::try_from(frame.get(at..at + 4)?).ok().map(Ipv4Addr::from);
        Some(Self {
            operation: u16::from_be_bytes(frame.get(20..22)?.try_into().ok()?),
            sender_mac: mac_at(frame, 22)?,
            sender: ip(28)?,
            target_mac: mac_at(frame, 32)?,
            target: ip(38)?,
        })
    }

    /// Somebody with another MAC than mine has the address, or is about to take it.
    fn claims(&self, address: Ipv4Addr, my_mac: MacAddr) -> bool {
        let probes = self.sender.is_unspecified() && self.target == address && self.operation == REQUEST;
        self.sender_mac != my_mac && (self.sender == address || probes)
    }
}

/// Says that `address` is at this interface, as a request and as a reply: some devices learn only from one of them.
pub(crate) fn announcements(address: Ipv4Addr, mac: MacAddr) -> Vec<Vec<u8>> {
    let said = |(operation, target_mac)| {
        ArpPacket { operation, sender_mac: mac, sender: address, target_mac, target: address }.broadcast_frame()
    };
    [(REQUEST, MacAddr::ZERO), (REPLY, MacAddr::BROADCAST)].map(said).to_vec()
}

/// Asks who has `address`, in nobody's name (RFC 5227, 2.1.1).
pub(crate) fn probe(address: Ipv4Addr, mac: MacAddr) -> Vec<u8> {
    let sender = Ipv4Addr::UNSPECIFIED;
    ArpPacket { operation: REQUEST, sender_mac: mac, sender, target_mac: MacAddr::ZERO, target: address }
        .broadcast_frame()
}

/// Asks who has `address` as any client does, in the name of `own`: whoever has the address takes it for no claim.
pub(crate) fn question(address: Ipv4Addr, mac: MacAddr, own: Ipv4Addr) -> Vec<u8> {
    ArpPacket { operation: REQUEST, sender_mac: mac, sender: own, target_mac: MacAddr::ZERO, target: address }
        .broadcast_frame()
}

/// The MAC of somebody else who says in `frame` to have `address`, or to be about to take it.
pub(crate) fn claimant(frame: &[u8], address: Ipv4Addr, my_mac: MacAddr) -> Option<MacAddr> {
    let packet = ArpPacket::parse(frame).filter(|packet| packet.claims(address, my_mac))?;
    Some(packet.sender_mac)
}

/// Lets through what [`claimant`] has to see: sent by the address, or a probe for it.
pub(crate) fn claims_filter(address: Ipv4Addr) -> Vec<SockFilter> {
    let (sender, target) = (28, 38);
    filter(&[
        &[Word::long(sender, address.octets())],
        &[Word::long(sender, [0; 4]), Word::long(target, address.octets())],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 99);
    const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn packet(operation: u16, sender_mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> ArpPacket {
        ArpPacket { operation, sender_mac, sender, target_mac: MacAddr::ZERO, target }
    }

    #[test]
    fn the_bytes_are_those_of_rfc_826() {
        let frame = packet(REQUEST, ME, VIP, VIP).broadcast_frame();
        let text: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            text,
            "ffffffffffff020000000001080600010800060400010200000000010a010263\
             0000000000000a010263"
        );
        assert_eq!(ME.to_string(), "02:00:00:00:00:01");
    }

    #[test]
    fn who_claims_the_address() {
        let free = Ipv4Addr::UNSPECIFIED;
        let someone = Ipv4Addr::new(10, 1, 2, 5);
        assert!(packet(REPLY, OTHER, VIP, free).claims(VIP, ME), "an owner's answer");
        assert!(packet(REQUEST, OTHER, VIP, someone).claims(VIP, ME), "an owner's question");
        assert!(packet(REQUEST, OTHER, free, VIP).claims(VIP, ME), "another's probe");
        assert!(!packet(REQUEST, ME, free, VIP).claims(VIP, ME), "my own probe");
        assert!(!packet(REQUEST, OTHER, someone, VIP).claims(VIP, ME), "a client's question");
    }

    proptest! {
        #[test]
        fn frames_go_both_ways(operation: u16, a: [u8; 6], b: [u8; 6], sender: [u8; 4], target: [u8; 4]) {
            let packet = ArpPacket {
                operation,
                sender_mac: MacAddr(a),
                sender: sender.into(),
                target_mac: MacAddr(b),
                target: target.into(),
            };
            prop_assert_eq!(ArpPacket::parse(&packet.broadcast_frame()), Some(packet));
        }

        #[test]
        fn garbage_never_panics(frame in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = ArpPacket::parse(&frame);
        }
    }
}
