//! `cluster.xml`: the nodes and their addresses on each network (reference 004, chapter 12).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::diagnostic::{Checked, Code, Diagnostics};
use crate::element::{Element, Value, open_root};
use crate::spec;
use crate::values::host_address;
use crate::xml;

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
    /// `addr`: where the others reach it.
    pub addr: Ipv4Addr,
    /// `laddr`: its own local address, where that differs (address translation).
    pub laddr: Option<Ipv4Addr>,
}

impl LanNode {
    /// The address that this node itself binds to.
    pub fn local_addr(&self) -> Ipv4Addr {
        self.laddr.unwrap_or(self.addr)
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
    pub fn address(&self, node: &str, lan: &str) -> Option<Ipv4Addr> {
        self.node_on(node, lan).map(|entry| entry.addr)
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
    pub fn node_with_address(&self, addresses: &[Ipv4Addr]) -> Option<&str> {
        let mut entries = self.lans.iter().flat_map(|lan| &lan.nodes);
        entries.find(|entry| addresses.contains(&entry.local_addr())).map(|entry| entry.name.as_str())
    }

    /// A text that is equal exactly for equal configurations, whatever the file's layout: what a signature is made of.
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
                let _ = writeln!(out, "node {} addr={} laddr={}", node.name, node.addr, node.local_addr());
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
}

/// Reads `cluster.xml`. `file` is only shown. See [`check_cluster`] for warnings of a good file.
pub fn parse_cluster(text: &str, file: &str) -> Result<Cluster, Diagnostics> {
    check_cluster(text, file).into_result()
}

/// Reads `cluster.xml` and keeps notes and warnings too.
pub fn check_cluster(text: &str, file: &str) -> Checked<Cluster> {
    let mut context = Context::without_macros(text, file);
    let document = xml::parse(text, &mut context.sink);
    let cluster = document.as_ref().and_then(|document| {
        let root = open_root(document, &spec::CLUSTER, &mut context)?;
        let lans = root.only_child(&spec::LANS, &mut context);
        if lans.is_none() {
            root.report_missing_child("lans", &mut context);
        }
        Some(read_lans(&lans?, &mut context))
    });
    Checked::new(cluster, context.sink.finish())
}

/// A network as it is read, with places for later complaints.
struct ReadLan<'d> {
    element: Element<'d>,
    lan: Lan,
}

fn read_lans(lans: &Element, context: &mut Context) -> Cluster {
    let children = lans.children(&spec::CLUSTER_LAN, context);
    if children.is_empty() {
        lans.report_missing_child("lan", context);
    }
    let mut seen = Seen::default();
    let read: Vec<ReadLan> = children.into_iter().map(|element| read_lan(element, &mut seen, context)).collect();
    let cluster = Cluster {
        port: lans.port("port", context).unwrap_or_default(),
        pulse_ms: lans.duration("pulse", context),
        mlost_count: lans.count("mlost_count", context),
        slost_count: lans.count("slost_count", context),
        lans: read.iter().map(|read| read.lan.clone()).collect(),
    };
    if !read.is_empty() {
        check_coverage(lans, &read, &cluster, context);
    }
    cluster
}

/// What must not come twice.
#[derive(Default)]
struct Seen {
    lans: Vec<String>,
    /// Address: the node and network that has it.
    addresses: HashMap<Ipv4Addr, String>,
    local_addresses: HashMap<Ipv4Addr, String>,
}

fn read_lan<'d>(element: Element<'d>, seen: &mut Seen, context: &mut Context) -> ReadLan<'d> {
    let name = element.require_name("name", context);
    if let Some(name) = &name {
        if seen.lans.contains(&name.text) {
            duplicate(name, format!("there is another network called {}", name.text), context);
        }
        seen.lans.push(name.text.clone());
    }
    let mut lan = Lan {
        name: name.map_or_else(String::new, |value| value.text),
        console: element.switch("console", context),
        framework: element.switch("framework", context),
        command: element.switch("command", context),
        nodes: Vec::new(),
    };
    let nodes = element.children(&spec::NODE, context);
    for node in &nodes {
        let read = read_node(node, &lan, seen, context);
        lan.nodes.extend(read);
    }
    if nodes.len() < 2 {
        let message = format!("the network {} has fewer than two nodes", lan.name);
        context.sink.error(Code::MissingElement, element.span(), message, None);
    }
    ReadLan { element, lan }
}

fn read_node(element: &Element, lan: &Lan, seen: &mut Seen, context: &mut Context) -> Option<LanNode> {
    let name = element.require_name("name", context);
    if let Some(name) = &name
        && lan.node(&name.text).is_some()
    {
        duplicate(name, format!("the network {} has the node {} already", lan.name, name.text), context);
    }
    let owner = format!("{} on {}", name.as_ref().map_or("?", |name| &name.text), lan.name);
    let addr = element.require("addr", context).cloned();
    let addr = addr.and_then(|value| unique_address(&value, &owner, &mut seen.addresses, context));
    let laddr = element.get("laddr").cloned();
    let laddr = laddr.and_then(|value| unique_address(&value, &owner, &mut seen.local_addresses, context));
    // A bad address is reported; the stand-in keeps the node on the network for the checks that follow.
    Some(LanNode { name: name?.text, addr: addr.unwrap_or(Ipv4Addr::UNSPECIFIED), laddr })
}

fn unique_address(
    value: &Value,
    owner: &str,
    seen: &mut HashMap<Ipv4Addr, String>,
    context: &mut Context,
) -> Option<Ipv4Addr> {
    let address = host_address(value, context)?;
    match seen.insert(address, owner.to_owned()) {
        None => Some(address),
        Some(first) => {
            duplicate(value, format!("{address} is the address of {first} already"), context);
            None
        }
    }
}

fn duplicate(value: &Value, message: String, context: &mut Context) {
    context.sink.error(Code::Duplicate, value.span.clone(), message, None);
}

/// The rules about which network must have all nodes (reference 004, 12.1.3).
fn check_coverage(lans: &Element, read: &[ReadLan], cluster: &Cluster, context: &mut Context) {
    let all = cluster.node_names();
    let missing = |lan: &Lan| -> Vec<&str> { all.iter().copied().filter(|node| lan.node(node).is_none()).collect() };
    for ReadLan { element, lan } in read {
        let missing = missing(lan);
        if lan.console && !missing.is_empty() {
            let message = format!("the network {} is for the console, but lacks {}", lan.name, missing.join(", "));
            let help = "add the node, or set console=\"off\"".to_owned();
            context.sink.error(Code::BadLan, element.span(), message, Some(help));
        }
        if lan.command && (!lan.framework || !missing.is_empty()) {
            let message = format!("the network {} can't carry commands", lan.name);
            let help = "it needs framework=\"on\" and every node".to_owned();
            context.sink.error(Code::BadLan, element.span(), message, Some(help));
        }
    }
    if !cluster.framework_lans().any(|lan| missing(lan).is_empty()) {
        let message = "no network with framework=\"on\" has every node".to_owned();
        let help = format!("one network for internal communication needs all of {}", all.join(", "));
        context.sink.error(Code::BadLan, lans.span(), message, Some(help));
    }
    for second in read.iter().filter(|read| read.lan.command).skip(1) {
        let message = "another network has command=\"on\" already".to_owned();
        context.sink.error(Code::Duplicate, second.element.span(), message, None);
    }
}
