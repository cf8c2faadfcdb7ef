//! Sealed heartbeats: a socket and a channel a lane.

use crate::load::LaneAddress;
use hf_host::datagram;
use hf_seal::{Channel, ClusterKey, What, os_rng};
use hf_types::ModuleName;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Longest datagram that is looked at; a heartbeat is shorter than any MTU.
const DATAGRAM_MAX: usize = 2048;

/// All lanes of a module.
pub struct Lanes {
    lanes: Vec<Lane>,
    buffer: Vec<u8>,
    refused: Refused,
    permanent_arp: bool,
}

/// Datagrams that were not believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// From an address that is not the other node's.
    pub strangers: u64,
    /// Wrong or missing seal, replays, garbage.
    pub bad: u64,
}

struct Lane {
    address: LaneAddress,
    socket: UdpSocket,
    channel: Channel,
    /// A good heartbeat came since the last one was sent.
    heard: bool,
}

impl Lanes {
    /// Binds every lane; an address that the machine doesn't have yet is no hindrance. `permanent_arp`: as in `<heart>`.
    pub fn open(
        addresses: Vec<LaneAddress>,
        key: &ClusterKey,
        module: &ModuleName,
        me: &str,
        peer: &str,
        permanent_arp: bool,
    ) -> io::Result<Lanes> {
        let open = |address: LaneAddress| {
            let purpose = format!("heart/{module}/{}", address.lan);
            let channel = Channel::new(key, &purpose, me, peer, os_rng());
            Ok(Lane { socket: UdpSocket::from_std(datagram::bind(address.own)?)?, channel, address, heard: false })
        };
        let lanes = addresses.into_iter().map(open).collect::<io::Result<Vec<Lane>>>()?;
        Ok(Lanes { lanes, buffer: vec![0; DATAGRAM_MAX], refused: Refused::default(), permanent_arp })
    }

    /// What was not believed since the start.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Seals and sends on one lane, or on all. A datagram that can't be sent is one that got lost.
    pub fn send(&mut self, which: Option<usize>, body: &[u8]) {
        for (n, lane) in self.lanes.iter_mut().enumerate() {
            if which.is_none_or(|which| which == n) {
                let confirm = std::mem::take(&mut lane.heard) && self.permanent_arp;
                for datagram in lane.channel.seal(body) {
                    lane.transmit(&datagram, confirm);
                }
            }
        }
    }

    /// Waits until a lane has something to read. Safe to drop.
    pub async fn readable(&self) {
        let waits = self.lanes.iter().map(|lane| Box::pin(lane.socket.readable()));
        futures_util::future::select_all(waits).await.0.ok(); // an error shows at the reading
    }

    /// The next heartbeat that is there and good, without waiting.
    pub fn receive(&mut self) -> Option<(usize, Vec<u8>)> {
        for n in 0..self.lanes.len() {
            while let Some((length, from)) = self.lanes[n].read(&mut self.buffer) {
                if let Some(body) = self.open_datagram(n, length, from) {
                    return Some((n, body));
                }
            }
        }
        None
    }

    fn open_datagram(&mut self, n: usize, length: usize, from: SocketAddr) -> Option<Vec<u8>> {
        let lane = &mut self.lanes[n];
        if from.ip() != lane.address.peer.ip() && from.ip() != lane.address.peer_local {
            self.refused.strangers += 1;
            return None;
        }
        let opened = lane.channel.open(&self.buffer[..length]);
        if let Some(reply) = &opened.reply {
            lane.transmit(reply, false);
        }
        match opened.what {
            What::Data(body) => {
                lane.heard = true;
                Some(body)
            }
            What::Handshake => None,
            What::Rejected(reason) => {
                self.refused.bad += 1;
                tracing::debug!(?reason, %from, lan = lane.address.lan, "heartbeat refused");
                None
            }
        }
    }
}

impl Lane {
    /// `confirm`: what this node heard shows that the neighbour's entry in the kernel's table is right, so no ARP question
    /// is needed. A permanent entry would outlive this process, and the other node's network card.
    fn transmit(&self, datagram: &[u8], confirm: bool) {
        let sent = if confirm {
            let to = self.address.peer.into();
            let send = || SockRef::from(&self.socket).send_to_with_flags(datagram, &to, libc::MSG_CONFIRM);
            self.socket.try_io(Interest::WRITABLE, send)
        } else {
            self.socket.try_send_to(datagram, self.address.peer)
        };
        if let Err(error) = sent {
            tracing::debug!(%error, lan = self.address.lan, "heartbeat not sent");
        }
    }

    fn read(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match self.socket.try_recv_from(buffer) {
            Ok(received) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // An ICMP error of an earlier send; the next call reads what came.
            Err(error) => {
                tracing::debug!(%error, lan = self.address.lan, "receiving a heartbeat failed");
                None
            }
        }
    }
}
