//! Tables as they are wanted, and the messages that make them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attr::Attributes;
use super::expr::{Expr, value};

/// The kind of packets that a table sees (NFPROTO_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    Arp = 3,
    /// Frames of one interface.
    Netdev = 5,
}

/// What a set's keys or a map's values are: decides only how `nft list` shows them (libnftables' numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4 = 7,
    Ipv6 = 8,
    Mac = 9,
    /// Four bytes of this machine's order.
    Mark = 19,
}

impl Kind {
    fn len(self) -> u32 {
        match self {
            Kind::Ipv4 | Kind::Mark => 4,
            Kind::Ipv6 => 16,
            Kind::Mac => 6,
        }
    }
}

/// A set's elements, or a map's with their values.
pub(crate) type Elements = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A set, or a map when it has `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub key: Kind,
    pub data: Option<Kind>,
    /// At most so many elements; lets the kernel take its quickest table.
    pub size: Option<u32>,
    /// The elements go by themselves unless they are renewed within this time.
    pub lifetime: Option<Duration>,
    pub elements: Elements,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    pub number: u32,
    pub priority: i32,
    /// For netdev.
    pub device: Option<String>,
}

/// The number of a hook in its family.
impl Hook {
    pub(crate) const NETDEV_INGRESS: u32 = 0;
    pub(crate) const NETDEV_EGRESS: u32 = 1;
    pub(crate) const ARP_OUTPUT: u32 = 1;
    pub(crate) const INET_PREROUTING: u32 = 0;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What `nft list` shows beside it.
    pub comment: String,
    pub exprs: Vec<Expr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    /// `None`: only for who jumps here.
    pub hook: Option<Hook>,
    pub rules: Vec<Rule>,
}

/// A table with everything in it. The order of chains and sets has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub family: Family,
    pub name: String,
    /// A note that the kernel keeps with the table and gives back.
    pub note: Vec<u8>,
    pub sets: BTreeMap<String, Set>,
    pub chains: BTreeMap<String, Chain>,
}

impl Table {
    pub(crate) fn new(family: Family, name: &str) -> Self {
        Self { family, name: name.to_owned(), note: Vec::new(), sets: BTreeMap::new(), chains: BTreeMap::new() }
    }
}

/// How a table is bound to the socket that made it (NFT_TABLE_F_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Only this socket may change it (`nft flush ruleset` passes it by); when the socket is closed, it becomes anybody's.
    OwnedAndPersistent = 2 | 4,
    /// Anybody's: kernels before 6.9 remove an owned table with its socket.
    Anybodys = 0,
}

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub kind: u16,
    pub flags: u16,
    pub family: Family,
    pub attributes: Attributes,
    /// For errors: what is asked for.
    pub what: String,
}

const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = CREATE | libc::NLM_F_APPEND as u16;
const CHAIN_TYPE: &str = "filter";
const POLICY_ACCEPT: u32 = 1;
/// A note that `nft list` needs to show such keys: type 0, length 4, BYTEORDER_HOST_ENDIAN.
#[cfg(target_endian = "little")]
const KEY_OF_THIS_MACHINES_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];
#[cfg(target_endian = "big")]
const KEY_OF_THIS_MACHINES_ORDER: [u8; 6] = [0, 4, 0, 0, 0, 1];
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;

impl Message {
    fn new(kind: i32, flags: u16, table: &Table, attributes: Attributes, what: String) -> Self {
        let what = format!("{what} of the table {}", table.name);
        Self { kind: kind as u16, flags, family: table.family, attributes, what }
    }

    /// Removes a table with everything in it.
    pub(crate) fn delete_table(family: Family, name: &str) -> Self {
        let attributes = Attributes::new().text(1, name);
        Self {
            kind: libc::NFT_MSG_DELTABLE as u16,
            flags: 0,
            family,
            attributes,
            what: format!("remove the table {name}"),
        }
    }

    /// The table with everything in it.
    pub(crate) fn create(table: &Table, ownership: Ownership) -> Vec<Self> {
        let mut messages = vec![table_message(table, ownership)];
        for (name, set) in &table.sets {
            messages.push(set_message(table, name, set));
        }
        // Rules name chains and sets, so these come first.
        messages.extend(table.chains.iter().map(|(name, chain)| chain_message(table, name, chain)));
        for (name, chain) in &table.chains {
            messages.extend(chain.rules.iter().map(|rule| rule_message(table, name, rule)));
        }
        for (name, set) in &table.sets {
            messages.extend(elements_message(table, name, set));
        }
        messages
    }

    /// Gives a set other elements, or the same ones a new life.
    pub(crate) fn refill(table: &Table, name: &str, set: &Set) -> Vec<Self> {
        let attributes = Attributes::new().text(1, &table.name).text(2, name);
        let flush = Self::new(libc::NFT_MSG_DELSETELEM, 0, table, attributes, format!("empty the set {name}"));
        std::iter::once(flush).chain(elements_message(table, name, set)).collect()
    }
}

fn table_message(table: &Table, ownership: Ownership) -> Message {
    let mut attributes = Attributes::new().text(1, &table.name).number(2, ownership as u32);
    if !table.note.is_empty() {
        attributes = attributes.bytes(6, &table.note);
    }
    Message::new(libc::NFT_MSG_NEWTABLE, CREATE, table, attributes, "make the head".into())
}

fn set_message(table: &Table, name: &str, set: &Set) -> Message {
    let map = if set.data.is_some() { SET_MAP } else { 0 };
    let timeout = if set.lifetime.is_some() { SET_TIMEOUT } else { 0 };
    let mut attributes = Attributes::new().text(1, &table.name).text(2, name).number(3, map | timeout);
    attributes = attributes.number(4, set.key as u32).number(5, set.key.len());
    if let Some(data) = set.data {
        attributes = attributes.number(6, data as u32).number(7, data.len());
    }
    if let Some(size) = set.size {
        attributes = attributes.nested(9, Attributes::new().number(1, size));
    }
    if set.key == Kind::Mark {
        attributes = attributes.bytes(13, &KEY_OF_THIS_MACHINES_ORDER);
    }
    // The kernel wants a number of the batch's own, though sets are found by name.
    let attributes = attributes.number(10, 1);
    Message::new(libc::NFT_MSG_NEWSET, CREATE, table, attributes, format!("make the set {name}"))
}

fn chain_message(table: &Table, name: &str, chain: &Chain) -> Message {
    let mut attributes = Attributes::new().text(1, &table.name).text(3, name);
    if let Some(hook) = &chain.hook {
        let mut place = Attributes::new().number(1, hook.number).number(2, hook.priority.cast_unsigned());
        if let Some(device) = &hook.device {
            place = place.text(3, device);
        }
        attributes = attributes.nested(4, place).number(5, POLICY_ACCEPT).text(7, CHAIN_TYPE);
    }
    Message::new(libc::NFT_MSG_NEWCHAIN, CREATE, table, attributes, format!("make the chain {name}"))
}

fn rule_message(table: &Table, chain: &str, rule: &Rule) -> Message {
    let list = rule.exprs.iter().fold(Attributes::new(), |list, expr| list.nested(1, expr.encode()));
    let attributes = Attributes::new().text(1, &table.name).text(2, chain).nested(4, list);
    let attributes = attributes.bytes(7, &comment(&rule.comment));
    let what = format!("add the rule {:?} to the chain {chain}", rule.comment);
    Message::new(libc::NFT_MSG_NEWRULE, APPEND, table, attributes, what)
}

/// As libnftnl writes it: type 0, length, text with its zero. The kernel keeps 256 bytes.
fn comment(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().filter(|byte| *byte != 0).take(120).chain([0]).collect();
    [&[0, text.len() as u8], &text[..]].concat()
}

fn elements_message(table: &Table, name: &str, set: &Set) -> Option<Message> {
    let list = set.elements.iter().fold(Attributes::new(), |list, (key, data)| {
        let mut element = Attributes::new().nested(1, value(key));
        if let Some(data) = data {
            element = element.nested(2, value(data));
        }
        if let Some(lifetime) = set.lifetime {
            element = element.long(4, lifetime.as_millis() as u64);
        }
        list.nested(1, element)
    });
    let attributes = Attributes::new().text(1, &table.name).text(2, name).nested(3, list);
    let what = format!("fill the set {name}");
    let full = || Message::new(libc::NFT_MSG_NEWSETELEM, CREATE, table, attributes, what);
    (!set.elements.is_empty()).then(full)
}
