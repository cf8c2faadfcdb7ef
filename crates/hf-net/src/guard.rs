//! One address on one interface: told to the LAN, asked for, and watched for others who claim it.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::ethernet::{EthernetSocket, MacAddr, set_sender};
use crate::{arp, ndp};

/// So many probes, spread over the first half of the time.
const PROBES: u32 = 3;

/// Hears everybody else who says to have the address, or to be about to take it.
///
/// Only such frames reach the process: the kernel filters the others out.
pub struct Guard {
    socket: EthernetSocket,
    address: IpAddr,
    mac: MacAddr,
    interface: String,
    /// An address of this node on the interface, of the same kind.
    own: Option<IpAddr>,
}

/// In whose name the LAN is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// In nobody's: who is about to take the address asks so, and whoever has it takes that for a claim.
    Nobodys,
    /// In this node's, as any client asks.
    Own(IpAddr),
}

impl Guard {
    pub(crate) fn open(
        index: u32,
        interface: &str,
        mac: MacAddr,
        address: IpAddr,
        own: Option<IpAddr>,
    ) -> io::Result<Self> {
        let socket = match address {
            IpAddr::V4(address) => EthernetSocket::open(index, arp::ETHERTYPE, Some(&arp::claims_filter(address)))?,
            IpAddr::V6(address) => {
                let socket = EthernetSocket::open(index, ndp::ETHERTYPE, Some(&ndp::claims_filter(address)))?;
                socket.join(ndp::probes_group(address))?;
                socket
            }
        };
        Ok(Self { socket, address, mac, interface: interface.to_owned(), own })
    }

    /// The interface that is watched.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Asks the LAN who has the address (RFC 5227, RFC 4862) and listens for `limit`: the MAC of the first who claims
    /// it. RFC 5227 asks for seconds; an address that waits so long is no failover, so who answers later is found by
    /// [`Guard::claim`].
    pub async fn probe(&mut self, limit: Duration) -> io::Result<Option<MacAddr>> {
        self.ask(Asking::Nobodys, limit).await
    }

    /// The same as a client would ask, so that who has the address isn't disturbed. (Unlike a probe, a router with proxy ARP answers it.)
    /// An error of kind `AddrNotAvailable`: this node has no address there in whose name it could ask.
    pub async fn inquire(&mut self, limit: Duration) -> io::Result<Option<MacAddr>> {
        let own = self.own.ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.ask(Asking::Own(own), limit).await
    }

    async fn ask(&mut self, asking: Asking, limit: Duration) -> io::Result<Option<MacAddr>> {
        let start = tokio::time::Instant::now();
        for step in 0..=PROBES {
            if step < PROBES {
                self.socket.send(&self.question(asking))?;
            }
            let until = start + limit * (step + 1) / (PROBES + 1);
            if let Ok(claim) = tokio::time::timeout_at(until, self.claim()).await {
                return claim.map(Some);
            }
        }
        Ok(None)
    }

    /// Waits for the next claim, within a tokio runtime. Dropping the future loses nothing.
    pub async fn claim(&mut self) -> io::Result<MacAddr> {
        loop {
            if let Some(mac) = self.read()? {
                return Ok(mac);
            }
            // SAFETY: the descriptor is borrowed from self, so it stays open longer than the registration.
            let fd = unsafe { AsyncFd::register_with_interest(self.socket.as_fd(), Interest::READABLE) }?;
            let _guard = fd.readable().await?;
        }
    }

    /// A claim that was heard already; never blocks.
    pub fn read(&mut self) -> io::Result<Option<MacAddr>> {
        while let Some(frame) = self.socket.receive()? {
            let claimant = match self.address {
                IpAddr::V4(address) => arp::claimant(&frame, address, self.mac),
                IpAddr::V6(address) => ndp::claimant(&frame, address, self.mac),
            };
            if claimant.is_some() {
                return Ok(claimant);
            }
        }
        Ok(None)
    }

    fn question(&self, asking: Asking) -> Vec<u8> {
        match (self.address, asking) {
            (IpAddr::V4(address), Asking::Own(IpAddr::V4(own))) => arp::question(address, self.mac, own),
            (IpAddr::V6(address), Asking::Own(IpAddr::V6(own))) => ndp::question(address, self.mac, own),
            (IpAddr::V4(address), _) => arp::probe(address, self.mac),
            (IpAddr::V6(address), _) => ndp::probe(address, self.mac),
        }
    }
}

/// Tells everybody on the LAN that the address is at this interface.
pub(crate) fn announce(index: u32, mac: MacAddr, address: IpAddr, router: bool) -> io::Result<()> {
    announce_as(index, mac, mac, address, router)
}

/// Tells everybody on the LAN that the address has the MAC `told`, in frames from `sender`.
pub(crate) fn announce_as(index: u32, sender: MacAddr, told: MacAddr, address: IpAddr, router: bool) -> io::Result<()> {
    let (ethertype, mut frames) = match address {
        IpAddr::V4(address) => (arp::ETHERTYPE, arp::announcements(address, told)),
        IpAddr::V6(address) => (ndp::ETHERTYPE, vec![ndp::announcement(address, told, router)]),
    };
    let socket = EthernetSocket::open(index, ethertype, None)?;
    frames.iter_mut().for_each(|frame| set_sender(frame, sender));
    frames.iter().try_for_each(|frame| socket.send(frame))
}
