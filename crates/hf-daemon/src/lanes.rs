//! Sealed datagrams of the membership: one socket a network, one channel a peer and network.

use hf_host::cluster::Member;
use hf_host::datagram;
use hf_seal::{Channels, KeyRing, What, os_rng};
use hf_types::{LanName, NodeName};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Longest datagram that is looked at.
const DATAGRAM_MAX: usize = 65_536;

/// A datagram as it came.
#[derive(Debug)]
pub struct Datagram {
    pub lan: LanName,
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What was opened, and whose it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub from: NodeName,
    pub lan: LanName,
    pub body: Vec<u8>,
}

/// Datagrams that were not believed, since the configuration was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// From an address that is no node's.
    pub strangers: u64,
    /// Wrong or missing seal, replays, garbage.
    pub bad: u64,
}

/// All sockets and channels of the applied configuration.
pub struct Lanes {
    sockets: BTreeMap<LanName, Lane>,
    refused: Refused,
}

struct Lane {
    /// Where the socket is bound.
    address: SocketAddr,
    socket: Arc<UdpSocket>,
    peers: Vec<Peer>,
    receiver: AbortHandle,
}

struct Peer {
    node: NodeName,
    address: SocketAddr,
    /// The peer's own view of its address, which it may send from where addresses are translated.
    local: IpAddr,
    channels: Channels,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}

impl Lanes {
    /// No network at all.
    pub fn none() -> Lanes {
        Lanes { sockets: BTreeMap::new(), refused: Refused::default() }
    }

    /// Opens this node's sockets; what can't be opened is told and left out (the node is not heard there). A socket that `before` has
    /// for an address is taken over: a second one beside it would need SO_REUSEADDR, with which any local user could take the
    /// datagrams away.
    pub fn open(member: &Member, to: &mpsc::Sender<Datagram>, before: Lanes) -> (Lanes, Vec<String>) {
        let (mut lanes, mut problems) = (Lanes::none(), Vec::new());
        for lan in member.cluster.framework_lans() {
            let (Some(own), Ok(name)) = (lan.node(member.me.as_str()), lan.name.parse()) else {
                continue; // this node isn't on that network
            };
            let Some(own) = own.local_ip() else {
                problems.push(format!("the network {name} isn't used: this node's name there has no address yet"));
                continue;
            };
            let address = SocketAddr::from((own, member.cluster.port));
            let taken = before.sockets.values().find(|lane| lane.address == address);
            match taken.map_or_else(|| bind(address), |lane| Ok(lane.socket.clone())) {
                Ok(socket) => {
                    let lane = Lane::new(address, socket, peers_of(member, lan), &name, to);
                    lanes.sockets.insert(name, lane);
                }
                Err(error) => {
                    problems.push(format!("the membership can't listen at {address} on the network {name}: {error}"))
                }
            }
        }
        (lanes, problems)
    }

    /// The networks that work.
    pub fn names(&self) -> Vec<LanName> {
        self.sockets.keys().cloned().collect()
    }

    /// Whether every other node has been heard under the present key, on any network.
    pub fn all_have_the_key(&self) -> bool {
        let mut nodes: BTreeMap<&NodeName, bool> = BTreeMap::new();
        for peer in self.sockets.values().flat_map(|lane| &lane.peers) {
            *nodes.entry(&peer.node).or_default() |= !peer.channels.is_handing_over();
        }
        nodes.values().all(|has| *has)
    }

    /// What was not believed.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Seals and sends. A datagram that can't be sent is one that got lost.
    pub fn send(&mut self, to: &NodeName, lan: &LanName, body: &[u8]) {
        let Some(lane) = self.sockets.get_mut(lan) else {
            return;
        };
        let Some(peer) = lane.peers.iter_mut().find(|peer| peer.node == *to) else {
            return;
        };
        for datagram in peer.channels.seal(body) {
            send(&lane.socket, &datagram, peer.address);
        }
    }

    /// Opens what came; answers a handshake by itself.
    pub fn receive(&mut self, datagram: &Datagram) -> Option<Received> {
        let lane = self.sockets.get_mut(&datagram.lan)?;
        let Some(peer) = lane.peers.iter_mut().find(|peer| peer.is(datagram.from)) else {
            self.refused.strangers += 1;
            return None;
        };
        let opened = peer.channels.open(&datagram.bytes);
        if let Some(reply) = &opened.reply {
            send(&lane.socket, reply, peer.address);
        }
        match opened.what {
            What::Data(body) => Some(Received { from: peer.node.clone(), lan: datagram.lan.clone(), body }),
            What::Handshake => None,
            What::Rejected(reason) => {
                self.refused.bad += 1;
                tracing::debug!(?reason, from = %datagram.from, lan = %datagram.lan, "datagram refused");
                None
            }
        }
    }
}

impl Peer {
    fn is(&self, from: SocketAddr) -> bool {
        from.ip() == self.address.ip() || from.ip() == self.local
    }
}

impl Lane {
    fn new(
        address: SocketAddr,
        socket: Arc<UdpSocket>,
        peers: Vec<Peer>,
        lan: &LanName,
        to: &mpsc::Sender<Datagram>,
    ) -> Lane {
        let task = receive_all(socket.clone(), lan.clone(), to.clone());
        Lane { address, socket, peers, receiver: tokio::spawn(task).abort_handle() }
    }
}

fn peers_of(member: &Member, lan: &hf_config::Lan) -> Vec<Peer> {
    let purpose = format!("membership/{}", lan.name);
    let keys = KeyRing { key: member.key.clone(), before: member.key_before.clone() };
    let others = lan.nodes.iter().filter(|node| node.name != member.me.as_str());
    others
        .filter_map(|node| {
            let me = member.me.as_str();
            Some(Peer {
                node: node.name.parse().ok()?, // checked when the configuration was read
                // A name without an address yet: not heard there until it has one.
                address: SocketAddr::from((node.ip?, member.cluster.port)),
                local: node.local_ip()?,
                channels: Channels::new(&keys, &purpose, me, &node.name, os_rng),
            })
        })
        .collect()
}

fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    if let Err(error) = socket.try_send_to(datagram, to) {
        tracing::debug!(%error, %to, "datagram not sent");
    }
}

/// Passes datagrams on; when the loop doesn't keep up they are dropped, as the network would.
async fn receive_all(socket: Arc<UdpSocket>, lan: LanName, to: mpsc::Sender<Datagram>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                let datagram = Datagram { lan: lan.clone(), from, bytes: buffer[..length].to_vec() };
                if matches!(to.try_send(datagram), Err(mpsc::error::TrySendError::Closed(_))) {
                    return;
                }
            }
            // An ICMP error of an earlier send, or a network that is down: the next one may be well.
            Err(error) => {
                tracing::debug!(%error, %lan, "receiving failed");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<Arc<UdpSocket>> {
    UdpSocket::from_std(datagram::bind(address)?).map(Arc::new)
}
