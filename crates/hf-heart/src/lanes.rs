//! Sealed heartbeats: a socket and a channel a lane.

use crate::load::{Ends, LaneAddress};
use hf_host::datagram;
use hf_node::heart::LaneSight;
use hf_seal::{Channels, KeyRing, Reason, What, os_rng};
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
    names: Names,
    lanes: Vec<Lane>,
    buffer: Vec<u8>,
    permanent_arp: bool,
}

/// What every channel of the module is made of, beside the key.
pub struct Names {
    pub module: ModuleName,
    pub me: String,
    pub peer: String,
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
    lan: String,
    /// None: a name has no address yet, or nobody can listen there.
    open: Option<Open>,
    channels: Channels,
    /// A good heartbeat came since the last one was sent.
    heard: bool,
    report: LaneReport,
}

struct Open {
    ends: Ends,
    socket: UdpSocket,
}

/// What came and went on one lane since it was opened; for advice.
#[derive(Default)]
struct LaneReport {
    refused: Refused,
    /// Of those with a bad seal: sealed with another key.
    other_key: u64,
    /// The last stranger's address.
    stranger: Option<SocketAddr>,
    /// Why the last heartbeat could not be sent.
    not_sent: Option<String>,
}

impl Lanes {
    /// Binds every lane that has addresses, also one that the machine doesn't have yet. `permanent_arp`: as in `<heart>`.
    pub fn open(addresses: Vec<LaneAddress>, keys: &KeyRing, names: Names, permanent_arp: bool) -> io::Result<Lanes> {
        let mut lanes = Lanes { names, lanes: Vec::new(), buffer: vec![0; DATAGRAM_MAX], permanent_arp };
        for address in addresses {
            let mut lane = lanes.lane(&address.lan, keys);
            lane.open = address.ends.map(bind).transpose()?;
            lanes.lanes.push(lane);
        }
        Ok(lanes)
    }

    fn lane(&self, lan: &str, keys: &KeyRing) -> Lane {
        let Names { module, me, peer } = &self.names;
        let channels = Channels::new(keys, &format!("heart/{module}/{lan}"), me, peer, os_rng);
        Lane { lan: lan.to_owned(), open: None, channels, heard: false, report: LaneReport::default() }
    }

    /// Goes on with these lanes, in this order, and this key; what stays as it was isn't touched. A sentence for each lane that changed.
    pub fn change(&mut self, addresses: Vec<LaneAddress>, keys: &KeyRing, permanent_arp: bool) -> Vec<String> {
        self.permanent_arp = permanent_arp;
        let mut before = std::mem::take(&mut self.lanes);
        let mut told = Vec::new();
        for LaneAddress { lan, ends } in addresses {
            let mut lane = match before.iter().position(|lane| lane.lan == lan) {
                Some(place) => before.swap_remove(place),
                None => self.lane(&lan, keys),
            };
            lane.channels.change(keys);
            if lane.open.as_ref().map(|open| open.ends) != ends {
                told.push(lane.reopen(ends));
            }
            self.lanes.push(lane);
        }
        told
    }

    /// The networks whose lanes have no address yet.
    pub fn without_address(&self) -> Vec<&str> {
        self.lanes.iter().filter(|lane| lane.open.is_none()).map(|lane| lane.lan.as_str()).collect()
    }

    /// What was not believed since the start.
    pub fn refused(&self) -> Refused {
        let all = self.lanes.iter().map(|lane| lane.report.refused);
        all.fold(Refused::default(), |sum, one| Refused {
            strangers: sum.strangers + one.strangers,
            bad: sum.bad + one.bad,
        })
    }

    /// The lanes as they are, in their order.
    pub fn ends(&self) -> Vec<(String, Option<Ends>)> {
        self.lanes.iter().map(|lane| (lane.lan.clone(), lane.open.as_ref().map(|open| open.ends))).collect()
    }

    /// What each lane saw since this was asked last, in their order.
    pub fn sights(&mut self) -> Vec<LaneSight> {
        let sight = |lane: &mut Lane| LaneSight {
            lan: lane.lan.clone(),
            peer: lane.open.as_ref().map(|open| open.ends.peer.to_string()),
            other_key: std::mem::take(&mut lane.report.other_key),
            stranger: lane.report.stranger.take().map(|stranger| stranger.to_string()),
            not_sent: lane.report.not_sent.clone(),
        };
        self.lanes.iter_mut().map(sight).collect()
    }

    /// Seals and sends on one lane, or on all. A datagram that can't be sent is one that got lost.
    pub fn send(&mut self, which: Option<usize>, body: &[u8]) {
        for (n, lane) in self.lanes.iter_mut().enumerate() {
            if which.is_none_or(|which| which == n) && lane.open.is_some() {
                let confirm = std::mem::take(&mut lane.heard) && self.permanent_arp;
                for datagram in lane.channels.seal(body) {
                    lane.transmit(&datagram, confirm);
                }
            }
        }
    }

    /// Waits until a lane has something to read. Safe to drop.
    pub async fn readable(&self) {
        let open = self.lanes.iter().filter_map(|lane| lane.open.as_ref());
        let waits: Vec<_> = open.map(|open| Box::pin(open.socket.readable())).collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        }
        futures_util::future::select_all(waits).await.0.ok(); // an error shows at the reading
    }

    /// The next heartbeat that is there and good, without waiting.
    pub fn receive(&mut self) -> Option<(usize, Vec<u8>)> {
        for n in 0..self.lanes.len() {
            while let Some((length, from)) = self.lanes[n].read(&mut self.buffer) {
                if let Some(body) = self.lanes[n].open_datagram(&self.buffer[..length], from) {
                    return Some((n, body));
                }
            }
        }
        None
    }
}

fn bind(ends: Ends) -> io::Result<Open> {
    Ok(Open { ends, socket: UdpSocket::from_std(datagram::bind(ends.own)?)? })
}

impl Lane {
    /// Other addresses, or the first ones. The channel goes on: it knows the nodes by name.
    fn reopen(&mut self, ends: Option<Ends>) -> String {
        let lan = self.lan.clone();
        let Some(ends) = ends else {
            self.open = None;
            return format!("The heartbeat on {lan} pauses: a node's name there has no address");
        };
        // The socket of before has the address, if only the other node's changed.
        let socket = self.open.take().filter(|open| open.ends.own == ends.own).map(|open| open.socket);
        match socket.map_or_else(|| bind(ends), |socket| Ok(Open { ends, socket })) {
            Ok(open) => {
                self.open = Some(open);
                format!("The heartbeat on {lan} goes from {} to {} now", ends.own, ends.peer)
            }
            Err(error) => format!("The heartbeat on {lan} can't be used: listening at {} failed: {error}", ends.own),
        }
    }

    fn open_datagram(&mut self, datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let ends = self.open.as_ref()?.ends;
        if from.ip() != ends.peer.ip() && from.ip() != ends.peer_local {
            self.report.refused.strangers += 1;
            self.report.stranger = Some(from);
            return None;
        }
        let opened = self.channels.open(datagram);
        if let Some(reply) = &opened.reply {
            self.transmit(reply, false);
        }
        match opened.what {
            What::Data(body) => {
                self.heard = true;
                Some(body)
            }
            What::Handshake => None,
            What::Rejected(reason) => {
                self.report.refused.bad += 1;
                self.report.other_key += u64::from(reason == Reason::WrongKey);
                tracing::debug!(?reason, %from, lan = self.lan, "heartbeat refused");
                None
            }
        }
    }

    /// `confirm`: what this node heard shows that the neighbour's entry in the kernel's table is right, so no ARP question
    /// is needed. A permanent entry would outlive this process, and the other node's network card.
    fn transmit(&mut self, datagram: &[u8], confirm: bool) {
        let Some(Open { ends, socket }) = &self.open else { return };
        let sent = if confirm {
            let to = ends.peer.into();
            let send = || SockRef::from(socket).send_to_with_flags(datagram, &to, libc::MSG_CONFIRM);
            socket.try_io(Interest::WRITABLE, send)
        } else {
            socket.try_send_to(datagram, ends.peer)
        };
        self.report.not_sent = sent.as_ref().err().map(ToString::to_string);
        if let Err(error) = sent {
            tracing::debug!(%error, lan = self.lan, "heartbeat not sent");
        }
    }

    fn read(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match self.open.as_ref()?.socket.try_recv_from(buffer) {
            Ok(received) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // An ICMP error of an earlier send; the next call reads what came.
            Err(error) => {
                tracing::debug!(%error, lan = self.lan, "receiving a heartbeat failed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
