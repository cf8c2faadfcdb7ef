//! The tags that only a farm has: who belongs to it, and how the traffic is shared (reference 004, 13.4 and 13.5).

use super::form::REQUIRED;
use super::{Attribute, Form, Spec, Standing::Served};

pub(super) static TAGS: [&Spec; 9] =
    [&FARM, &FARM_LAN, &FARM_NODE, &VIRTUAL_INTERFACE, &LOADBALANCING_LIST, &GROUP, &GROUP_CLUSTER, &HOST, &RULE];

/// What the pages say of all these tags.
pub(super) const LATER: &str =
    "Accepted and checked, not applied yet: each node runs the application, and no address is set.";

/// Whether nobody acts on the tag yet: its attributes are read and checked.
pub(super) fn comes_later(spec: &Spec) -> bool {
    TAGS.iter().any(|known| std::ptr::eq(*known, spec))
}

pub(crate) static FARM: Spec = Spec {
    tag: "farm",
    attributes: &[
        Attribute::served("port", Form::port("4803 + 3 (id - 1)")),
        // The reference gives no default for these three; ours notice a silent node after 2 s.
        Attribute::served("pulse", Form::milliseconds(10, 60_000, 500)),
        Attribute::served("mlost_count", Form::number("periods", 2, 1_000, 4)),
        Attribute::served("slost_count", Form::number("periods", 2, 1_000, 4)),
    ],
    children: &[("lan", Served)],
};

pub(crate) static FARM_LAN: Spec = Spec {
    tag: "lan",
    attributes: &[Attribute::served(
        "name",
        Form::text("a network of cluster.xml", "required, except before version 7.2"),
    )],
    children: &[("node", Served)],
};

pub(crate) static FARM_NODE: Spec = Spec {
    tag: "node",
    attributes: &[
        Attribute::served("name", Form::text("name of the node", REQUIRED)),
        Attribute::served("addr", Form::text("address of the node in cluster.xml", REQUIRED)),
    ],
    children: &[],
};

pub(crate) static VIRTUAL_INTERFACE: Spec = Spec {
    tag: "virtual_interface",
    attributes: &[
        // The reference gives no default; this one works in every network.
        Attribute::served("type", Form::words(&["vmac_directed", "vmac_invisible"], "vmac_directed")),
        Attribute::served(
            "addr",
            Form::text("unicast MAC address, `vmac_invisible` only", "`5a:fe` and the first IPv4 address"),
        ),
    ],
    children: &[("virtual_addr", Served)],
};

pub(crate) static LOADBALANCING_LIST: Spec =
    Spec { tag: "loadbalancing_list", attributes: &[], children: &[("group", Served)] };

pub(crate) static GROUP: Spec = Spec {
    tag: "group",
    attributes: &[Attribute::served("name", Form::text("the resource is `farm.name`", REQUIRED))],
    children: &[("cluster", Served), ("rule", Served)],
};

pub(crate) static GROUP_CLUSTER: Spec = Spec { tag: "cluster", attributes: &[], children: &[("host", Served)] };

pub(crate) static HOST: Spec = Spec {
    tag: "host",
    attributes: &[
        Attribute::served("name", Form::text("name of a node", REQUIRED)),
        Attribute::served("power", Form::number("weight; 0: no traffic", 0, 1_000, 1)),
    ],
    children: &[],
};

pub(crate) static RULE: Spec = Spec {
    tag: "rule",
    attributes: &[
        Attribute::served("virtual_addr", Form::text("`*`, or one of the virtual addresses", "`*`")),
        Attribute::served("port", Form::text("`*`, or a port from 1 to 65535", "`*`")),
        Attribute::served("proto", Form::Words { words: &["udp", "tcp", "arp"], default: None }),
        Attribute::served("filter", Form::Words { words: &["on_addr", "on_port", "on_ipid"], default: None }),
    ],
    children: &[],
};
