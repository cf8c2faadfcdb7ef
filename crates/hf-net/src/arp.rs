//! Gratuitous ARP and the ARP probe of RFC 5227, on a packet socket.

use std::fmt;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

const ETHERTYPE_ARP: u16 = 0x0806;
const FRAME_LEN: usize = 42;
/// Ethernet type IPv4 over Ethernet, six and four bytes long.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    const ZERO: MacAddr = MacAddr([0; 6]);
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The part of an ARP packet that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ArpPacket {
    operation: u16,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target_mac: MacAddr,
    target: Ipv4Addr,
}

impl ArpPacket {
    /// An Ethernet frame for everybody.
    fn broadcast_frame(&self) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        let parts: [&[u8]; 9] = [
            &MacAddr::BROADCAST.0,
            &self.sender_mac.0,
            &ETHERTYPE_ARP.to_be_bytes(),
            &ARP_HEAD,
            &self.operation.to_be_bytes(),
            &self.sender_mac.0,
            &self.sender.octets(),
            &self.target_mac.0,
            &self.target.octets(),
        ];
        let mut at = 0;
        for part in parts {
            frame[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        frame
    }

    fn parse(frame: &[u8]) -> Option<Self> {
        if frame.get(12..14)? != ETHERTYPE_ARP.to_be_bytes() || frame.get(14..20)? != ARP_HEAD {
            return None;
        }
        let mac = |at: usize| frame.get(at..at + 6)?.try_into().ok().map(MacAddr);
        let ip = |at: usize| <[u8; 4]>::try_from(frame.get(at..at + 4)?).ok().map(Ipv4Addr::from);
        Some(Self {
            operation: u16::from_be_bytes(frame.get(20..22)?.try_into().ok()?),
            sender_mac: mac(22)?,
            sender: ip(28)?,
            target_mac: mac(32)?,
            target: ip(38)?,
        })
    }

    /// Somebody with another MAC than mine has the address, or is about to take it.
    fn claims(&self, address: Ipv4Addr, my_mac: MacAddr) -> bool {
        let probes = self.sender.is_unspecified() && self.target == address && self.operation == REQUEST;
        self.sender_mac != my_mac && (self.sender == address || probes)
    }
}

/// A packet socket on one interface.
pub(crate) struct ArpSocket {
    socket: Socket,
    to: SockAddr,
    mac: MacAddr,
}

impl ArpSocket {
    /// `listening`: also receives ARP; otherwise nothing is copied to the socket.
    pub(crate) fn open(index: u32, mac: MacAddr, listening: bool) -> io::Result<Self> {
        // Protocol 0 receives nothing until bound, so frames of other interfaces never get in.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        let to = link_address(index);
        if listening {
            socket.bind(&to)?;
        }
        Ok(Self { socket, to, mac })
    }

    /// Says that `address` is at this interface, as a request and as a reply: some devices learn only from one of them.
    pub(crate) fn announce(&self, address: Ipv4Addr) -> io::Result<()> {
        for (operation, target_mac) in [(REQUEST, MacAddr::ZERO), (REPLY, MacAddr::BROADCAST)] {
            self.send(ArpPacket { operation, sender_mac: self.mac, sender: address, target_mac, target: address })?;
        }
        Ok(())
    }

    /// Three probes spread over the first half of `limit`; the MAC of the first who claims the address.
    pub(crate) fn probe(&mut self, address: Ipv4Addr, limit: Duration) -> io::Result<Option<MacAddr>> {
        let start = Instant::now();
        for step in 0..4 {
            if step < 3 {
                self.send(ArpPacket {
                    operation: REQUEST,
                    sender_mac: self.mac,
                    sender: Ipv4Addr::UNSPECIFIED,
                    target_mac: MacAddr::ZERO,
                    target: address,
                })?;
            }
            let until = start + limit * (step + 1) / 4;
            if let Some(mac) = self.listen(address, until)? {
                return Ok(Some(mac));
            }
        }
        Ok(None)
    }

    fn listen(&mut self, address: Ipv4Addr, until: Instant) -> io::Result<Option<MacAddr>> {
        let mut frame = [0; 128];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // A time-out of zero would mean none at all.
            if left < Duration::from_micros(1) {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let len = match self.socket.read(&mut frame) {
                Ok(len) => len,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(packet) = ArpPacket::parse(&frame[..len]).filter(|packet| packet.claims(address, self.mac)) {
                return Ok(Some(packet.sender_mac));
            }
        }
    }

    fn send(&self, packet: ArpPacket) -> io::Result<()> {
        self.socket.send_to(&packet.broadcast_frame(), &self.to).map(drop)
    }
}

/// The address of "ARP on interface `index`".
fn link_address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the forms that a sockaddr_storage is made for, plain data, valid when zeroed.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETHERTYPE_ARP.to_be();
    address.sll_ifindex = index.cast_signed();
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&MacAddr::BROADCAST.0);
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a sockaddr_ll of exactly this length.
    unsafe { SockAddr::new(storage, len) }
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
