//! The tags of cluster.xml (reference 004, chapter 12).

use super::form::REQUIRED;
use super::{
    Attribute, Form, Spec,
    Standing::{Later, Served},
};

pub(super) static TAGS: [&Spec; 4] = [&CLUSTER, &LANS, &CLUSTER_LAN, &NODE];

pub(crate) static CLUSTER: Spec = Spec { tag: "cluster", attributes: &[], children: &[("lans", Served)] };

pub(crate) static LANS: Spec = Spec {
    tag: "lans",
    attributes: &[
        Attribute::served("port", Form::number("port", 1, 65_535, 4_800)),
        // The reference gives no default for these three; ours notice a silent node after 3.5 s.
        Attribute::served("pulse", Form::milliseconds(10, 60_000, 700)),
        Attribute::served("mlost_count", Form::number("periods", 1, 1_000, 5)),
        Attribute::served("slost_count", Form::number("periods", 1, 1_000, 5)),
    ],
    children: &[("lan", Served)],
};

pub(crate) static CLUSTER_LAN: Spec = Spec {
    tag: "lan",
    attributes: &[
        Attribute::served("name", Form::text("name of the network", REQUIRED)),
        Attribute::new("console", Form::Switch(true), Later("there is no web console that would use it")),
        Attribute::served("framework", Form::Switch(true)),
        Attribute::new("command", Form::Switch(false), Later("commands act on the node where they are given")),
    ],
    children: &[("node", Served)],
};

pub(crate) static NODE: Spec = Spec {
    tag: "node",
    attributes: &[
        Attribute::served("name", Form::text("name of the node", REQUIRED)),
        Attribute::served("addr", Form::text("address as the other nodes see it", REQUIRED)),
        Attribute::served("laddr", Form::text("address on the node itself, behind address translation", "`addr`")),
    ],
    children: &[],
};
