//! Which tags and attributes there are: the reference's grammar (004, chapters 12 and 13) as tables.
//!
//! A name that stands here with another standing than [`Standing::Served`] is valid in the reference; what isn't here
//! is unknown.

/// What this version does with a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Read and used.
    Served,
    /// Refused as "not yet"; the text says what it would do, as in "... isn't served yet: {text}".
    NotYet(&'static str),
    /// An attribute that may only have its default value, which is how this version behaves anyway.
    OnlyDefault(&'static str),
    /// An attribute that only Windows uses: accepted with a note.
    Windows,
}

use Standing::{NotYet, OnlyDefault, Served, Windows};

type Names = &'static [(&'static str, Standing)];

/// One tag.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) tag: &'static str,
    pub(crate) attributes: Names,
    pub(crate) children: Names,
}

const OLD_SERVERS: Standing = NotYet("the syntax from before version 7.2; give the network's name instead");

pub(crate) static CLUSTER: Spec = Spec { tag: "cluster", attributes: &[], children: &[("lans", Served)] };

pub(crate) static LANS: Spec = Spec {
    tag: "lans",
    attributes: &[("port", Served), ("pulse", Served), ("mlost_count", Served), ("slost_count", Served)],
    children: &[("lan", Served)],
};

pub(crate) static CLUSTER_LAN: Spec = Spec {
    tag: "lan",
    attributes: &[("name", Served), ("console", Served), ("framework", Served), ("command", Served)],
    children: &[("node", Served)],
};

pub(crate) static NODE: Spec =
    Spec { tag: "node", attributes: &[("name", Served), ("addr", Served), ("laddr", Served)], children: &[] };

pub(crate) static SAFE: Spec =
    Spec { tag: "safe", attributes: &[], children: &[("macro", Served), ("service", Served)] };

pub(crate) static MACRO: Spec =
    Spec { tag: "macro", attributes: &[("name", Served), ("value", Served)], children: &[] };

pub(crate) static SERVICE: Spec = Spec {
    tag: "service",
    attributes: &[
        ("mode", Served),
        ("boot", Served),
        ("boot_delay", Served),
        ("failover", Served),
        ("defaultprim", Served),
        ("maxloop", Served),
        ("loop_interval", Served),
        ("automatic_reboot", Served),
    ],
    children: &[
        ("heart", Served),
        ("rfs", Served),
        ("vip", Served),
        ("user", Served),
        ("farm", NotYet("farm modules")),
        ("vhost", NotYet("virtual host names")),
        ("errd", NotYet("watching over the application's processes")),
        ("check", NotYet("checkers")),
        ("failover", NotYet("failover rules")),
    ],
};

pub(crate) static HEART: Spec = Spec {
    tag: "heart",
    attributes: &[("port", Served), ("pulse", Served), ("timeout", Served), ("permanent_arp", Served)],
    children: &[("heartbeat", Served)],
};

pub(crate) static HEARTBEAT: Spec = Spec {
    tag: "heartbeat",
    attributes: &[("name", Served), ("ident", Served), ("port", Served), ("pulse", Served), ("timeout", Served)],
    children: &[("server", OLD_SERVERS)],
};

pub(crate) static RFS: Spec = Spec {
    tag: "rfs",
    attributes: &[
        ("async", Served),
        ("mountoversuffix", Served),
        ("acl", Served),
        ("nbremconn", OnlyDefault("1")),
        ("nbrei", Served),
        ("sendtimeout", Served),
        ("locktimeout", Served),
        ("reitimeout", Served),
        ("retimeout", Served),
        ("reiallowedbw", Served),
        ("syncdelta", Served),
        ("packetsize", Served),
        ("reipacketsize", Served),
        ("ruzone_blocksize", Served),
        ("reidetail", Served),
        ("checktime", Served),
        ("checkintv", Served),
        ("reicommit", OnlyDefault("0")),
        ("scripts", OnlyDefault("off")),
        ("namespacepolicy", OnlyDefault("4")),
        ("syncat", NotYet("synchronisation by a schedule")),
        ("mountover", OnlyDefault("on")),
        ("iotimeout", Windows),
        ("roflags", Windows),
        ("allocthreshold", Windows),
        ("nfsbox_options", Windows),
    ],
    children: &[("replicated", Served), ("flow", Served)],
};

pub(crate) static FLOW: Spec =
    Spec { tag: "flow", attributes: &[("name", Served)], children: &[("server", OLD_SERVERS)] };

pub(crate) static REPLICATED: Spec = Spec {
    tag: "replicated",
    attributes: &[("dir", Served), ("mode", Served)],
    children: &[("tocheck", Served), ("notreplicated", NotYet("leaving files out of the replication"))],
};

pub(crate) static TOCHECK: Spec = Spec { tag: "tocheck", attributes: &[("path", Served)], children: &[] };

pub(crate) static VIP: Spec = Spec {
    tag: "vip",
    attributes: &[("tcpreset", Served)],
    children: &[("interface_list", Served), ("loadbalancing_list", NotYet("load balancing, for farm modules"))],
};

pub(crate) static INTERFACE_LIST: Spec =
    Spec { tag: "interface_list", attributes: &[], children: &[("interface", Served)] };

pub(crate) static INTERFACE: Spec = Spec {
    tag: "interface",
    attributes: &[
        ("name", Served),
        ("check", Served),
        ("arpreroute", Served),
        ("arpinterval", Served),
        ("arpelapse", Served),
    ],
    children: &[("real_interface", Served), ("virtual_interface", NotYet("virtual MAC addresses"))],
};

pub(crate) static REAL_INTERFACE: Spec =
    Spec { tag: "real_interface", attributes: &[], children: &[("virtual_addr", Served)] };

pub(crate) static VIRTUAL_ADDR: Spec = Spec {
    tag: "virtual_addr",
    attributes: &[
        ("addr", Served),
        ("where", Served),
        ("check", Served),
        ("connections", OnlyDefault("off")),
        ("netmask", Served),
    ],
    children: &[],
};

pub(crate) static USER: Spec = Spec {
    tag: "user",
    attributes: &[
        ("nicestoptimeout", Served),
        ("forcestoptimeout", Served),
        ("logging", Served),
        ("userlogsize", Served),
    ],
    children: &[("var", Served)],
};

pub(crate) static VAR: Spec = Spec { tag: "var", attributes: &[("name", Served), ("value", Served)], children: &[] };

static MODULE_TAGS: [&Spec; 16] = [
    &SAFE,
    &MACRO,
    &SERVICE,
    &HEART,
    &HEARTBEAT,
    &RFS,
    &FLOW,
    &REPLICATED,
    &TOCHECK,
    &VIP,
    &INTERFACE_LIST,
    &INTERFACE,
    &REAL_INTERFACE,
    &VIRTUAL_ADDR,
    &USER,
    &VAR,
];

static CLUSTER_TAGS: [&Spec; 4] = [&CLUSTER, &LANS, &CLUSTER_LAN, &NODE];

/// The tag that a child with this name belongs into, seen from the file that `near` is of.
pub(crate) fn proper_parent(child: &str, near: &Spec) -> Option<&'static str> {
    let family: &[&'static Spec] =
        if CLUSTER_TAGS.iter().any(|spec| std::ptr::eq(*spec, near)) { &CLUSTER_TAGS } else { &MODULE_TAGS };
    family.iter().find(|spec| spec.children.iter().any(|(name, _)| *name == child)).map(|spec| spec.tag)
}
