//! The tags of userconfig.xml (reference 004, chapter 13).

use super::Standing::{Moot, Never, Served, Windows};
use super::form::REQUIRED;
use super::{Attribute, Form, Spec};

pub(super) static TAGS: [&Spec; 20] = [
    &SAFE,
    &MACRO,
    &SERVICE,
    &HEART,
    &HEARTBEAT,
    &SERVER,
    &RFS,
    &FLOW,
    &REPLICATED,
    &NOTREPLICATED,
    &TOCHECK,
    &VIP,
    &INTERFACE_LIST,
    &INTERFACE,
    &REAL_INTERFACE,
    &VIRTUAL_ADDR,
    &USER,
    &VAR,
    &VHOST,
    &VIRTUALHOSTNAME,
];

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;
const YEAR_MS: u64 = 365 * DAY_MS;
/// Smaller blocks than a page make no sense; larger ones than 64 MiB would be held in memory whole.
const PAGE: u64 = 4_096;
const LARGEST_PACKET: u64 = 64 << 20;

pub(crate) static SAFE: Spec =
    Spec { tag: "safe", attributes: &[], children: &[("macro", Served), ("service", Served)] };

pub(crate) static MACRO: Spec = Spec {
    tag: "macro",
    attributes: &[
        Attribute::served("name", Form::text("letters, digits, `_`", REQUIRED)),
        Attribute::served("value", Form::text("what `%name%` stands for in the rest of the file", REQUIRED)),
    ],
    children: &[],
};

pub(crate) static SERVICE: Spec = Spec {
    tag: "service",
    attributes: &[
        Attribute::served("mode", Form::Words { words: &["mirror", "farm", "light"], default: None }),
        Attribute::served("boot", Form::words(&["on", "off", "auto", "ignore"], "ignore")).dynamic(),
        Attribute::served("boot_delay", Form::seconds(0, DAY_MS, 0)),
        Attribute::served("failover", Form::Switch(true)),
        Attribute::served("defaultprim", Form::text("`alone`, `lastprim`, or the name of a node", "`alone`")),
        Attribute::served("maxloop", Form::number("restarts", 0, 1_000_000, 3)).dynamic(),
        Attribute::served(
            "loop_interval",
            Form::Duration { bare: crate::values::Unit::Hours, from: 0, to: YEAR_MS, default: DAY_MS },
        )
        .dynamic(),
        Attribute::served("automatic_reboot", Form::Switch(false)).dynamic(),
        Attribute::served("reaction", Form::words(&["normal", "fast"], "normal")),
    ],
    children: &[
        ("heart", Served),
        ("rfs", Served),
        ("vip", Served),
        ("user", Served),
        ("vhost", Served),
        ("ocf", Served),
        ("farm", Served),
        ("errd", Served),
        ("check", Served),
        ("failover", Served),
    ],
};

pub(crate) static HEART: Spec = Spec {
    tag: "heart",
    attributes: &[
        Attribute::served("port", Form::port("8888 + (id - 1)")).dynamic(),
        Attribute::served("pulse", Form::milliseconds(10, 60_000, 700)).dynamic(),
        Attribute::served("timeout", Form::milliseconds(100, 3_600_000, 30_000)).dynamic(),
        Attribute::served("permanent_arp", Form::Switch(true)).dynamic(),
    ],
    children: &[("heartbeat", Served)],
};

pub(crate) static HEARTBEAT: Spec = Spec {
    tag: "heartbeat",
    attributes: &[
        Attribute::served("name", Form::text("a network of cluster.xml", "required, except before version 7.2"))
            .dynamic(),
        Attribute::served("ident", Form::text("the resource is `heartbeat.ident`", "`name`")).dynamic(),
        Attribute::served("port", Form::port("that of `<heart>`")).dynamic(),
        Attribute::served("pulse", Form::milliseconds(10, 60_000, 700)).dynamic(),
        Attribute::served("timeout", Form::milliseconds(100, 3_600_000, 30_000)).dynamic(),
    ],
    children: &[("server", Served)],
};

pub(crate) static SERVER: Spec = Spec {
    tag: "server",
    attributes: &[Attribute::served("addr", Form::text("address of a node in cluster.xml", REQUIRED)).dynamic()],
    children: &[],
};

pub(crate) static RFS: Spec = Spec {
    tag: "rfs",
    attributes: &[
        Attribute::served("async", Form::words(&["second", "none"], "second")).dynamic(),
        Attribute::served(
            "mountoversuffix",
            Form::text("ends the backing directory's name", "`_For_SafeKit_Replication`"),
        ),
        Attribute::served("mountover", Form::Switch(true)),
        Attribute::served("acl", Form::Switch(false)),
        Attribute::served("nbremconn", Form::number("connections", 1, 64, 1)),
        Attribute::served("nbrei", Form::number("threads", 1, 64, 3)).dynamic(),
        Attribute::served("sendtimeout", Form::timeout_s(30)),
        Attribute::served("locktimeout", Form::timeout_s(100)),
        Attribute::served("reitimeout", Form::timeout_s(150)).dynamic(),
        Attribute::served("retimeout", Form::timeout_s(150)).dynamic(),
        Attribute::served("reiallowedbw", Form::optional("KB/s (1000 bytes)", 1, 1_000_000_000, "no limit")),
        Attribute::served(
            "syncdelta",
            Form::Duration { bare: crate::values::Unit::Minutes, from: 0, to: YEAR_MS, default: 0 },
        ),
        Attribute::new(
            "packetsize",
            Form::optional("bytes", PAGE, LARGEST_PACKET, "no limit"),
            Moot("there is no NFS between the nodes, and a packet is as large as the write"),
        ),
        Attribute::new(
            "reipacketsize",
            Form::optional("bytes", PAGE, LARGEST_PACKET, "8388608, or `packetsize` if that is less"),
            Moot(BLOCKS),
        ),
        Attribute::new(
            "ruzone_blocksize",
            Form::optional("bytes, a multiple of `reipacketsize`", PAGE, 1 << 30, "`reipacketsize`"),
            Moot(BLOCKS),
        ),
        Attribute::new(
            "namespacepolicy",
            Form::words(&["0", "1", "3", "4"], "4"),
            Moot("both copies are compared by content, and only what differs travels"),
        ),
        Attribute::new(
            "reicommit",
            Form::number("blocks", 0, 1_000_000, 0),
            Moot("what a synchronisation brings is made durable every second"),
        ),
        Attribute::served("encryption", Form::Switch(true)),
        Attribute::served("reidetail", Form::Switch(false)).dynamic(),
        Attribute::served("checktime", Form::milliseconds(SECOND_MS, DAY_MS, 220_000)),
        Attribute::served("checkintv", Form::seconds(SECOND_MS, DAY_MS, 120_000)),
        Attribute::new("scripts", Form::Switch(false), Never(SCRIPTS)),
        Attribute::served(
            "syncat",
            Form::text(
                "minute, hour, day, month, weekday as in a crontab, or `@daily` ...",
                "replication in real time",
            ),
        ),
        Attribute::new("iotimeout", Form::text("seconds", "-"), Windows),
        Attribute::new("roflags", Form::text("`0x10`, `0x10000`", "-"), Windows),
        Attribute::new("allocthreshold", Form::text("GB", "-"), Windows),
        Attribute::new("nfsbox_options", Form::text("`cross`, `nocross`", "-"), Windows),
    ],
    children: &[("replicated", Served), ("flow", Served)],
};

const SCRIPTS: &str =
    "what other software replicates has no `<rfs>`: leave the tag out, and let start_prim and stop_prim do it";
const BLOCKS: &str = "a synchronisation chooses its blocks itself";

pub(crate) static FLOW: Spec = Spec {
    tag: "flow",
    attributes: &[Attribute::served(
        "name",
        Form::text("a network of cluster.xml", "required, except before version 7.2"),
    )
    .dynamic()],
    children: &[("server", Served)],
};

pub(crate) static REPLICATED: Spec = Spec {
    tag: "replicated",
    attributes: &[
        Attribute::served("dir", Form::text("absolute path of a directory", REQUIRED)),
        Attribute::served("mode", Form::words(&["read_only"], "read_only")),
    ],
    children: &[("tocheck", Served), ("notreplicated", Served)],
};

pub(crate) static NOTREPLICATED: Spec = Spec {
    tag: "notreplicated",
    attributes: &[
        Attribute::served("path", Form::text("path inside the replicated directory", "or `regexpath`")),
        Attribute::served(
            "regexpath",
            Form::text("POSIX extended regular expression of whole paths; `!` first: only these", "or `path`"),
        ),
        Attribute::served("regxpath", Form::text("the same", "-")),
    ],
    children: &[],
};

pub(crate) static TOCHECK: Spec = Spec {
    tag: "tocheck",
    attributes: &[Attribute::served("path", Form::text("path inside the replicated directory", REQUIRED))],
    children: &[],
};

pub(crate) static VIP: Spec = Spec {
    tag: "vip",
    attributes: &[Attribute::served("tcpreset", Form::Switch(true))],
    children: &[("interface_list", Served), ("loadbalancing_list", Served)],
};

pub(crate) static INTERFACE_LIST: Spec =
    Spec { tag: "interface_list", attributes: &[], children: &[("interface", Served)] };

pub(crate) static INTERFACE: Spec = Spec {
    tag: "interface",
    attributes: &[
        Attribute::served("name", Form::text("such as `bond0`", "the interface in the address' network")),
        Attribute::served("check", Form::Switch(true)),
        Attribute::served("arpreroute", Form::Switch(false)),
        Attribute::served("arpinterval", Form::seconds(SECOND_MS, DAY_MS, 60_000)),
        Attribute::served("arpelapse", Form::seconds(0, YEAR_MS, 1_200_000)),
    ],
    children: &[("real_interface", Served), ("virtual_interface", Served)],
};

pub(crate) static REAL_INTERFACE: Spec =
    Spec { tag: "real_interface", attributes: &[], children: &[("virtual_addr", Served)] };

pub(crate) static VIRTUAL_ADDR: Spec = Spec {
    tag: "virtual_addr",
    attributes: &[
        Attribute::served("addr", Form::text("the address that moves: IPv4, IPv6 or a name", REQUIRED)),
        Attribute::served("where", Form::text("`one_side_alias`; in a farm `alias`", "required; in a farm `alias`")),
        Attribute::served("check", Form::Switch(true)),
        Attribute::served("connections", Form::Switch(false)),
        Attribute::served("netmask", Form::text("`255.255.255.0` or `24`, IPv4 only", "`255.255.255.255`")),
    ],
    children: &[],
};

pub(crate) static USER: Spec = Spec {
    tag: "user",
    attributes: &[
        Attribute::served("nicestoptimeout", Form::timeout_s(300)).dynamic(),
        Attribute::served("forcestoptimeout", Form::timeout_s(300)).dynamic(),
        Attribute::served("logging", Form::words(&["userlog", "none"], "userlog")).dynamic(),
        Attribute::served("userlogsize", Form::number("KB (1024 bytes)", 1, 1 << 30, 2_048)).dynamic(),
    ],
    children: &[("var", Served)],
};

pub(crate) static VAR: Spec = Spec {
    tag: "var",
    attributes: &[
        Attribute::served("name", Form::text("environment variable of every script", REQUIRED)).dynamic(),
        Attribute::served("value", Form::text("its value", REQUIRED)).dynamic(),
    ],
    children: &[],
};

pub(crate) static VHOST: Spec = Spec { tag: "vhost", attributes: &[], children: &[("virtualhostname", Served)] };

pub(crate) static VIRTUALHOSTNAME: Spec = Spec {
    tag: "virtualhostname",
    attributes: &[
        Attribute::served("name", Form::text("host name that the application sees", REQUIRED)),
        Attribute::served("envfile", Form::text("file for the scripts; relative: in SAFEUSERBIN", REQUIRED)),
        Attribute::served("when", Form::words(&["prim", "second", "both"], "prim")),
    ],
    children: &[],
};
