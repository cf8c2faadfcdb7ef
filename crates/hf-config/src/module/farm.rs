//! `<farm>` (reference 004, 13.4).

use crate::cluster::{Cluster, LanNode};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::farm_model::Farm;
use crate::module::lan_of;
use crate::spec;

/// The largest farm.
const MAX_NODES: usize = 32;

pub(super) fn read(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Farm> {
    let Some(farm) = service.only_child(&spec::FARM, context) else {
        service.report_missing_child("farm", context);
        return None;
    };
    let children = farm.children(&spec::FARM_LAN, context);
    if children.is_empty() {
        farm.report_missing_child("lan", context);
    }
    let mut lans: Vec<String> = Vec::new();
    for element in &children {
        let Some(name) = lan(element, cluster, context) else { continue };
        if lans.contains(&name.text) {
            let message = format!("the network {} is there already", name.text);
            context.sink.error(Code::Duplicate, name.span, message, None);
        } else {
            lans.push(name.text);
        }
    }
    refuse_both_syntaxes(&children, context);
    let read = Farm {
        port: farm.port("port", context),
        pulse_ms: farm.duration("pulse", context),
        mlost_count: farm.count("mlost_count", context),
        slost_count: farm.count("slost_count", context),
        lans,
    };
    let count = nodes(&read, cluster).len();
    if count > MAX_NODES {
        let message = format!("this farm would have {count} nodes");
        let help = format!("a farm has at most {MAX_NODES}: choose a smaller network of cluster.xml");
        context.sink.error(Code::Limit, farm.span(), message, Some(help));
    }
    Some(read)
}

/// The nodes of the farm: those of its networks, in the order of cluster.xml.
pub(super) fn nodes<'c>(farm: &Farm, cluster: Option<&'c Cluster>) -> Vec<&'c str> {
    let Some(cluster) = cluster else { return Vec::new() };
    let mut names = cluster.node_names();
    names.retain(|name| farm.lans.iter().any(|lan| cluster.node_on(name, lan).is_some()));
    names
}

fn lan(element: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Value> {
    let nodes = element.children(&spec::FARM_NODE, context);
    let Some(first) = nodes.first() else {
        let name = element.require_name("name", context)?;
        lan_of(&name, cluster, context);
        return Some(name);
    };
    let addresses: Vec<Value> = nodes
        .iter()
        .filter_map(|node| {
            node.require("name", context);
            node.require("addr", context).cloned()
        })
        .collect();
    // With a network's name, it is that one; from before version 7.2 the name said nothing.
    let has = |lan: &crate::Lan, address: &Value| {
        let is = |node: &LanNode| node.name == address.text || node.addr.to_string() == address.text;
        lan.nodes.iter().any(is)
    };
    let found = cluster
        .and_then(|cluster| cluster.framework_lans().find(|lan| addresses.iter().all(|address| has(lan, address))));
    let all = addresses.iter().map(|address| address.text.as_str()).collect::<Vec<_>>().join(", ");
    match found {
        Some(lan) => {
            let message = "<node> in <lan> is the syntax from before version 7.2".to_owned();
            let help = Some(format!("take it out and write <lan name=\"{}\"/>", lan.name));
            context.sink.note(Code::Obsolete, first.span(), message, help);
            Some(Value { name: "name", text: lan.name.clone(), span: first.span() })
        }
        None if addresses.len() < nodes.len() => None,
        None => {
            let message = format!("no network of cluster.xml has all of {all}");
            let help = "take the <node>s out and give the network's name: <lan name=\"...\"/>".to_owned();
            context.sink.error(Code::BadLan, first.span(), message, Some(help));
            None
        }
    }
}

/// One file has one of the two syntaxes (13.4.3).
fn refuse_both_syntaxes(lans: &[Element], context: &mut Context) {
    let old = |lan: &&Element| lan.child_tags().any(|child| child.has_tag_name(spec::FARM_NODE.tag));
    if let (Some(old), true) = (lans.iter().find(old), lans.iter().any(|lan| !old(&lan))) {
        let message = "a network is chosen by <node>s here and by name elsewhere in this file".to_owned();
        let help = Some("choose all of them by name".to_owned());
        context.sink.error(Code::Conflict, old.span(), message, help);
    }
}

/// What of a farm nobody carries out yet, in one line.
pub(super) fn say_what_comes_later(service: &Element, has_vip: bool, context: &mut Context) {
    let message = if has_vip {
        "<farm> and <vip> of a farm are accepted, not applied yet: each node runs the application, and no virtual address is set"
    } else {
        "<farm> is accepted, not applied yet: each node runs the application without hearing the others"
    };
    context.sink.note(Code::NotYet, service.place_of_child(spec::FARM.tag), message, None);
}
