//! The tags of `<check>`, `<errd>` and `<failover>` (reference 004, 13.9 to 13.18).

use super::Standing::{OnlyDefault, Served};
use super::form::REQUIRED;
use super::{Attribute, Form, Spec};

pub(super) static TAGS: [&Spec; 19] = [
    &CHECK,
    &TCP,
    &TCP_TO,
    &PING,
    &PING_TO,
    &INTF,
    &INTF_TO,
    &IP,
    &IP_TO,
    &HTTP,
    &HTTP_TO,
    &DISK,
    &CUSTOM,
    &MODULE,
    &MODULE_TO,
    &SPLITBRAIN,
    &ERRD,
    &PROC,
    &FAILOVER,
];

/// The tag that a `<to>` lies in.
pub(super) fn home_of(spec: &Spec) -> Option<&'static str> {
    let homes: [(&Spec, &str); 6] = [
        (&HTTP_TO, "http"),
        (&TCP_TO, "tcp"),
        (&PING_TO, "ping"),
        (&INTF_TO, "intf"),
        (&IP_TO, "ip"),
        (&MODULE_TO, "module"),
    ];
    homes.into_iter().find(|(to, _)| std::ptr::eq(*to, spec)).map(|(_, home)| home)
}

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;
const IDENT: Form = Form::text("letters, digits, `.`, `_`, `-`, `:`", REQUIRED);
const TARGET: Form = Form::text("IPv4 or IPv6 address, or a name", REQUIRED);
const PATTERN: &str = "POSIX extended regular expression";

const fn ident() -> Attribute {
    Attribute::served("ident", IDENT).dynamic()
}

const fn when(words: &'static [&'static str], default: Option<&'static str>) -> Attribute {
    Attribute::served("when", Form::Words { words, default }).dynamic()
}

const fn action() -> Attribute {
    let form = Form::text("`restart`, `stopstart`, `stop`, `wait`, `swap`, `noaction`", "the failover rules decide");
    Attribute::served("action", form).dynamic()
}

/// From a tenth of a second to a day; a bare number means seconds.
const fn interval() -> Attribute {
    Attribute::served("interval", Form::seconds(100, DAY_MS, 10 * SECOND_MS)).dynamic()
}

const fn timeout() -> Attribute {
    Attribute::served("timeout", Form::seconds(100, 3_600_000, 5 * SECOND_MS)).dynamic()
}

pub(crate) static CHECK: Spec = Spec {
    tag: "check",
    attributes: &[],
    children: &[
        ("tcp", Served),
        ("ping", Served),
        ("intf", Served),
        ("ip", Served),
        ("http", Served),
        ("disk", Served),
        ("custom", Served),
        ("module", Served),
        ("splitbrain", Served),
    ],
};

pub(crate) static TCP: Spec = Spec {
    tag: "tcp",
    attributes: &[ident(), when(&["prim", "second", "both", "pre"], None), action()],
    children: &[("to", Served)],
};

pub(crate) static TCP_TO: Spec = Spec {
    tag: "to",
    attributes: &[
        Attribute::served("addr", TARGET).dynamic(),
        Attribute::served("port", Form::port(REQUIRED)).dynamic(),
        interval(),
        timeout(),
    ],
    children: &[],
};

pub(crate) static PING: Spec =
    Spec { tag: "ping", attributes: &[ident(), when(&["pre"], Some("pre")), action()], children: &[("to", Served)] };

pub(crate) static PING_TO: Spec = Spec {
    tag: "to",
    attributes: &[Attribute::served("addr", TARGET).dynamic(), interval(), timeout()],
    children: &[],
};

pub(crate) static INTF: Spec = Spec {
    tag: "intf",
    attributes: &[
        ident(),
        when(&["pre"], Some("pre")),
        Attribute::served("intf", Form::text("such as `eth0`", "the interface that has the address")).dynamic(),
    ],
    children: &[("to", Served)],
};

pub(crate) static INTF_TO: Spec = Spec {
    tag: "to",
    attributes: &[
        Attribute::served("local_addr", Form::text("IPv4 or IPv6 address of the interface", REQUIRED)).dynamic()
    ],
    children: &[],
};

pub(crate) static IP: Spec =
    Spec { tag: "ip", attributes: &[ident(), when(&["prim"], Some("prim"))], children: &[("to", Served)] };

pub(crate) static IP_TO: Spec =
    Spec { tag: "to", attributes: &[Attribute::served("addr", TARGET).dynamic(), interval()], children: &[] };

pub(crate) static HTTP: Spec = Spec {
    tag: "http",
    attributes: &[ident(), when(&["prim", "second", "both", "pre"], None), action()],
    children: &[("to", Served)],
};

pub(crate) static HTTP_TO: Spec = Spec {
    tag: "to",
    attributes: &[
        Attribute::served("url", Form::text("`http://` or `https://`, machine, `:port`, path", "`addr`")).dynamic(),
        Attribute::served("addr", Form::text("IPv4 or IPv6 address, or a name", "that of `url`")).dynamic(),
        Attribute::served("port", Form::port("`80`; `443` with TLS")).dynamic(),
        Attribute::served("path", Form::text("begins with `/`", "`/`")).dynamic(),
        Attribute::served("secure", Form::Switch(false)).dynamic(),
        Attribute::served("host", Form::text("name in the request and in the certificate", "the machine")).dynamic(),
        Attribute::served("status", Form::text("such as `200`, `200,204` or `200-399`", "`200-299`")).dynamic(),
        Attribute::served("body", Form::text("text that the answer has", "not looked at")).dynamic(),
        Attribute::served("bodyregex", Form::text(PATTERN, "not looked at")).dynamic(),
        Attribute::served("ca", Form::text("file with certificates (PEM)", "those of the machine")).dynamic(),
        Attribute::served("verify", Form::Switch(true)).dynamic(),
        interval(),
        timeout(),
    ],
    children: &[],
};

pub(crate) static DISK: Spec = Spec {
    tag: "disk",
    attributes: &[
        ident(),
        when(&["prim", "second", "both", "pre"], None),
        Attribute::served("dir", Form::text("absolute path of a directory", REQUIRED)).dynamic(),
        Attribute::served("free", Form::text("such as `5%`, `500M`, `10G`; `0`: not looked at", "`5%`")).dynamic(),
        Attribute::served("write", Form::Switch(true)).dynamic(),
        interval(),
        timeout(),
        action(),
    ],
    children: &[],
};

pub(crate) static CUSTOM: Spec = Spec {
    tag: "custom",
    attributes: &[
        ident(),
        when(&["pre", "prim", "second", "both"], None),
        Attribute::served("exec", Form::text("program; relative: in SAFEUSERBIN", REQUIRED)).dynamic(),
        Attribute::served("arg", Form::text("words; `\"...\"` keeps some together", "none")).dynamic(),
        action(),
    ],
    children: &[],
};

pub(crate) static MODULE: Spec = Spec {
    tag: "module",
    attributes: &[
        Attribute::served("name", Form::text("the module that is checked", REQUIRED)).dynamic(),
        Attribute::served("ident", Form::text("the resource is `module.ident`", "`name_addr`")).dynamic(),
        when(&["pre"], Some("pre")),
    ],
    children: &[("to", Served)],
};

pub(crate) static MODULE_TO: Spec = Spec {
    tag: "to",
    attributes: &[
        Attribute::served("addr", TARGET).dynamic(),
        Attribute::served("port", Form::number("port", 1, 65_535, 9_010)).dynamic(),
        interval(),
        timeout(),
        Attribute::new("secure", Form::Switch(false), OnlyDefault("asking by HTTPS, which no node answers yet"))
            .dynamic(),
    ],
    children: &[],
};

pub(crate) static SPLITBRAIN: Spec = Spec {
    tag: "splitbrain",
    attributes: &[
        ident(),
        when(&["pre"], Some("pre")),
        Attribute::served("exec", Form::words(&["ping"], "ping")).dynamic(),
        Attribute::served("arg", Form::text("addresses or names of witnesses, with blanks between them", REQUIRED))
            .dynamic(),
    ],
    children: &[],
};

pub(crate) static ERRD: Spec = Spec {
    tag: "errd",
    attributes: &[Attribute::served("polltimer", Form::seconds(SECOND_MS, DAY_MS, 30 * SECOND_MS)).dynamic()],
    children: &[("proc", Served)],
};

pub(crate) static PROC: Spec = Spec {
    tag: "proc",
    attributes: &[
        Attribute::served("name", Form::text("command name (at most 15 characters) or service", REQUIRED)).dynamic(),
        Attribute::served("service", Form::words(&["yes", "no"], "no")).dynamic(),
        Attribute::served("nameregex", Form::text(PATTERN, "the command is called `name`")).dynamic(),
        Attribute::served("argregex", Form::text(PATTERN, "any arguments")).dynamic(),
        Attribute::served("atleast", Form::text("processes; `-1`: not looked at", "`1`")).dynamic(),
        Attribute::served("atmax", Form::text("processes; `-1`: not looked at", "`-1`")).dynamic(),
        Attribute::served(
            "action",
            Form::text("`restart`, `stopstart`, `stop`, `noaction`, or a program of the module's own", "`stopstart`"),
        )
        .dynamic(),
        Attribute::served("class", Form::text("`prim`, `both`, `pre`, `second`, `sec`, or a name", REQUIRED)).dynamic(),
        Attribute::served("start_after", Form::number("polls", 0, 1_000_000, 0)).dynamic(),
        Attribute::served("restart_services", Form::text("services, with commas between them", "all")).dynamic(),
    ],
    children: &[],
};

pub(crate) static FAILOVER: Spec = Spec {
    tag: "failover",
    attributes: &[
        Attribute::served("extends", Form::words(&["yes", "no"], "yes")),
        Attribute::served("period", Form::milliseconds(100, 3_600_000, 5_000)),
        Attribute::served("handle_time", Form::milliseconds(0, DAY_MS, 15_000)),
    ],
    children: &[],
};
