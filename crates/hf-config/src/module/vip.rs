//! `<vip>` of a mirror module (reference 004, 13.5.4.2 and 13.5.5).

use std::net::{IpAddr, Ipv4Addr};

use crate::cluster::{Cluster, is_host_name, is_no_machine_v4, parse_address};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::{ModuleConfig, Vip, VipInterface, VirtualAddr};
use crate::spec;

const ONCE: &str = "take one of the two out: each address is set once";
/// The longest name of a network interface on Linux.
const MAX_INTERFACE_NAME: usize = 15;

pub(super) fn read(service: &Element, cluster: Option<&Cluster>, context: &mut Context) -> Option<Vip> {
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
    let interfaces = children.iter().map(|element| interface(element, cluster, &mut found, context)).collect();
    Some(Vip { tcp_reset, interfaces })
}

fn interface(
    element: &Element,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> VipInterface {
    let check = element.switch("check", context);
    VipInterface {
        name: interface_name(element, context),
        check,
        arp_reroute: element.switch("arpreroute", context),
        arp_interval_ms: element.duration("arpinterval", context),
        arp_elapse_ms: element.duration("arpelapse", context),
        addresses: addresses(element, cluster, found, context),
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

fn addresses(
    interface: &Element,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> Vec<VirtualAddr> {
    let Some(real) = interface.only_child(&spec::REAL_INTERFACE, context) else {
        // A virtual_interface was answered "not yet": nothing is missing then.
        if !interface.child_tags().any(|child| child.has_tag_name("virtual_interface")) {
            interface.report_missing_child("real_interface", context);
        }
        return Vec::new();
    };
    let children = real.children(&spec::VIRTUAL_ADDR, context);
    if children.is_empty() {
        real.report_missing_child("virtual_addr", context);
    }
    children.iter().filter_map(|element| address(element, cluster, found, context)).collect()
}

fn address(
    element: &Element,
    cluster: Option<&Cluster>,
    found: &mut Vec<IpAddr>,
    context: &mut Context,
) -> Option<VirtualAddr> {
    check_where(element, context);
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

fn check_where(element: &Element, context: &mut Context) {
    let Some(value) = element.require("where", context) else {
        return;
    };
    if value.text == "alias" {
        let message = "where=\"alias\" is for farm modules".to_owned();
        let help = "a mirror module has where=\"one_side_alias\"".to_owned();
        context.sink.error(Code::Conflict, value.span.clone(), message, Some(help));
    } else {
        element.choice("where", &[("one_side_alias", ())], context);
    }
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
