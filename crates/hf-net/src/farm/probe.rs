//! Whether this kernel can do what a farm's configuration asks for.
//!
//! Each ability is tried with a small table that is made and removed in one batch, so that nothing of it is ever there.

use std::fmt;
use std::io;

use super::packet;
use super::spec::{Delivery, FarmSpec};
use crate::nft::{Base, Chain, Expr, Family, Field, Hook, Message, Nft, Ownership, Register, Rule, Table};

/// Something that the farm needs and this kernel doesn't have. Its text is a sentence that says what won't work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Nftables,
    Ingress,
    Egress,
    Forward,
    Arp,
    Drain,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Nftables => {
                "this kernel has no nf_tables: a farm's virtual addresses don't work; \
                 try `modprobe nf_tables`, or use a kernel with CONFIG_NF_TABLES"
            }
            Lack::Ingress => {
                "this kernel's nf_tables can't filter incoming frames by a hash: a farm's virtual addresses don't work; \
                 try `modprobe nft_hash`, or use a kernel with CONFIG_NF_TABLES_NETDEV and CONFIG_NFT_HASH"
            }
            Lack::Egress => {
                "this kernel can't change outgoing frames (nf_tables egress, from Linux 5.16 on): \
                 IPv6 virtual addresses don't work with type=\"vmac_invisible\"; use type=\"vmac_directed\" or a newer kernel"
            }
            Lack::Forward => {
                "this kernel's nf_tables can't forward frames: type=\"vmac_directed\" doesn't work; \
                 try `modprobe nft_fwd_netdev`, or use type=\"vmac_invisible\""
            }
            Lack::Arp => {
                "this kernel's nf_tables can't change ARP answers: IPv4 virtual addresses of a farm don't work; \
                 use a kernel with CONFIG_NF_TABLES_ARP"
            }
            Lack::Drain => {
                "this kernel's nf_tables doesn't know of connections: drain=\"on\" doesn't work; \
                 try `modprobe nft_ct nft_reject_inet`, or take drain away"
            }
        })
    }
}

/// What this kernel lacks for the farm, in the network namespace of the calling thread. Nothing is changed.
///
/// # Errors
/// When the kernel can't be asked: no root's rights, mostly.
pub fn lacks(spec: &FarmSpec) -> io::Result<Vec<Lack>> {
    let mut nft = match Nft::open() {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(vec![Lack::Nftables]),
        other => other?,
    };
    if !has(&mut nft, &Table::new(Family::Netdev, &name()))? {
        return Ok(vec![Lack::Nftables]);
    }
    let invisible = |delivery: &Delivery| matches!(delivery, Delivery::Invisible { .. });
    let with = |what: fn(&super::FarmInterface) -> bool| spec.interfaces.iter().any(what);
    let v6 = spec.interfaces.iter().any(|one| invisible(&one.delivery) && one.addresses.iter().any(|a| a.is_ipv6()));
    let needed = [
        (Lack::Ingress, true, ingress()),
        (Lack::Egress, v6, egress()),
        (Lack::Forward, with(|one| one.delivery == Delivery::Directed), forward()),
        (Lack::Arp, with(|one| one.addresses.iter().any(|address| address.is_ipv4())), arp()),
        (Lack::Drain, spec.groups.iter().any(|group| group.drain), drain()),
    ];
    let mut lacks = Vec::new();
    for (lack, _, table) in needed.into_iter().filter(|(_, needed, _)| *needed) {
        if !has(&mut nft, &table)? {
            lacks.push(lack);
        }
    }
    Ok(lacks)
}

fn has(nft: &mut Nft, table: &Table) -> io::Result<bool> {
    let mut messages = Message::create(table, Ownership::Anybodys);
    messages.push(Message::delete_table(table.family, &table.name));
    match nft.commit(&messages) {
        Ok(()) => Ok(true),
        Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => Err(error.source),
        Err(_) => Ok(false),
    }
}

/// No two processes at once try the same name.
fn name() -> String {
    format!("holdfast probe {}", std::process::id())
}

fn table(family: Family, hook: Option<(u32, bool)>, exprs: Vec<Expr>) -> Table {
    let mut table = Table::new(family, &name());
    let device = |on_lo: bool| on_lo.then(|| "lo".to_owned());
    let hook = hook.map(|(number, on_lo)| Hook { number, priority: 0, device: device(on_lo) });
    table.chains.insert("hook".to_owned(), Chain { hook, rules: Vec::new() });
    // Apart from the hook: no packet ever meets the rule.
    let rules = vec![Rule { comment: "probe".to_owned(), exprs }];
    table.chains.insert("rule".to_owned(), Chain { hook: None, rules });
    table
}

fn ingress() -> Table {
    let field = Field::new(Base::Network, 12, 4);
    let (from, to) = (Register::KEY, Register::WORK);
    let hash = Expr::Hash { from, len: 4, to, modulus: super::BUCKETS, seed: 1 };
    table(Family::Netdev, Some((Hook::NETDEV_INGRESS, true)), vec![Expr::Load { field, to: from }, hash])
}

fn egress() -> Table {
    table(Family::Netdev, Some((Hook::NETDEV_EGRESS, true)), Vec::new())
}

fn forward() -> Table {
    let immediate = |to| Expr::Immediate { to, value: vec![0; 4] };
    let (device, neighbour) = (Register::DEVICE, Register::WORK);
    let forward = Expr::Forward { device, neighbour, nfproto: libc::NFPROTO_IPV4 as u8 };
    // What is sent on is so from where frames arrive only.
    let mut table = table(Family::Netdev, Some((Hook::NETDEV_INGRESS, true)), Vec::new());
    let rules =
        vec![Rule { comment: "probe".to_owned(), exprs: vec![immediate(device), immediate(neighbour), forward] }];
    table.chains.insert("rule".to_owned(), Chain { hook: None, rules });
    table
}

fn arp() -> Table {
    let written = packet::overwrite(packet::ARP_SENDER_MAC, crate::MacAddr([0; 6]), None);
    table(Family::Arp, Some((Hook::ARP_OUTPUT, false)), written)
}

fn drain() -> Table {
    let exprs = vec![Expr::LoadConnectionState { to: Register::WORK }, Expr::RejectWithReset];
    table(Family::Inet, Some((Hook::INET_PREROUTING, false)), exprs)
}
