//! `<loadbalancing_list>` of a farm's `<vip>` (reference 004, 13.5.6).

use std::net::IpAddr;
use std::ops::Range;

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::farm_model::{Filter, LoadGroup, LoadRule, Proto, VirtualMac};
use crate::model::{VipInterface, VirtualAddr};
use crate::spec;
use hf_types::nearest;

/// What the rules and hosts of a list are checked against.
pub(super) struct Around<'a> {
    /// The farm's nodes; empty where cluster.xml isn't known.
    pub(super) nodes: &'a [&'a str],
    pub(super) interfaces: &'a [VipInterface],
}

impl Around<'_> {
    fn addresses(&self) -> impl Iterator<Item = &VirtualAddr> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses)
    }
}

/// The groups of `<vip>`.
pub(super) fn read(vip: &Element, around: &Around, context: &mut Context) -> Vec<LoadGroup> {
    let Some(list) = vip.only_child(&spec::LOADBALANCING_LIST, context) else {
        vip.report_missing_child("loadbalancing_list", context);
        return Vec::new();
    };
    let children = list.children(&spec::GROUP, context);
    if children.is_empty() {
        list.report_missing_child("group", context);
    }
    let mut groups: Vec<LoadGroup> = Vec::new();
    for element in &children {
        let group = group(element, around, &groups, context);
        groups.extend(group);
    }
    groups
}

fn group(element: &Element, around: &Around, before: &[LoadGroup], context: &mut Context) -> Option<LoadGroup> {
    let name = element.require_name("name", context);
    let powers = powers(element, around, context);
    let children = element.children(&spec::RULE, context);
    if children.is_empty() {
        element.report_missing_child("rule", context);
    }
    let mut rules: Vec<LoadRule> = Vec::new();
    for child in &children {
        let Some(rule) = rule(child, around, context) else { continue };
        let same = |other: &LoadRule| (other.address, other.port, other.proto) == (rule.address, rule.port, rule.proto);
        let elsewhere = before.iter().find(|group| group.rules.iter().any(same));
        if rules.iter().any(same) || elsewhere.is_some() {
            let of = elsewhere.map_or("this group".to_owned(), |group| format!("the group {}", group.name));
            let message = format!("{of} has a rule for the same address, port and protocol already");
            let help = "a packet belongs to one group: take one of the two rules out".to_owned();
            context.sink.error(Code::Duplicate, child.span(), message, Some(help));
        }
        rules.push(rule);
    }
    let name = name?;
    if before.iter().any(|other| other.name == name.text) {
        let message = format!("there is a group {} already", name.text);
        context.sink.error(Code::Duplicate, name.span.clone(), message, None);
    }
    Some(LoadGroup { name: name.text, powers, rules })
}

fn powers(group: &Element, around: &Around, context: &mut Context) -> Vec<(String, u32)> {
    let Some(cluster) = group.only_child(&spec::GROUP_CLUSTER, context) else {
        return Vec::new();
    };
    let children = cluster.children(&spec::HOST, context);
    if children.is_empty() {
        cluster.report_missing_child("host", context);
    }
    let mut powers: Vec<(String, u32)> = Vec::new();
    for child in &children {
        let power = child.count("power", context);
        let Some(name) = child.require_name("name", context) else { continue };
        check_node(&name, around, context);
        if powers.iter().any(|(other, _)| *other == name.text) {
            let message = format!("the node {} is there already", name.text);
            context.sink.error(Code::Duplicate, name.span.clone(), message, None);
        }
        powers.push((name.text, power));
    }
    if !powers.is_empty() && powers.iter().all(|(_, power)| *power == 0) {
        let message = "no node of this group has a power: nobody would serve its traffic".to_owned();
        let help = "give one of them a power of 1 or more".to_owned();
        context.sink.error(Code::Conflict, cluster.span(), message, Some(help));
    }
    let absent = around.nodes.iter().filter(|node| !powers.iter().any(|(name, _)| name == *node));
    let absent: Vec<&str> = absent.copied().collect();
    if !powers.is_empty() && !absent.is_empty() {
        let message = format!("without traffic of this group, because not listed: {}", absent.join(", "));
        let help =
            "give each node of the farm its <host>, or take <cluster> out: then all have the same share".to_owned();
        context.sink.warning(Code::Conflict, cluster.span(), message, Some(help));
    }
    powers
}

fn check_node(name: &Value, around: &Around, context: &mut Context) {
    let nodes = around.nodes;
    if nodes.is_empty() || nodes.contains(&name.text.as_str()) {
        return;
    }
    let message = format!("the farm has no node called {}", name.text);
    let help = match nearest(&name.text, nodes.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("it has {}", nodes.join(", ")),
    };
    context.sink.error(Code::BadValue, name.span.clone(), message, Some(help));
}

fn rule(element: &Element, around: &Around, context: &mut Context) -> Option<LoadRule> {
    let protos = [("udp", Proto::Udp), ("tcp", Proto::Tcp), ("arp", Proto::Arp)];
    let filters = [("on_addr", Filter::OnAddr), ("on_port", Filter::OnPort), ("on_ipid", Filter::OnIpid)];
    let rule = LoadRule {
        address: address(element, around, context).ok()?,
        port: port(element, context),
        proto: element.one_of("proto", &protos, context),
        filter: element.one_of("filter", &filters, context),
    };
    if element.get("proto").is_some() && element.get("filter").is_some() {
        check_together(element, &rule, around, context);
    }
    Some(rule)
}

fn port(element: &Element, context: &mut Context) -> Option<u16> {
    let value = element.get("port").filter(|value| value.text != "*")?;
    let port = value.text.parse::<u16>().ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("port=\"{}\" isn't a port", value.text);
        let help = "a number from 1 to 65535, or * for all of them".to_owned();
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    }
    port
}

/// `*`, an address or a name of one of the module's virtual addresses.
fn address(element: &Element, around: &Around, context: &mut Context) -> Result<Option<IpAddr>, ()> {
    let Some(value) = element.get("virtual_addr").filter(|value| value.text != "*") else {
        return Ok(None);
    };
    let is = |address: &&VirtualAddr| {
        let named = address.name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&value.text));
        named || value.text.parse() == Ok(address.addr)
    };
    if let Some(found) = around.addresses().find(is) {
        return Ok(Some(found.addr));
    }
    let message = format!("virtual_addr=\"{}\" is none of this module's virtual addresses", value.text);
    let all = around.addresses().map(|address| address.addr.to_string()).collect::<Vec<_>>().join(", ");
    let help = if all.is_empty() { "* for all of them".to_owned() } else { format!("*, or one of {all}") };
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    Err(())
}

fn span_of(element: &Element, attribute: &str) -> Range<usize> {
    element.get(attribute).map_or(element.span(), |value| value.span.clone())
}

/// What doesn't go together in one rule (13.5.6, the last rows).
fn check_together(element: &Element, rule: &LoadRule, around: &Around, context: &mut Context) {
    let filter = span_of(element, "filter");
    match (rule.proto, rule.filter) {
        (Proto::Arp, Filter::OnPort | Filter::OnIpid) => {
            let message = "a question for the MAC address has no port and no identification".to_owned();
            let help = Some("proto=\"arp\" has filter=\"on_addr\"".to_owned());
            context.sink.error(Code::Conflict, filter, message, help);
        }
        (Proto::Tcp, Filter::OnIpid) => {
            let message =
                "filter=\"on_ipid\" makes no sense for TCP: the packets of one connection would go to several servers";
            let help = "on_port for each connection by itself, on_addr to keep a client on one server".to_owned();
            context.sink.error(Code::Conflict, filter, message.to_owned(), Some(help));
        }
        (Proto::Udp, Filter::OnIpid)
            if around.addresses().any(|address| fits(rule, address) && address.addr.is_ipv6()) =>
        {
            let message = "filter=\"on_ipid\" makes no sense for IPv6: its packets have no identification".to_owned();
            let help = Some("on_port or on_addr, or virtual_addr=\"...\" with an IPv4 address".to_owned());
            context.sink.error(Code::Conflict, filter, message, help);
        }
        _ => {}
    }
    if rule.proto == Proto::Arp {
        if rule.port.is_some() {
            let message = "port has no effect: ARP has no ports".to_owned();
            context.sink.warning(Code::NoEffect, span_of(element, "port"), message, None);
        }
        let mut directed = around.interfaces.iter().filter(|one| one.virtual_mac == Some(VirtualMac::Directed));
        if !directed.any(|one| one.addresses.iter().any(|address| fits(rule, address))) && !around.interfaces.is_empty()
        {
            let message = "this rule has no effect: with vmac_invisible all nodes give the same answer".to_owned();
            context.sink.warning(Code::NoEffect, span_of(element, "proto"), message, None);
        }
    }
}

fn fits(rule: &LoadRule, address: &VirtualAddr) -> bool {
    rule.address.is_none_or(|wanted| wanted == address.addr)
}
