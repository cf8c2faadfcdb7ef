//! `<server addr>` in `<heartbeat>` and `<flow>`: how a network was chosen before version 7.2 (reference 004, 13.3.3).
//!
//! Two addresses said what a network's name says now. They are looked up in cluster.xml: the network on which both are
//! addresses (or names) of nodes is the one that is meant.

use crate::cluster::{Cluster, Lan as ClusterLan, LanNode};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value, name_span};
use crate::spec;

/// How a tag chooses its network.
pub(super) enum Lan {
    /// By `name`, the syntax of today.
    Named,
    /// By servers; none if they were reported.
    Old(Option<Value>),
}

/// The network that the tag's servers are on.
pub(super) fn lan(element: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Lan {
    let servers = element.children(&spec::SERVER, context);
    let Some(first) = servers.first() else {
        return Lan::Named;
    };
    let span = first.span();
    if element.get("name").is_some() {
        let message =
            format!("<{}> has a name and <server>s: the syntax of today and that from before 7.2", element.tag());
        let help = Some("keep the name, take the <server>s out".to_owned());
        context.sink.error(Code::Conflict, span, message, help);
        return Lan::Named;
    }
    let addresses: Vec<&Value> = servers.iter().filter_map(|server| server.require("addr", context)).collect();
    let [one, two] = addresses[..] else {
        if addresses.len() == servers.len() {
            let message = format!("<{}> needs two <server>s, one for each node", element.tag());
            context.sink.error(Code::MissingElement, element.span(), message, None);
        }
        return Lan::Old(None);
    };
    Lan::Old(find(element, one, two, cluster, context))
}

/// One file has one of the two syntaxes (reference 004, 13.3.3).
pub(super) fn check_mixed(service: &Element, context: &mut Context) {
    let chooses = |tag: &str| tag == spec::HEARTBEAT.tag || tag == spec::FLOW.tag;
    let named = service.descendants().any(|node| chooses(node.tag_name().name()) && node.has_attribute("name"));
    let mut old = service.descendants().filter(|node| node.tag_name().name() == spec::SERVER.tag);
    // Both in one tag was reported where it was read.
    let apart = |server: &roxmltree::Node| server.parent().is_some_and(|parent| !parent.has_attribute("name"));
    if let (true, Some(server)) = (named, old.find(apart)) {
        let message = "a network is chosen by <server>s here and by name elsewhere in this file".to_owned();
        let help = Some("choose all of them by name".to_owned());
        context.sink.error(Code::Conflict, name_span(server), message, help);
    }
}

fn find(
    element: &Element,
    one: &Value,
    two: &Value,
    cluster: Option<&Cluster>,
    context: &mut Context,
) -> Option<Value> {
    let (a, b) = (&one.text, &two.text);
    let Some(cluster) = cluster else {
        let message = format!("which network {a} and {b} are on can't be said without cluster.xml");
        let help = "apply cluster.xml first ('holdfast cluster config'), or give the network's name instead".to_owned();
        context.sink.error(Code::BadLan, one.span.clone(), message, Some(help));
        return None;
    };
    match cluster.framework_lans().find(|lan| has(lan, a) && has(lan, b) && a != b) {
        Some(lan) => {
            let message = "<server> is the syntax from before version 7.2".to_owned();
            let help = Some(format!("take it out and write <{} name=\"{}\">", element.tag(), lan.name));
            context.sink.note(Code::Obsolete, one.span.clone(), message, help);
            Some(Value { name: "name", text: lan.name.clone(), span: one.span.clone() })
        }
        None => {
            let message = format!("no network of cluster.xml has both {a} and {b}");
            let lans: Vec<&str> = cluster.framework_lans().map(|lan| lan.name.as_str()).collect();
            let help = format!("give the network's name instead: {}", lans.join(", "));
            context.sink.error(Code::BadLan, one.span.clone(), message, Some(help));
            None
        }
    }
}

fn has(lan: &ClusterLan, address: &str) -> bool {
    let is = |node: &LanNode| node.name == address || node.addr.to_string() == address;
    lan.nodes.iter().any(is)
}
