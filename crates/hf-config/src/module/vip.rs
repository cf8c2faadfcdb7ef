//! `<vip>`: of a mirror module (reference 004, 13.5.4.2) on one node at a time, of a farm (13.5.4.1) on all of them.

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::{Cluster, is_host_name, is_no_machine_v4, parse_address};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::farm_model::VirtualMac;
use crate::model::{ModuleConfig, Vip, VipInterface, VirtualAddr};
use crate::module::balancing::{self, Around};
use crate::spec::{self, Spec};
use hf_types::Mode;

const ONCE: &str = "take one of the two out: each address is set once";
/// The longest name of a network interface on Linux.
const MAX_INTERFACE_NAME: usize = 15;

/// `nodes`: those of the farm.
pub(super) fn read(
    service: &Element,
    mode: Mode,
    nodes: &[&str],
    cluster: Option<&Cluster>,
    context: &mut Context,
) -> Option<Vip> {
    let vip = service.only_child(&spec::VIP, context)?;
    let tcp_reset = vip.switch("tcpreset", context);
    let Some(list) = vip.only_child(&spec::INTERFACE_LIST, context) else {
        vip.report_missing_child("interface_list", context);
        return None;
    };
    let children = list.children(&spec::INTERFACE, context);
    if children.is_empty() {
        list.report_missing_child("interface", context);
    }
    let mut found = Vec::new();
    let interfaces: Vec<VipInterface> =
        children.iter().map(|element| interface(element, mode, cluster, &mut found, context)).collect();
    let groups = match mode {
        Mode::Farm => balancing::read(&vip, &Around { nodes, interfaces: &interfaces }, context),
        Mode::Mirror | Mode::Light => {
            refuse_balancing(&vip, mode, context);
            Vec::new()
        }
    };
    Some(Vip { tcp_reset, interfaces, groups })
}

fn refuse_balancing(vip: &Element, mode: Mode, context: &mut Context) {
    if vip.child_tags().any(|child| child.has_tag_name(spec::LOADBALANCING_LIST.tag)) {
        let message = format!("a {mode} module has no <loadbalancing_list>: its address is on one node at a time");
        let help = "take it out, or make it a farm module".to_owned();
        context.sink.error(Code::Conflict, vip.place_of_child(spec::LOADBALANCING_LIST.tag), message, Some(help));
    }
}

fn interface(
    element: &Element,
    mode: Mode,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> VipInterface {
    let check = element.switch("check", context);
    let (virtual_mac, addresses) = addresses(element, mode, cluster, found, context);
    VipInterface {
        name: interface_name(element, context),
        check,
        arp_reroute: element.switch("arpreroute", context),
        arp_interval_ms: element.duration("arpinterval", context),
        arp_elapse_ms: element.duration("arpelapse", context),
        virtual_mac,
        addresses,
    }
}

fn interface_name(element: &Element, context: &mut Context) -> Option<String> {
    let value = element.get("name")?;
    if !is_interface_name(&value.text) {
        let message = format!("name=\"{}\" can't be a network interface", value.text);
        let help = format!("such as eth0 or bond0, at most {MAX_INTERFACE_NAME} characters");
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    }
    Some(value.text.clone())
}

pub(super) fn is_interface_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    (1..=MAX_INTERFACE_NAME).contains(&text.len()) && text.chars().all(good)
}

/// The kind of interface that modules of this kind have, and the other one.
fn kinds(mode: Mode) -> (&'static Spec, &'static Spec) {
    match mode {
        Mode::Farm => (&spec::VIRTUAL_INTERFACE, &spec::REAL_INTERFACE),
        Mode::Mirror | Mode::Light => (&spec::REAL_INTERFACE, &spec::VIRTUAL_INTERFACE),
    }
}

fn addresses(
    interface: &Element,
    mode: Mode,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> (Option<VirtualMac>, Vec<VirtualAddr>) {
    let (own, others) = kinds(mode);
    let has_others = interface.child_tags().any(|child| child.has_tag_name(others.tag));
    if has_others {
        refuse_kind(interface, mode, context);
    }
    let Some(kind) = interface.only_child(own, context) else {
        if !has_others {
            interface.report_missing_child(own.tag, context);
        }
        return (None, Vec::new());
    };
    let virtual_mac = (mode == Mode::Farm).then(|| virtual_mac(&kind, context));
    let children = kind.children(&spec::VIRTUAL_ADDR, context);
    if children.is_empty() {
        kind.report_missing_child("virtual_addr", context);
    }
    let addresses = children.iter().filter_map(|element| address(element, mode, cluster, found, context)).collect();
    (virtual_mac, addresses)
}

fn refuse_kind(interface: &Element, mode: Mode, context: &mut Context) {
    let (own, others) = kinds(mode);
    let span = interface.place_of_child(others.tag);
    if mode == Mode::Farm {
        let message = format!("a farm has no <{}>: its address is on every node", others.tag);
        let help = format!("write <{} type=\"vmac_directed\"> with where=\"alias\"", own.tag);
        context.sink.error(Code::Conflict, span, message, Some(help));
        return;
    }
    let message = format!("<{}> isn't served yet in a {mode} module", others.tag);
    let help = format!("write <{}> with where=\"one_side_alias\"", own.tag);
    context.sink.error(Code::NotYet, span, message, Some(help));
}

/// `type` and `addr` of `<virtual_interface>`.
fn virtual_mac(element: &Element, context: &mut Context) -> VirtualMac {
    let invisible = element.choice("type", &[("vmac_directed", false), ("vmac_invisible", true)], context);
    let mac = element.get("addr").and_then(|value| mac(value, context));
    match (invisible, element.get("addr")) {
        (true, _) => VirtualMac::Invisible { mac },
        (false, None) => VirtualMac::Directed,
        (false, Some(value)) => {
            let message = "addr has no effect: with vmac_directed the nodes answer with their own MAC addresses";
            context.sink.warning(Code::NoEffect, value.span.clone(), message, None);
            VirtualMac::Directed
        }
    }
}

fn mac(value: &Value, context: &mut Context) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = value
        .text
        .split([':', '-'])
        .filter(|part| part.len() == 2)
        .filter_map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    let parts = value.text.split([':', '-']).count();
    let mac = <[u8; 6]>::try_from(bytes).ok().filter(|_| parts == 6);
    let why = match mac {
        None => "isn't a MAC address",
        Some([first, ..]) if first & 1 == 1 => "is a group address: switches would know it for one",
        Some([0, 0, 0, 0, 0, 0]) => "is nobody's address",
        Some(mac) => return Some(mac),
    };
    let message = format!("addr=\"{}\" {why}", value.text);
    let help = "such as 5a:fe:c0:a8:01:14; without it, it is made of the first virtual address".to_owned();
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    None
}

fn address(
    element: &Element,
    mode: Mode,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> Option<VirtualAddr> {
    check_where(element, mode, context);
    let check = element.switch("check", context);
    let netmask = element.get("netmask");
    let prefix = netmask.and_then(|value| prefix(value, context));
    let value = element.require("addr", context)?;
    let (addr, name) = virtual_address(value, context)?;
    if let (IpAddr::V6(_), Some(netmask)) = (addr, netmask) {
        let message = format!("netmask is for IPv4, and {addr} isn't");
        let help = "take netmask out: an IPv6 address is set as a /128".to_owned();
        context.sink.error(Code::Conflict, netmask.span.clone(), message, Some(help));
    }
    if found.contains(&addr) {
        context.sink.error(
            Code::Duplicate,
            value.span.clone(),
            format!("{addr} is there already"),
            Some(ONCE.to_owned()),
        );
    }
    found.push(addr);
    let has = |other: &&ModuleConfig| other.virtual_addresses().any(|(_, theirs)| theirs.addr == addr);
    if let Some(other) = context.others.iter().find(has) {
        let message = format!("{addr} is a virtual address of the module {} already", other.name);
        let help = "give each module an address of its own: they move apart from each other".to_owned();
        context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
    }
    let mut nodes = cluster.into_iter().flat_map(|cluster| &cluster.lans).flat_map(|lan| &lan.nodes);
    if let Some(node) = nodes.find(|node| node.has(addr)) {
        let message = format!("{addr} is the node {}'s own address in cluster.xml", node.name);
        let help = "a virtual address must be free: it moves between the nodes".to_owned();
        context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
    }
    let connections = element.switch("connections", context);
    Some(VirtualAddr { addr, name, prefix, check, connections })
}

/// IPv4, IPv6 or a name: the address and the name. (Reference 004, 13.5.5: with a name, what moves hangs on a name server. So the
/// name is looked up when the configuration is applied, and its address kept.)
fn virtual_address(value: &Value, context: &mut Context) -> Option<(IpAddr, Option<String>)> {
    let (what, text) = (value.name, value.text.as_str());
    let mut refuse = |code, message: String, help: &str| {
        context.sink.error(code, value.span.clone(), message, Some(help.to_owned()));
        None
    };
    if text.eq_ignore_ascii_case("localhost") {
        return refuse(Code::BadAddress, format!("{what}=\"{text}\" is this machine itself"), FREE);
    }
    if let Some(address) = parse_address(text) {
        return match unfit(address) {
            Some(why) => refuse(Code::BadAddress, format!("{what}=\"{text}\" {why}"), FREE),
            None => Some((address, None)),
        };
    }
    if !is_host_name(text) {
        let message = format!("{what}=\"{text}\" is neither an IP address nor a name");
        return refuse(Code::BadValue, message, "such as 192.168.1.67, fd00::67 or vip.example.com");
    }
    let name = text.to_ascii_lowercase();
    let (message, help) = match context.look_up(&name) {
        Ok(address) => match unfit(address) {
            Some(why) => (format!("{what}=\"{text}\" stands for {address}, which {why}"), FREE),
            None => return Some((address, Some(name))),
        },
        Err(why) => (
            format!("{what}=\"{text}\" has no address: {why}"),
            "correct the name server or /etc/hosts on both nodes, or write the address itself",
        ),
    };
    context.sink.error(Code::BadAddress, value.span.clone(), message, Some(help.to_owned()));
    None
}

const FREE: &str = "give a free address in the network of one of the nodes' interfaces";

fn unfit(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_loopback() => Some("is this machine itself"),
        IpAddr::V4(v4) if is_no_machine_v4(v4) => Some("isn't the address of one machine"),
        IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Some("isn't the address of one machine"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            Some("is in fe80::/10, which every network has: nothing says where it belongs")
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("is an IPv4 address in IPv6's clothes"),
        _ => None,
    }
}

fn check_where(element: &Element, mode: Mode, context: &mut Context) {
    let place = if mode == Mode::Farm { "alias" } else { "one_side_alias" };
    let value = if mode == Mode::Farm { element.get("where") } else { element.require("where", context) };
    let Some(value) = value.filter(|value| value.text.trim() != place) else { return };
    let (message, help) = match value.text.trim() {
        "alias" => ("where=\"alias\" is for farm modules".to_owned(), format!("a {mode} module has where=\"{place}\"")),
        "one_side_alias" => {
            let message = "where=\"one_side_alias\" is for mirror modules".to_owned();
            (message, "a farm has where=\"alias\": its address is on every node".to_owned())
        }
        _ => {
            element.word("where", &[(place, ())], (), context);
            return;
        }
    };
    context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
}

/// `24` or `255.255.255.0` as a prefix length.
fn prefix(value: &Value, context: &mut Context) -> Option<u8> {
    let length = value.text.parse::<u8>().ok().filter(|length| (1..=32).contains(length));
    let length = length.or_else(|| {
        let bits = u32::from(value.text.parse::<Ipv4Addr>().ok()?);
        let ones = bits.leading_ones();
        (ones >= 1 && ones + bits.trailing_zeros() >= 32).then(|| u8::try_from(ones).ok())?
    });
    if length.is_none() {
        let message = format!("netmask=\"{}\" isn't a netmask", value.text);
        context.sink.error(Code::BadValue, value.span.clone(), message, Some("such as 255.255.255.0 or 24".to_owned()));
    }
    length
}
