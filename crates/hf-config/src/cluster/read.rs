//! From the text of `cluster.xml` to a [`Cluster`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use super::host::{Host, read_address, read_host};
use super::{Cluster, Family, Lan, LanNode};
use crate::context::Context;
use crate::diagnostic::{Checked, Code, Diagnostics};
use crate::element::{Element, Value, open_root};
use crate::spec;
use crate::xml;

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
    addresses: HashMap<Host, String>,
    local_addresses: HashMap<Host, String>,
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
    let addr = addr.and_then(|value| {
        let host = read_host(&value, context)?;
        unique(host, &value, &owner, &mut seen.addresses, context)
    });
    let laddr = element.get("laddr").cloned();
    let laddr = laddr.and_then(|value| {
        let host = Host::Ip(read_address(&value, context)?);
        unique(host, &value, &owner, &mut seen.local_addresses, context)?.ip()
    });
    // A bad address is reported; the stand-in keeps the node on the network for the checks that follow.
    let addr = addr.unwrap_or(Host::Ip(STAND_IN));
    Some(LanNode { name: name?.text, ip: addr.ip(), addr, laddr })
}

/// For an address that was reported.
const STAND_IN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn unique(
    host: Host,
    value: &Value,
    owner: &str,
    seen: &mut HashMap<Host, String>,
    context: &mut Context,
) -> Option<Host> {
    match seen.insert(host.clone(), owner.to_owned()) {
        None => Some(host),
        Some(first) => {
            duplicate(value, format!("{host} is the address of {first} already"), context);
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
        check_family(element, lan, context);
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

/// From an IPv4 address nothing can be sent to an IPv6 one.
fn check_family(element: &Element, lan: &Lan, context: &mut Context) {
    let known = lan.nodes.iter().flat_map(|node| [node.addr.ip(), node.laddr]).flatten();
    let mut known = known.filter(|address| *address != STAND_IN).map(Family::of);
    let first = known.next();
    if known.any(|family| Some(family) != first) {
        let message = format!("the network {} has IPv4 and IPv6 addresses", lan.name);
        let help = "make two networks of it".to_owned();
        context.sink.error(Code::Conflict, element.span(), message, Some(help));
    }
}
