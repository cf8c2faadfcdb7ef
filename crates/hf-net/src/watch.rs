//! What changes on the network interfaces, as the kernel tells it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::netlink::split;
use crate::route::{Link, address_of, link_of, parse};

/// Bits of linux/rtnetlink.h.
const RTMGRP_LINK: u32 = 0x1;
const RTMGRP_IPV4_IFADDR: u32 = 0x10;
const RTMGRP_IPV6_IFADDR: u32 = 0x100;

/// The watch broke; open another and read everything anew.
#[derive(Debug, Error)]
#[error("can't {operation} the watch on the network interfaces")]
pub struct WatchError {
    pub operation: &'static str,
    #[source]
    pub source: io::Error,
}

/// Something changed. The kernel also repeats what didn't: compare with what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// The state of an interface, with its carrier.
    Link(Link),
    /// The interface is gone.
    LinkGone(Link),
    /// An address came, or its lifetime was renewed.
    Address { index: u32, address: IpAddr },
    /// An address went: removed by somebody or expired.
    AddressGone { index: u32, address: IpAddr },
    /// Events were lost because they weren't read quickly enough: look at everything anew.
    Lost,
}

/// A socket that hears of every change; readable when there is one.
pub struct NetWatch(Socket);

impl NetWatch {
    /// Watches the network namespace of the calling thread. Look at links and addresses after this, not before, and
    /// no change is missed.
    pub fn open() -> Result<Self, WatchError> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        open().map(Self).map_err(failed("open"))
    }

    /// What has happened since the last call; never blocks.
    pub fn read(&mut self) -> Result<Vec<NetEvent>, WatchError> {
        let mut events = Vec::new();
        loop {
            let bytes = match self.0.recv_from_full() {
                Ok((bytes, _)) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(events),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    events.push(NetEvent::Lost);
                    continue;
                }
                Err(error) => return Err(failed("read")(error)),
            };
            for frame in split(&bytes).map_err(failed("read"))? {
                events.extend(event_of(&parse(frame).map_err(failed("read"))?));
            }
        }
    }

    /// Waits for the next changes, within a tokio runtime. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<NetEvent>, WatchError> {
        loop {
            let events = self.read()?;
            if !events.is_empty() {
                return Ok(events);
            }
            // SAFETY: the descriptor is borrowed from self, so it stays open longer than the registration.
            let fd = unsafe { AsyncFd::register_with_interest(self.0.as_fd(), Interest::READABLE) };
            let fd = fd.map_err(|error| failed("await")(error.into()))?;
            let _guard = fd.readable().await.map_err(failed("await"))?;
        }
    }
}

impl AsFd for NetWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn event_of(message: &RouteNetlinkMessage) -> Option<NetEvent> {
    match message {
        RouteNetlinkMessage::NewLink(_) => link_of(message).map(NetEvent::Link),
        RouteNetlinkMessage::DelLink(_) => link_of(message).map(NetEvent::LinkGone),
        RouteNetlinkMessage::NewAddress(_) => {
            address_of(message).map(|entry| NetEvent::Address { index: entry.index, address: entry.address })
        }
        RouteNetlinkMessage::DelAddress(_) => {
            address_of(message).map(|entry| NetEvent::AddressGone { index: entry.index, address: entry.address })
        }
        _ => None,
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> WatchError {
    move |source| WatchError { operation, source }
}
