//! The socket that an echo request goes through.
//!
//! Linux has ICMP datagram sockets, which need no right at all, but only for groups of `net.ipv4.ping_group_range`; that range
//! is empty unless somebody filled it, and it holds for root as well. So the datagram socket is tried first, and a raw one after
//! it, which needs CAP_NET_RAW: a heart has that. Either is connected, so that the kernel passes on what comes from the asked machine
//! only.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// More than an answer has, with the longest IP header.
const PACKET_MAX: usize = 256;

/// What the kernel adds, fills in and takes away depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Datagram,
    Raw,
}

/// A socket to one machine.
pub(super) struct EchoSocket {
    socket: AsyncFd<Socket>,
    kind: Kind,
}

impl EchoSocket {
    /// # Errors
    /// When there is no such socket to be had, or no way to the machine.
    pub(super) fn open(address: IpAddr) -> io::Result<EchoSocket> {
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, kind) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (socket, Kind::Datagram),
            Err(_) => {
                let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
                only_answers(&socket, address)?;
                (socket, Kind::Raw)
            }
        };
        socket.set_nonblocking(true)?;
        socket.connect(&SocketAddr::new(address, 0).into())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        // SAFETY: the socket is owned by what is registered, so its descriptor stays open as long.
        let socket = unsafe { AsyncFd::register_with_interest(socket, interest) }?;
        Ok(EchoSocket { socket, kind })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, |socket| socket.send(message)).await.map(|_| ())
    }

    pub(super) async fn receive(&self) -> io::Result<Vec<u8>> {
        let read = |socket: &Socket| {
            let mut buffer = [MaybeUninit::uninit(); PACKET_MAX];
            let length = socket.recv(&mut buffer)?;
            // SAFETY: the kernel has written the first `length` octets.
            Ok(buffer[..length].iter().map(|octet| unsafe { octet.assume_init() }).collect())
        };
        self.socket.async_io(Interest::READABLE, read).await
    }
}

/// A raw socket hears every ICMP message of the machine; a busy one would fill its queue.
fn only_answers(socket: &Socket, address: IpAddr) -> io::Result<()> {
    const ICMP_FILTER: libc::c_int = 1;
    const ICMP6_FILTER: libc::c_int = 1;
    const ECHO_REPLY_V6: usize = 129;
    match address {
        // A set bit is a type that is kept back; type 0 is the answer.
        IpAddr::V4(_) => set_filter(socket, libc::SOL_RAW, ICMP_FILTER, &!1u32),
        IpAddr::V6(_) => {
            let mut filter = [u32::MAX; 8];
            filter[ECHO_REPLY_V6 / 32] &= !(1 << (ECHO_REPLY_V6 % 32));
            set_filter(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter)
        }
    }
}

fn set_filter<T>(socket: &Socket, level: libc::c_int, option: libc::c_int, filter: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the filter lives during the call, which reads `length` octets of it.
    let set = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, std::ptr::from_ref(filter).cast(), length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
