//! `cluster.xml`: the nodes and their addresses on each network (reference 004, chapter 12).

mod addresses;
mod host;
mod read;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use addresses::{Addresses, BadAddresses};
pub use host::Host;
pub(crate) use host::{is_host_name, is_no_machine_v4, parse_address};
pub use read::{check_cluster, parse_cluster};

/// The cluster: every node has the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `port`: UDP port of the membership protocol, default 4800.
    pub port: u16,
    /// `pulse`: time between two membership messages, bare numbers in milliseconds, default 700.
    pub pulse_ms: u64,
    /// `mlost_count`: periods of silence before a new leader is elected, default 5.
    pub mlost_count: u32,
    /// `slost_count`: periods of silence before a follower counts as offline, default 5.
    pub slost_count: u32,
    /// The networks in the order of the file, at least one.
    pub lans: Vec<Lan>,
}

/// `<lan>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lan {
    /// `name`.
    pub name: String,
    /// `console`, default on: the web console may come over it.
    pub console: bool,
    /// `framework`, default on: membership, heartbeats and replication may use it.
    pub framework: bool,
    /// `command`, default off. See [`Cluster::command_lan`].
    pub command: bool,
    /// The nodes on it in the order of the file, at least two.
    pub nodes: Vec<LanNode>,
}

/// `<node>`: a node's address on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanNode {
    /// `name`.
    pub name: String,
    /// `addr`: where the others reach it, as it is written.
    pub addr: Host,
    /// The address that `addr` means; none for a name that was not looked up. See [`Cluster::resolve`].
    pub ip: Option<IpAddr>,
    /// `laddr`: its own local address, where that differs (address translation).
    pub laddr: Option<IpAddr>,
}

impl LanNode {
    /// The address that this node itself binds to.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.laddr.or(self.ip)
    }

    /// Whether a machine with this address can be this node.
    pub fn has(&self, address: IpAddr) -> bool {
        self.ip == Some(address) || self.laddr == Some(address)
    }
}

/// This machine isn't in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine is called {name}, and cluster.xml has no such node (it has {}); add it, or give this machine one of these names", .nodes.join(", "))]
pub struct UnknownOwnNode {
    /// The name that was looked for.
    pub name: String,
    /// The names that are there.
    pub nodes: Vec<String>,
}

impl Cluster {
    /// The names of all nodes in the order in which they first appear.
    pub fn node_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for node in self.lans.iter().flat_map(|lan| &lan.nodes) {
            if !names.contains(&node.name.as_str()) {
                names.push(&node.name);
            }
        }
        names
    }

    /// The network with this name.
    pub fn lan(&self, name: &str) -> Option<&Lan> {
        self.lans.iter().find(|lan| lan.name == name)
    }

    /// A node's entry on a network.
    pub fn node_on(&self, node: &str, lan: &str) -> Option<&LanNode> {
        self.lan(lan)?.node(node)
    }

    /// Where others reach a node on a network.
    pub fn address(&self, node: &str, lan: &str) -> Option<IpAddr> {
        self.node_on(node, lan)?.ip
    }

    /// The names that stand for addresses, in the order of the file, each with the kind of address that its network needs, if that is known.
    pub fn names(&self) -> Vec<(String, Option<Family>)> {
        let of = |lan: &'_ Lan| -> Vec<(String, Option<Family>)> {
            let named = lan.nodes.iter().filter_map(|node| Some((node, node.addr.name()?)));
            named.map(|(node, name)| (name.to_owned(), lan.family_of(node))).collect()
        };
        self.lans.iter().flat_map(of).collect()
    }

    /// Whether every node has an address on each of its networks.
    pub fn is_resolved(&self) -> bool {
        self.lans.iter().flat_map(|lan| &lan.nodes).all(|node| node.ip.is_some())
    }

    /// Puts in what names stand for; a name that `addresses` doesn't have stays unknown.
    pub fn resolve(&mut self, addresses: &Addresses) {
        for node in self.lans.iter_mut().flat_map(|lan| &mut lan.nodes) {
            if let Host::Name(name) = &node.addr {
                node.ip = addresses.get(name);
            }
        }
    }

    /// The networks for membership, heartbeats and replication.
    pub fn framework_lans(&self) -> impl Iterator<Item = &Lan> {
        self.lans.iter().filter(|lan| lan.framework)
    }

    /// The network for distributed commands: the one with `command="on"`, else the first framework network.
    pub fn command_lan(&self) -> Option<&Lan> {
        self.lans.iter().find(|lan| lan.command).or_else(|| self.framework_lans().next())
    }

    /// Whether this machine's name is one of the nodes.
    pub fn check_own_node(&self, name: &str) -> Result<(), UnknownOwnNode> {
        let nodes = self.node_names();
        if nodes.contains(&name) {
            return Ok(());
        }
        Err(UnknownOwnNode { name: name.to_owned(), nodes: nodes.into_iter().map(str::to_owned).collect() })
    }

    /// The node that has one of these local addresses.
    pub fn node_with_address(&self, addresses: &[IpAddr]) -> Option<&str> {
        let mut entries = self.lans.iter().flat_map(|lan| &lan.nodes);
        let own = |entry: &&LanNode| entry.local_ip().is_some_and(|ip| addresses.contains(&ip));
        entries.find(own).map(|entry| entry.name.as_str())
    }

    /// A text that is equal exactly for equal configurations, whatever the file's layout: what a signature is made of. Names stand in it as
    /// they are written: two nodes may look them up differently.
    pub fn canonical(&self) -> String {
        let mut out = format!(
            "cluster port={} pulse_ms={} mlost_count={} slost_count={}\n",
            self.port, self.pulse_ms, self.mlost_count, self.slost_count
        );
        for lan in &self.lans {
            let (console, framework, command) = (lan.console, lan.framework, lan.command);
            // Writing to a String can't fail.
            let _ = writeln!(out, "lan {} console={console} framework={framework} command={command}", lan.name);
            for node in &lan.nodes {
                let local = node.laddr.map_or_else(|| node.addr.to_string(), |laddr| laddr.to_string());
                let _ = writeln!(out, "node {} addr={} laddr={local}", node.name, node.addr);
            }
        }
        out
    }
}

impl Lan {
    /// A node's entry on this network.
    pub fn node(&self, name: &str) -> Option<&LanNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The kind of address that a node's name must stand for here: that of its `laddr`, else that of the others; none if nothing says so.
    fn family_of(&self, node: &LanNode) -> Option<Family> {
        let others = self.nodes.iter().filter_map(|other| other.laddr.or(other.addr.ip()));
        node.laddr.into_iter().chain(others).next().map(Family::of)
    }
}

/// The two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The kind of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}
