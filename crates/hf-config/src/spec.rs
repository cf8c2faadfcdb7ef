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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const HEAD: &str = "# What is served of cluster.xml and userconfig.xml\n\nWritten from the tables of crates/hf-config \
        (`HOLDFAST_BLESS=1 cargo test -p hf-config`). What the attributes mean, their defaults and units: reference 004, \
        chapters 12 and 13. Every time takes a unit too: `700ms`, `30s`, `5m`, `24h`.\n\n\
        A name in no column is unknown and refused. \"Not yet\" is refused with these words; \"only\" means that the default \
        is accepted and every other value answered \"not yet\"; Windows-only attributes are accepted with a note. \
        `check=\"on\"` of `<interface>` and `<virtual_addr>` is accepted with a warning: checkers come later.\n";

    fn cell(names: Names, shown: impl Fn(&str, Standing) -> Option<String>) -> String {
        names.iter().filter_map(|(name, standing)| shown(name, *standing)).collect::<Vec<_>>().join(", ")
    }

    fn row(spec: &Spec) -> String {
        let served = |name: &str, standing| (standing == Served).then(|| name.to_owned());
        let later = |name: &str, standing| match standing {
            NotYet(_) => Some(name.to_owned()),
            OnlyDefault(default) => Some(format!("{name} (only {default})")),
            _ => None,
        };
        let windows = |name: &str, standing| (standing == Windows).then(|| name.to_owned());
        format!(
            "| `<{}>` | {} | {} | {} | {} | {} |\n",
            spec.tag,
            cell(spec.attributes, served),
            cell(spec.attributes, later),
            cell(spec.attributes, windows),
            cell(spec.children, served),
            cell(spec.children, later),
        )
    }

    fn table(title: &str, specs: &[&Spec]) -> String {
        let rows: String = specs.iter().map(|spec| row(spec)).collect();
        format!(
            "\n## {title}\n\n| tag | attributes | not yet | Windows | tags inside | not yet inside |\n\
             | --- | --- | --- | --- | --- | --- |\n{rows}"
        )
    }

    #[test]
    fn the_page_of_what_is_served_is_up_to_date() {
        let text = HEAD.to_owned() + &table("cluster.xml", &CLUSTER_TAGS) + &table("userconfig.xml", &MODULE_TAGS);
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/configuration.md");
        if std::env::var_os("HOLDFAST_BLESS").is_some() {
            fs::write(&page, &text).expect("the page can be written");
        }
        let found = fs::read_to_string(&page).expect("the page is there");
        assert_eq!(found, text, "run the test with HOLDFAST_BLESS=1");
    }

    #[test]
    fn every_served_child_has_a_table() {
        for spec in CLUSTER_TAGS.iter().chain(MODULE_TAGS.iter()) {
            for (child, standing) in spec.children {
                let mut all = CLUSTER_TAGS.iter().chain(MODULE_TAGS.iter());
                assert!(*standing != Served || all.any(|other| other.tag == *child), "{child}");
            }
        }
    }
}
