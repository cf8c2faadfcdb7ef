//! `addr` and `laddr` of a node: IPv4, IPv6, or a name (reference 004, 12.1.3).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Value;

/// A name of the DNS has at most so many characters.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
const REACHABLE: &str = "give the address under which the other nodes reach it";

/// What `addr` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name that is looked up when the configuration is applied, and again on demand.
    Name(String),
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }
}

/// As `cluster.xml` writes it: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// An address or a name of another machine.
pub(super) fn read_host(value: &Value, context: &mut Context) -> Option<Host> {
    if is_host_name(&value.text) && !is_this_machine(&value.text) {
        // The DNS makes no difference between capitals and small letters: neither may the signature.
        return Some(Host::Name(value.text.to_ascii_lowercase()));
    }
    read_address(value, context).map(Host::Ip)
}

/// An address of another machine.
pub(super) fn read_address(value: &Value, context: &mut Context) -> Option<IpAddr> {
    match address(value.name, &value.text) {
        Ok(address) => Some(address),
        Err(bad) => {
            context.sink.error(bad.code, value.span.clone(), bad.message, Some(bad.help.to_owned()));
            None
        }
    }
}

struct Bad {
    code: Code,
    message: String,
    help: &'static str,
}

fn address(name: &str, text: &str) -> Result<IpAddr, Bad> {
    let bad = |code, what: &str, help| Bad { code, message: format!("{name}=\"{text}\" {what}"), help };
    if is_this_machine(text) {
        return Err(bad(Code::BadAddress, "is this machine itself", REACHABLE));
    }
    let Some(address) = parse_address(text) else {
        let what = if name == "laddr" { "isn't an IP address" } else { "is neither an IP address nor a name" };
        return Err(bad(Code::BadValue, what, "such as 192.168.1.67, [2001:db8::7334] or node1.example.com"));
    };
    if address.is_loopback() {
        return Err(bad(Code::BadAddress, "is this machine itself", REACHABLE));
    }
    match address {
        IpAddr::V4(v4) if is_no_machine_v4(v4) => {
            Err(bad(Code::BadAddress, "isn't the address of one machine", REACHABLE))
        }
        IpAddr::V6(v6) if v6.is_multicast() || v6.is_unspecified() => {
            Err(bad(Code::BadAddress, "isn't the address of one machine", REACHABLE))
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let help = "give a global address, or a unique local one (fd00::/8)";
            Err(bad(Code::BadAddress, "is a link-local address, which says nothing without an interface", help))
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(bad(Code::BadAddress, "is an IPv4 address in the form of IPv6", "write it as IPv4: 192.168.1.67"))
        }
        address => Ok(address),
    }
}

pub(crate) fn is_no_machine_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0 || address.is_multicast() || address.octets()[0] >= 240
}

/// IPv6 with or without its brackets.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

fn is_this_machine(text: &str) -> bool {
    text.eq_ignore_ascii_case("localhost") || text == "[::1]" || text == "::1"
}

/// Labels of letters, digits and hyphens, one of them with a letter: 300.1.2.3 is a slip in an address, not a name. Underscores are
/// against the rules of the DNS and found in many a hosts file.
pub(crate) fn is_host_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.chars().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= NAME_MAX && text.contains(|c: char| c.is_ascii_alphabetic()) && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds() {
        for text in ["192.168.1.67", "[2001:db8::7334]", "2001:db8::7334", "[fd00::1]"] {
            assert!(address("addr", text).is_ok(), "{text}");
        }
        let refused = [
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "[fe80::1]",
            "[ff02::1]",
            "[::]",
            "[::ffff:10.0.0.1]",
            "[10.0.0.1]",
        ];
        for text in refused {
            assert!(address("addr", text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_slips() {
        for text in ["node1", "node1.mydomain.com", "1st.example", "a_b"] {
            assert!(is_host_name(text), "{text}");
        }
        for text in ["", "300.1.2.3", "a..b", "-a", "a-", "a b", ".a", "a.", "a/b", "[::1]"] {
            assert!(!is_host_name(text), "{text}");
        }
    }

    #[test]
    fn ipv6_is_written_in_brackets() {
        assert_eq!(Host::Ip(parse_address("2001:DB8::1").unwrap()).to_string(), "[2001:db8::1]");
    }
}
