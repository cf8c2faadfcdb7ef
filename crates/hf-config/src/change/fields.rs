//! A configuration as a list of attributes with their values.
//!
//! Every struct is taken apart by name: who adds a field to the model is told by the compiler to say here which attribute it is.

use crate::check_model::Failover;
use crate::farm_model::{Farm, LoadGroup};
use crate::model::{
    DefaultPrim, Heart, Heartbeat, ModuleConfig, NotReplicated, Replicated, Rfs, Service, User, Variable, Vip,
    VipInterface, VirtualAddr, VirtualHostName,
};
use hf_rules::Origin;
use std::fmt::Debug;

/// In the place of an attribute: all that a tag holds.
pub(super) const WHOLE: &str = "content";

/// One attribute of one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) tag: &'static str,
    pub(super) which: String,
    pub(super) attribute: &'static str,
    pub(super) value: String,
}

impl Field {
    pub(super) fn is_same_as(&self, other: &Field) -> bool {
        (self.tag, &self.which, self.attribute) == (other.tag, &other.which, other.attribute)
    }
}

/// Collects the fields of one tag.
struct Tag<'a> {
    tag: &'static str,
    which: String,
    all: &'a mut Vec<Field>,
}

impl Tag<'_> {
    fn text(self, attribute: &'static str, value: impl ToString) -> Self {
        let (which, value) = (self.which.clone(), value.to_string());
        self.all.push(Field { tag: self.tag, which, attribute, value });
        self
    }

    fn switch(self, attribute: &'static str, on: bool) -> Self {
        self.text(attribute, if on { "on" } else { "off" })
    }

    fn ms(self, attribute: &'static str, ms: u64) -> Self {
        self.text(attribute, format!("{ms} ms"))
    }

    /// The word of an enum is the one that the file has.
    fn word(self, attribute: &'static str, word: impl Debug) -> Self {
        self.text(attribute, format!("{word:?}").to_lowercase())
    }

    fn optional(self, attribute: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(attribute, value),
            None => self,
        }
    }
}

fn tag<'a>(all: &'a mut Vec<Field>, tag: &'static str, which: impl ToString) -> Tag<'a> {
    Tag { tag, which: which.to_string(), all }
}

pub(super) fn fields(config: &ModuleConfig) -> Vec<Field> {
    let ModuleConfig {
        name: _,
        service: of_service,
        heart: of_heart,
        farm: of_farm,
        rfs: of_rfs,
        vip: of_vip,
        user,
        virtual_host_names,
        ocf,
        check,
        errd,
        failover,
    } = config;
    let mut all = Vec::new();
    service(&mut all, of_service);
    heart(&mut all, of_heart);
    of_farm.iter().for_each(|of_farm| farm(&mut all, of_farm));
    of_rfs.iter().for_each(|of_rfs| rfs(&mut all, of_rfs));
    of_vip.iter().for_each(|of_vip| vip(&mut all, of_vip));
    user.iter().for_each(|of_user| scripts(&mut all, of_user));
    for VirtualHostName { name, envfile, when } in virtual_host_names {
        tag(&mut all, "virtualhostname", name).text("name", name).text("envfile", envfile).word("when", when);
    }
    tag(&mut all, "ocf", "").text(WHOLE, format!("{ocf:?}"));
    for checker in check.checkers() {
        tag(&mut all, "check", checker.resource()).text(WHOLE, format!("{checker:?}"));
    }
    tag(&mut all, "errd", "").text(WHOLE, format!("{errd:?}"));
    rules(&mut all, failover);
    all
}

/// The module's own rules: where they stand in the file is no difference, and those of `action=` belong to `<check>`.
fn rules(all: &mut Vec<Field>, failover: &Failover) {
    let Failover { extends, period_ms, handle_time_ms, rules } = failover;
    let own = rules.iter().filter(|(origin, _)| *origin == Origin::Own).map(|(_, rule)| rule.to_string());
    tag(all, "failover", "")
        .text("extends", if *extends { "yes" } else { "no" })
        .ms("period", *period_ms)
        .ms("handle_time", *handle_time_ms)
        .text(WHOLE, own.collect::<Vec<_>>().join("\n"));
}

fn service(all: &mut Vec<Field>, service: &Service) {
    let Service {
        mode,
        boot,
        boot_delay_ms,
        failover,
        default_prim,
        max_loop,
        loop_interval_ms,
        automatic_reboot,
        reaction,
    } = service;
    let preferred = match default_prim {
        DefaultPrim::Alone => "alone",
        DefaultPrim::LastPrim => "lastprim",
        DefaultPrim::Node(node) => node,
    };
    tag(all, "service", "")
        .word("mode", mode)
        .word("boot", boot)
        .ms("boot_delay", *boot_delay_ms)
        .switch("failover", *failover)
        .text("defaultprim", preferred)
        .text("maxloop", max_loop)
        .ms("loop_interval", *loop_interval_ms)
        .switch("automatic_reboot", *automatic_reboot)
        .word("reaction", reaction);
}

fn heart(all: &mut Vec<Field>, heart: &Heart) {
    let Heart { port, permanent_arp, heartbeats } = heart;
    tag(all, "heart", "").optional("port", *port).switch("permanent_arp", *permanent_arp);
    for Heartbeat { lan, ident, port, pulse_ms, timeout_ms } in heartbeats {
        tag(all, "heartbeat", lan)
            .text("name", lan)
            .text("ident", ident)
            .optional("port", *port)
            .ms("pulse", *pulse_ms)
            .ms("timeout", *timeout_ms);
    }
    // The first one says which nodes are the pair, and carries the replication if no other is named for it.
    if let Some(first) = heartbeats.first() {
        tag(all, "heartbeat", "that comes first").text("name", &first.lan);
    }
}

fn farm(all: &mut Vec<Field>, farm: &Farm) {
    let Farm { port, pulse_ms, mlost_count, slost_count, lans } = farm;
    tag(all, "farm", "")
        .optional("port", *port)
        .ms("pulse", *pulse_ms)
        .text("mlost_count", mlost_count)
        .text("slost_count", slost_count)
        .text("lan", lans.join(", "));
}

fn rfs(all: &mut Vec<Field>, rfs: &Rfs) {
    let Rfs {
        async_mode,
        suffix,
        mount_over,
        acl,
        connections,
        reintegration_threads,
        send_timeout_ms,
        lock_timeout_ms,
        reintegration_timeout_ms,
        reintegration_bandwidth_kb_s,
        sync_delta_ms,
        packet_bytes,
        reintegration_packet_bytes,
        zone_bytes,
        namespace_policy,
        reintegration_commit_blocks,
        encryption,
        reintegration_detail,
        check_timeout_ms,
        check_interval_ms,
        scripts,
        sync_at,
        flow,
        replicated,
    } = rfs;
    tag(all, "rfs", "")
        .word("async", async_mode)
        .text("mountoversuffix", suffix)
        .switch("mountover", *mount_over)
        .switch("acl", *acl)
        .text("nbremconn", connections)
        .text("nbrei", reintegration_threads)
        .ms("sendtimeout", *send_timeout_ms)
        .ms("locktimeout", *lock_timeout_ms)
        .ms("reitimeout", *reintegration_timeout_ms)
        .optional("reiallowedbw", *reintegration_bandwidth_kb_s)
        .ms("syncdelta", sync_delta_ms.unwrap_or(0))
        .optional("packetsize", *packet_bytes)
        .text("reipacketsize", reintegration_packet_bytes)
        .text("ruzone_blocksize", zone_bytes)
        .text("namespacepolicy", namespace_policy)
        .text("reicommit", reintegration_commit_blocks)
        .switch("encryption", *encryption)
        .switch("reidetail", *reintegration_detail)
        .ms("checktime", *check_timeout_ms)
        .ms("checkintv", *check_interval_ms)
        .switch("scripts", *scripts)
        .optional("syncat", sync_at.as_ref());
    if let Some(flow) = flow {
        tag(all, "flow", "").text("name", flow);
    }
    replicated.iter().for_each(|one| directory(all, one));
}

fn directory(all: &mut Vec<Field>, replicated: &Replicated) {
    let Replicated { dir, read_only, to_check, not_replicated } = replicated;
    let mode = if *read_only { "read_only" } else { "none" };
    tag(all, "replicated", dir).text("dir", dir).text("mode", mode);
    for path in to_check {
        tag(all, "tocheck", format!("{path} in {dir}")).text("path", path);
    }
    for left_out in not_replicated {
        let (attribute, text) = match left_out {
            NotReplicated::Path(path) => ("path", path.clone()),
            NotReplicated::Pattern(pattern) => ("regexpath", pattern.clone()),
            NotReplicated::AllBut(pattern) => ("regexpath", format!("!{pattern}")),
        };
        tag(all, "notreplicated", format!("{text} in {dir}")).text(attribute, &text);
    }
}

fn vip(all: &mut Vec<Field>, vip: &Vip) {
    let Vip { tcp_reset, interfaces, groups } = vip;
    tag(all, "vip", "").switch("tcpreset", *tcp_reset);
    for interface in interfaces {
        let VipInterface { name, check, arp_reroute, arp_interval_ms, arp_elapse_ms, virtual_mac, addresses } =
            interface;
        let of = addresses.iter().map(|address| address.addr.to_string()).collect::<Vec<_>>().join(", ");
        tag(all, "interface", format!("of {of}"))
            .text("name", name.as_deref().unwrap_or("that of the network"))
            .switch("check", *check)
            .switch("arpreroute", *arp_reroute)
            .ms("arpinterval", *arp_interval_ms)
            .ms("arpelapse", *arp_elapse_ms);
        let place = if virtual_mac.is_some() { "alias" } else { "one_side_alias" };
        if let Some(mac) = virtual_mac {
            tag(all, "virtual_interface", format!("of {of}")).text("type", mac.kind()).optional("addr", mac.written());
        }
        for VirtualAddr { addr, name: _, prefix, check, connections } in addresses {
            tag(all, "virtual_addr", addr)
                .text("addr", addr)
                .text("where", place)
                .switch("check", *check)
                .switch("connections", *connections)
                .optional("netmask", *prefix);
        }
    }
    for LoadGroup { name, powers, rules } in groups {
        tag(all, "group", name).text(WHOLE, format!("{powers:?} {rules:?}"));
    }
}

fn scripts(all: &mut Vec<Field>, user: &User) {
    let User { nice_stop_timeout_ms, force_stop_timeout_ms, logging, userlog_kb, variables } = user;
    tag(all, "user", "")
        .ms("nicestoptimeout", *nice_stop_timeout_ms)
        .ms("forcestoptimeout", *force_stop_timeout_ms)
        .word("logging", logging)
        .text("userlogsize", userlog_kb);
    for Variable { name, value } in variables {
        tag(all, "var", name).text("name", name).text("value", value);
    }
}
