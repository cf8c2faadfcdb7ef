//! The farm's tables, worked out of its specification: no socket, no clock, the same for the same input.
//!
//! ```text
//! netdev  in_0  (ingress)   questions for the address -> ask_*      who answers them
//!                           packets to the address    -> v4_0, v6_0 -> rule_*  whose they are
//!         out_0 (egress)    neighbour advertisements carry the virtual MAC
//! arp     out   (output)    ARP answers carry the virtual MAC, and go nowhere but out of the address's interface
//! inet    pre   (prerouting) with drain: established connections stay, whoever has the bucket now
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use super::packet::{Version, key_of, quoted_key_of};
use super::spec::{
    BUCKETS, Buckets, Delivery, FarmGroup, FarmInterface, FarmLoad, FarmRule, FarmSpec, Filter, GroupLoad, Protocol,
};
use crate::ethernet::MacAddr;
use crate::nft::{
    Chain, Comparison, Elements, Expr, Family, Field, Hook, Kind, Meta, Register, Rule, Set, Table, Verdict,
};

/// Before everything else that looks at incoming frames.
const INGRESS_PRIORITY: i32 = -300;
/// Behind connection tracking (-200), before address translation (-100).
const DRAIN_PRIORITY: i32 = -150;
/// How long the filter acts on the addresses without being renewed: longer than the addresses themselves ever live.
pub(crate) const FILTER_LIFETIME: Duration = Duration::from_secs(600);
const PACKET_HOST: u8 = 0;
/// Bits of `ct state`.
const CT_INVALID: u32 = 1;
const CT_KNOWN: u32 = 2 | 4;

/// The specification and the load don't fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    #[error(
        "drain=\"on\" in the group {group} works with type=\"vmac_invisible\" only: take it away, or change the type"
    )]
    DrainDirected { group: String },
    #[error("{node} is to get packets of {module} but has told no {kind} address on the interface {interface}")]
    NoNeighbour { node: String, module: String, interface: String, kind: &'static str },
    #[error("both {first} and {second} have bucket {bucket} of the group {group}")]
    TwoOwners { first: String, second: String, bucket: u8, group: String },
}

/// The interface that was found for each of [`FarmSpec::interfaces`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub name: String,
    pub index: u32,
}

/// One interface and IP version of the farm.
struct Side<'a> {
    spec: &'a FarmSpec,
    number: usize,
    interface: &'a FarmInterface,
    place: &'a Place,
    version: Version,
}

/// The name of a module's tables.
pub(crate) fn table_name(module: &str) -> String {
    format!("holdfast_{module}")
}

/// The set with this server's buckets of a group.
pub(crate) fn mine_name(group: usize) -> String {
    format!("mine_{group}")
}

/// All tables of a module.
pub(crate) fn tables(spec: &FarmSpec, places: &[Place], load: &FarmLoad) -> Result<Vec<Table>, PlanError> {
    check(spec, load)?;
    let name = table_name(&spec.module);
    let mut netdev = Table::new(Family::Netdev, &name);
    let mut arp = Table::new(Family::Arp, &name);
    let mut inet = Table::new(Family::Inet, &name);
    for (number, (interface, place)) in spec.interfaces.iter().zip(places).enumerate() {
        let mut entrance = Vec::new();
        for version in [Version::V4, Version::V6] {
            let side = Side { spec, number, interface, place, version };
            if side.addresses().next().is_some() {
                side.add_sets(load, &mut netdev)?;
                side.add_ingress(&mut entrance, &mut netdev.chains);
                side.add_answers(&mut netdev, &mut arp);
                side.add_drain(&mut inet);
            }
        }
        netdev
            .chains
            .insert(format!("in_{number}"), base(Hook::NETDEV_INGRESS, INGRESS_PRIORITY, Some(place), entrance));
    }
    add_groups(spec, load, &mut netdev.sets, false);
    let mut tables = vec![netdev];
    if !arp.chains.is_empty() {
        tables.push(arp);
    }
    if !inet.chains.is_empty() {
        add_groups(spec, load, &mut inet.sets, true);
        tables.push(inet);
    }
    Ok(tables)
}

fn check(spec: &FarmSpec, load: &FarmLoad) -> Result<(), PlanError> {
    let directed = spec.interfaces.iter().any(|interface| interface.delivery == Delivery::Directed);
    if let Some(group) = spec.groups.iter().find(|group| group.drain && directed) {
        return Err(PlanError::DrainDirected { group: group.name.clone() });
    }
    for (group, GroupLoad { owners, .. }) in &load.groups {
        let mut owner_of: BTreeMap<u8, &String> = BTreeMap::new();
        for (node, bucket) in owners.iter().flat_map(|(node, buckets)| buckets.iter().map(move |one| (node, one))) {
            if let Some(first) = owner_of.insert(bucket, node) {
                let (first, second, group) = (first.clone(), node.clone(), group.clone());
                return Err(PlanError::TwoOwners { first, second, bucket, group });
            }
        }
    }
    Ok(())
}

/// The sets of buckets, which are the same for all interfaces.
fn add_groups(spec: &FarmSpec, load: &FarmLoad, sets: &mut BTreeMap<String, Set>, draining: bool) {
    let loads = spec.groups.iter().map(|group| load.groups.get(&group.name).cloned().unwrap_or_default());
    for (number, (group, load)) in spec.groups.iter().zip(loads).enumerate() {
        if !draining || group.drain {
            sets.insert(mine_name(number), buckets_set(load.mine));
        }
        if draining && group.drain {
            sets.insert(format!("lost_{number}"), buckets_set(load.lost));
        }
    }
}

fn mark(bucket: u8) -> Vec<u8> {
    u32::from(bucket).to_ne_bytes().to_vec()
}

fn buckets_set(buckets: Buckets) -> Set {
    let elements = buckets.iter().map(|bucket| (mark(bucket), None)).collect();
    Set { key: Kind::Mark, data: None, size: Some(BUCKETS), lifetime: None, elements }
}

impl Side<'_> {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let version = self.version;
        self.interface.addresses.iter().copied().filter(move |address| Version::of(*address) == version)
    }

    /// `part_NUMBER`, with the version where both have it.
    fn name(&self, part: &str) -> String {
        format!("{part}{}_{}", self.version.digit(), self.number)
    }

    fn vips(&self) -> Set {
        let elements = self.addresses().map(|address| (octets(address), None)).collect();
        Set { key: self.version.kind(), data: None, size: None, lifetime: Some(FILTER_LIFETIME), elements }
    }

    fn vmac(&self) -> Option<MacAddr> {
        match self.interface.delivery {
            Delivery::Invisible { vmac } => Some(vmac),
            Delivery::Directed => None,
        }
    }

    fn add_sets(&self, load: &FarmLoad, table: &mut Table) -> Result<(), PlanError> {
        table.sets.insert(self.name("vip"), self.vips());
        if self.vmac().is_some() {
            return Ok(());
        }
        table.sets.insert(format!("peers_{}", self.number), self.peers(load));
        for (number, group) in self.spec.groups.iter().enumerate() {
            table.sets.insert(self.owners_name(number), self.owners(load, group)?);
        }
        Ok(())
    }

    fn owners_name(&self, group: usize) -> String {
        format!("owner{group}_{}", self.name(""))
    }

    fn peers(&self, load: &FarmLoad) -> Set {
        let stations = load.peers.values().filter_map(|stations| stations.get(self.number).copied().flatten());
        let elements = stations.map(|station| (station.mac.0.to_vec(), None)).collect();
        Set { key: Kind::Mac, data: None, size: None, lifetime: None, elements }
    }

    /// Bucket to neighbour.
    fn owners(&self, load: &FarmLoad, group: &FarmGroup) -> Result<Set, PlanError> {
        let mut elements = Elements::new();
        let owners = load.groups.get(&group.name).map(|load| load.owners.clone()).unwrap_or_default();
        for (node, buckets) in owners.iter().filter(|(_, buckets)| !buckets.is_empty()) {
            let station = load.peers.get(node).and_then(|stations| stations.get(self.number).copied().flatten());
            let neighbour = station.and_then(|station| match self.version {
                Version::V4 => station.ipv4.map(|address| address.octets().to_vec()),
                Version::V6 => station.ipv6.map(|address| address.octets().to_vec()),
            });
            let neighbour = neighbour.ok_or_else(|| PlanError::NoNeighbour {
                node: node.clone(),
                module: self.spec.module.clone(),
                interface: self.place.name.clone(),
                kind: self.version.name(),
            })?;
            elements.extend(buckets.iter().map(|bucket| (mark(bucket), Some(neighbour.clone()))));
        }
        let data = Some(self.version.kind());
        Ok(Set { key: Kind::Mark, data, size: Some(BUCKETS), lifetime: None, elements })
    }

    /// What the chain of arrival does with this version, and the chains that it leads to.
    fn add_ingress(&self, entrance: &mut Vec<Rule>, chains: &mut BTreeMap<String, Chain>) {
        let question = self.version.question(&self.name("vip"));
        if let (Some(vmac), Version::V4) = (self.vmac(), self.version) {
            // A client that asks again does so to the MAC that it knows. (IPv6 does, too, by a packet to the address.)
            let exprs = [is_for(vmac), question.clone(), to_host()].concat();
            entrance.push(rule("a repeated question is for this host", exprs));
        }
        for (rule_number, group, asked) in self.rules().filter(|(_, _, rule)| rule.protocol == Protocol::Arp) {
            let chain = format!("ask{rule_number}_{}", self.name(""));
            let asked = asked.address.map(|address| compare(self.version.asked_field(), octets(address)));
            let exprs = [question.clone(), asked.unwrap_or_default(), goto(&chain)].concat();
            entrance.push(rule("who answers whom", exprs));
            let key = key(self.version.asker_field());
            let exprs = [self.bucket(&key), lookup(&mine_name(group), true), verdict(Verdict::Drop)].concat();
            chains.insert(chain, Chain { hook: None, rules: vec![rule("another server answers", exprs)] });
        }
        let chain = self.name("v");
        entrance.push(rule("packets to the farm", [self.to_vip(), goto(&chain)].concat()));
        let packets = self.packets(chains);
        chains.insert(chain, Chain { hook: None, rules: packets });
    }

    /// The rules with their place among all and the number of their group.
    fn rules(&self) -> impl Iterator<Item = (usize, usize, &FarmRule)> {
        let groups = self.spec.groups.iter().enumerate();
        let all = groups.flat_map(|(group, spec)| spec.rules.iter().map(move |rule| (group, rule))).enumerate();
        let version = self.version;
        let fits = move |rule: &FarmRule| rule.address.is_none_or(|address| Version::of(address) == version);
        all.map(|(number, (group, rule))| (number, group, rule)).filter(move |(_, _, rule)| fits(rule))
    }

    fn to_vip(&self) -> Vec<Expr> {
        let protocol = self.version.ethertype().to_be_bytes().to_vec();
        let destination = load(self.version.destination());
        [meta(Meta::Protocol, protocol), destination, lookup(&self.name("vip"), false)].concat()
    }

    /// What is done with packets to the farm, in order.
    fn packets(&self, chains: &mut BTreeMap<String, Chain>) -> Vec<Rule> {
        let mut rules = vec![match self.vmac() {
            Some(vmac) => rule("frames to the virtual MAC are for this host", [is_for(vmac), to_host()].concat()),
            None => rule("seen by listening only", [not_for_host(), verdict(Verdict::Accept)].concat()),
        }];
        // Only the first fragment has ports. The others are of use to the one that took it, and of no harm elsewhere.
        let later = [self.version.later_fragment(), verdict(Verdict::Accept)].concat();
        rules.push(rule("fragments but the first", later));
        rules.extend(self.control(chains));
        for (number, group, wanted) in self.rules().filter(|(_, _, rule)| rule.protocol != Protocol::Arp) {
            let chain = format!("rule{number}_{}", self.name(""));
            let comment = format!("group {}", self.spec.groups[group].name);
            rules.push(rule(&comment, [self.fits(wanted), goto(&chain)].concat()));
            let drained = self.spec.groups[group].drain && wanted.protocol == Protocol::Tcp;
            let decision =
                if drained { Vec::new() } else { self.decision(group, &key_of(self.version, wanted.filter)) };
            chains.insert(chain, Chain { hook: None, rules: decision });
        }
        if !self.spec.groups.is_empty() {
            rules.extend(self.decision(0, &key_of(self.version, Filter::OnAddr)));
        }
        rules
    }

    /// Errors that routers report reach the connection that they are about; other ICMP but echo requests everybody.
    fn control(&self, chains: &mut BTreeMap<String, Chain>) -> Vec<Rule> {
        let mut rules = Vec::new();
        if self.vmac().is_none() && !self.spec.groups.is_empty() {
            let chain = self.name("quoted");
            for error in self.version.icmp_errors() {
                rules.push(rule("errors about a connection", [error, goto(&chain)].concat()));
            }
            let quoted = self.quoted(chains);
            chains.insert(chain, Chain { hook: None, rules: quoted });
        }
        rules.push(rule("ICMP but echo", [self.version.icmp_but_echo(), verdict(Verdict::Accept)].concat()));
        rules
    }

    fn quoted(&self, chains: &mut BTreeMap<String, Chain>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (number, group, wanted) in self.rules().filter(|(_, _, rule)| rule.protocol != Protocol::Arp) {
            let Some(key) = quoted_key_of(self.version, wanted.filter) else { continue };
            let chain = format!("quoted{number}_{}", self.name(""));
            let [protocol, source, port] = self.version.quoted();
            let mut exprs = compare(protocol, vec![protocol_number(wanted.protocol)]);
            exprs.extend(wanted.address.into_iter().flat_map(|address| compare(source, octets(address))));
            exprs.extend(wanted.port.into_iter().flat_map(|wanted| compare(port, wanted.to_be_bytes().to_vec())));
            rules.push(rule("errors of a group", [exprs, goto(&chain)].concat()));
            chains.insert(chain, Chain { hook: None, rules: self.decision(group, &key) });
        }
        rules
    }

    /// Whether a packet is what the rule is about.
    fn fits(&self, wanted: &FarmRule) -> Vec<Expr> {
        let mut exprs = meta(Meta::L4Proto, vec![protocol_number(wanted.protocol)]);
        exprs.extend(
            wanted
                .port
                .into_iter()
                .flat_map(|port| compare(Field::new(crate::nft::Base::Transport, 2, 2), port.to_be_bytes().to_vec())),
        );
        exprs.extend(wanted.address.into_iter().flat_map(|vip| compare(self.version.destination(), octets(vip))));
        exprs
    }

    /// Takes a packet, sends it on, or discards it. Behind the last rule it is taken.
    fn decision(&self, group: usize, key: &[Field]) -> Vec<Rule> {
        let bucket = self.bucket(key);
        let mine = |inverted| [bucket.clone(), lookup(&mine_name(group), inverted)].concat();
        if self.vmac().is_some() {
            return vec![rule("another server's", [mine(true), verdict(Verdict::Drop)].concat())];
        }
        let owner = Expr::Map { map: self.owners_name(group), key: Register::WORK, to: Register::WORK };
        let device = Expr::Immediate { to: Register::DEVICE, value: self.place.index.to_ne_bytes().to_vec() };
        let forward =
            Expr::Forward { device: Register::DEVICE, neighbour: Register::WORK, nfproto: self.version.nfproto() };
        let from_peer = [load(super::packet::LINK_SOURCE), lookup(&format!("peers_{}", self.number), false)].concat();
        vec![
            rule("this server's", [mine(false), verdict(Verdict::Accept)].concat()),
            rule("sent on once already", [from_peer, verdict(Verdict::Drop)].concat()),
            rule("another server's", [bucket.clone(), vec![owner, device, forward]].concat()),
            rule("nobody's", verdict(Verdict::Drop)),
        ]
    }

    fn bucket(&self, key: &[Field]) -> Vec<Expr> {
        let mut at = Register::KEY;
        let mut exprs = Vec::new();
        let mut len = 0;
        for field in key {
            exprs.push(Expr::Load { field: *field, to: at });
            let words = field.len.div_ceil(4);
            at = at.behind(words as u8);
            len += words * 4;
        }
        let (modulus, seed) = (BUCKETS, self.spec.seed);
        exprs.push(Expr::Hash { from: Register::KEY, len, to: Register::WORK, modulus, seed });
        exprs
    }

    /// Which MAC is given for the address.
    fn add_answers(&self, netdev: &mut Table, arp: &mut Table) {
        let vips = self.name("vip");
        if self.version == Version::V6 {
            if let Some(vmac) = self.vmac() {
                let rules = super::packet::neighbour_messages(&vips, vmac);
                let chain = base(Hook::NETDEV_EGRESS, 0, Some(self.place), rules);
                netdev.chains.insert(format!("out_{}", self.number), chain);
            }
            return;
        }
        arp.sets.insert(vips.clone(), self.vips());
        let sender = [load(super::packet::ARP_SENDER), lookup(&vips, false)].concat();
        let elsewhere = Expr::Compare {
            register: Register::WORK,
            how: Comparison::NotEqual,
            with: self.place.index.to_ne_bytes().to_vec(),
        };
        let elsewhere = [load_meta(Meta::OutInterface), vec![elsewhere]].concat();
        let exprs = [sender.clone(), elsewhere, verdict(Verdict::Drop)].concat();
        let mut rules = vec![rule("no answer from another interface", exprs)];
        if let Some(vmac) = self.vmac() {
            let written = super::packet::overwrite(super::packet::ARP_SENDER_MAC, vmac, None);
            rules.push(rule("the virtual MAC", [sender, written].concat()));
        }
        let out = arp.chains.entry("out".to_owned()).or_insert_with(|| base(Hook::ARP_OUTPUT, 0, None, Vec::new()));
        out.rules.extend(rules);
    }

    /// Behind connection tracking: who has a connection keeps it.
    fn add_drain(&self, inet: &mut Table) {
        let drained = |rule: &FarmRule, group: usize| rule.protocol == Protocol::Tcp && self.spec.groups[group].drain;
        let wanted: Vec<_> = self.rules().filter(|(_, group, rule)| drained(rule, *group)).collect();
        if wanted.is_empty() {
            return;
        }
        inet.sets.insert(self.name("vip"), self.vips());
        let arrival = meta(Meta::InInterface, self.place.index.to_ne_bytes().to_vec());
        let family = meta(Meta::NfProto, vec![self.version.nfproto()]);
        let destination = [load(self.version.destination()), lookup(&self.name("vip"), false)].concat();
        let chain = self.name("v");
        let enter = rule("packets to the farm", [arrival, family, destination, goto(&chain)].concat());
        let mut rules: Vec<Rule> = Vec::new();
        // As at the entrance, the first rule that fits counts, be it drained or not.
        for (number, group, wanted) in self.rules().filter(|(_, _, rule)| rule.protocol == Protocol::Tcp) {
            let next = format!("drain{number}_{}", self.name(""));
            rules.push(rule("group", [self.fits(wanted), goto(&next)].concat()));
            let drained = if drained(wanted, group) { self.drained(group, wanted) } else { Vec::new() };
            inet.chains.insert(next, Chain { hook: None, rules: drained });
        }
        inet.chains.insert(chain, Chain { hook: None, rules });
        let hook = || base(Hook::INET_PREROUTING, DRAIN_PRIORITY, None, Vec::new());
        inet.chains.entry("pre".to_owned()).or_insert_with(hook).rules.push(enter);
    }

    fn drained(&self, group: usize, wanted: &FarmRule) -> Vec<Rule> {
        let bucket = self.bucket(&key_of(self.version, wanted.filter));
        let lost = [bucket.clone(), lookup(&format!("lost_{group}"), false)].concat();
        let foreign = [bucket, lookup(&mine_name(group), true)].concat();
        vec![
            rule("known connections stay", [state(CT_KNOWN), verdict(Verdict::Accept)].concat()),
            rule("a dead server's connections end", [state(CT_INVALID), lost, vec![Expr::RejectWithReset]].concat()),
            rule("another server's connections", [state(CT_INVALID), verdict(Verdict::Drop)].concat()),
            rule("another server's", [foreign, verdict(Verdict::Drop)].concat()),
        ]
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP as u8,
        Protocol::Udp => libc::IPPROTO_UDP as u8,
        // Never asked for: rules about questions have chains of their own.
        Protocol::Arp => u8::MAX,
    }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn base(number: u32, priority: i32, place: Option<&Place>, rules: Vec<Rule>) -> Chain {
    let device = place.map(|place| place.name.clone());
    Chain { hook: Some(Hook { number, priority, device }), rules }
}

pub(super) fn rule(comment: &str, exprs: Vec<Expr>) -> Rule {
    Rule { comment: comment.to_owned(), exprs }
}

fn key(field: Field) -> [Field; 1] {
    [field]
}

pub(super) fn load(field: Field) -> Vec<Expr> {
    vec![Expr::Load { field, to: Register::WORK }]
}

fn load_meta(key: Meta) -> Vec<Expr> {
    vec![Expr::LoadMeta { key, to: Register::WORK }]
}

pub(super) fn compare(field: Field, with: Vec<u8>) -> Vec<Expr> {
    let compare = Expr::Compare { register: Register::WORK, how: Comparison::Equal, with };
    [load(field), vec![compare]].concat()
}

pub(super) fn meta(key: Meta, with: Vec<u8>) -> Vec<Expr> {
    let compare = Expr::Compare { register: Register::WORK, how: Comparison::Equal, with };
    [load_meta(key), vec![compare]].concat()
}

pub(super) fn lookup(set: &str, inverted: bool) -> Vec<Expr> {
    vec![Expr::Lookup { set: set.to_owned(), key: Register::WORK, inverted }]
}

fn goto(chain: &str) -> Vec<Expr> {
    verdict(Verdict::Goto(chain.to_owned()))
}

fn verdict(verdict: Verdict) -> Vec<Expr> {
    vec![Expr::Verdict(verdict)]
}

fn is_for(mac: MacAddr) -> Vec<Expr> {
    compare(super::packet::LINK_DESTINATION, mac.0.to_vec())
}

fn to_host() -> Vec<Expr> {
    let host = Expr::Immediate { to: Register::WORK, value: vec![PACKET_HOST] };
    vec![host, Expr::SetMeta { key: Meta::PacketType, from: Register::WORK }]
}

fn not_for_host() -> Vec<Expr> {
    let with = vec![PACKET_HOST];
    let other = Expr::Compare { register: Register::WORK, how: Comparison::NotEqual, with };
    [load_meta(Meta::PacketType), vec![other]].concat()
}

fn state(bits: u32) -> Vec<Expr> {
    let register = Register::WORK;
    vec![
        Expr::LoadConnectionState { to: register },
        Expr::And { register, mask: bits.to_ne_bytes().to_vec() },
        Expr::Compare { register, how: Comparison::NotEqual, with: vec![0; 4] },
    ]
}
