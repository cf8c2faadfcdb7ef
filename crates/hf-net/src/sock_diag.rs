//! TCP connections of one local address: counted, and reset (`tcpreset`).
//!
//! Written by hand because the crates for `sock_diag` can't send SOCK_DESTROY. Layouts: linux/inet_diag.h.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::netlink::Netlink;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const HEADER_LEN: usize = 16;
/// sockid: ports 2+2, addresses 16+16, interface 4, cookie 8.
const SOCKID_LEN: usize = 48;
const ESTABLISHED: u32 = 1 << 1;
/// Every state but TIME_WAIT (6), CLOSE (7) and LISTEN (10), in which there is nothing to reset.
const CONNECTED: u32 = 0x1fff & !(1 | 1 << 6 | 1 << 7 | 1 << 10);

/// A socket to the kernel's table of sockets.
pub(crate) struct SockDiag(Netlink);

/// One connection, as the kernel names it.
struct Connection {
    family: u8,
    sockid: [u8; SOCKID_LEN],
}

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        Netlink::open(NETLINK_SOCK_DIAG).map(Self)
    }

    /// Established connections of `address`.
    pub(crate) fn count(&mut self, address: IpAddr) -> io::Result<usize> {
        Ok(self.connections(address, ESTABLISHED)?.len())
    }

    /// Resets all connections of `address`: the peer gets a RST, the local program ECONNABORTED. How many they were.
    pub(crate) fn reset(&mut self, address: IpAddr) -> io::Result<usize> {
        let mut count = 0;
        for connection in self.connections(address, CONNECTED)? {
            let body = request(connection.family, 0, &connection.sockid);
            match self.0.ask(frame(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, &body)) {
                Ok(_) => count += 1,
                // It ended by itself since the dump.
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Both families, because a server on `::` has IPv4 clients as mapped addresses.
    fn connections(&mut self, address: IpAddr, states: u32) -> io::Result<Vec<Connection>> {
        let mut found = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let body = request(family as u8, states, &[0; SOCKID_LEN]);
            let answer = match self.0.ask(frame(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &body)) {
                // A kernel without IPv6 has no such table.
                Err(error) if family == libc::AF_INET6 && error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let connections = answer.iter().filter_map(|frame| Connection::parse(frame));
            found.extend(connections.filter(|connection| connection.source() == Some(address)));
        }
        Ok(found)
    }
}

impl Connection {
    /// From inet_diag_msg: family, state, timer, retransmissions, then the sockid.
    fn parse(frame: &[u8]) -> Option<Self> {
        let body = frame.get(HEADER_LEN..)?;
        Some(Self { family: *body.first()?, sockid: body.get(4..4 + SOCKID_LEN)?.try_into().ok()? })
    }

    fn source(&self) -> Option<IpAddr> {
        let bytes: [u8; 16] = self.sockid[4..20].try_into().ok()?;
        if i32::from(self.family) == libc::AF_INET {
            return Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into());
        }
        Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
    }
}

/// inet_diag_req_v2.
fn request(family: u8, states: u32, sockid: &[u8; SOCKID_LEN]) -> Vec<u8> {
    let mut body = vec![family, libc::IPPROTO_TCP as u8, 0, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    body.extend_from_slice(sockid);
    body
}

fn frame(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN + body.len()) as u32;
    let mut frame = Vec::with_capacity(HEADER_LEN + body.len());
    frame.extend_from_slice(&len.to_ne_bytes());
    frame.extend_from_slice(&kind.to_ne_bytes());
    frame.extend_from_slice(&flags.to_ne_bytes());
    // Sequence and port number: filled in by the socket.
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(body);
    frame
}
