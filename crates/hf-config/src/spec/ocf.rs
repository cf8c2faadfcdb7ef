//! The tags of OCF resource agents, which the reference doesn't have (docs/user/ocf.md).

use super::Standing::Served;
use super::form::REQUIRED;
use super::{Attribute, Form, Spec};

pub(super) static TAGS: [&Spec; 2] = [&OCF, &PARAM];

const DAY_MS: u64 = 24 * 3_600_000;

/// 0: as the agent's own description says.
const fn time(name: &'static str) -> Attribute {
    Attribute::served(name, Form::seconds(0, DAY_MS, 0))
}

pub(crate) static OCF: Spec = Spec {
    tag: "ocf",
    attributes: &[
        Attribute::served("agent", Form::text("`provider:type`, such as `heartbeat:nginx`", REQUIRED)),
        Attribute::served("ident", Form::text("letters, digits, `.`, `_`, `-`", "the agent's type")),
        Attribute::served("when", Form::text("`prim`, `second`, `both`", "`prim`; in a light or farm module `both`")),
        time("interval"),
        time("timeout"),
        time("start_timeout"),
        time("stop_timeout"),
        Attribute::served(
            "action",
            Form::words(&["restart", "stopstart", "stop", "wait", "swap", "noaction"], "restart"),
        ),
    ],
    children: &[("param", Served)],
};

pub(crate) static PARAM: Spec = Spec {
    tag: "param",
    attributes: &[
        Attribute::served("name", Form::text("a parameter of the agent", REQUIRED)),
        Attribute::served("value", Form::text("its value", REQUIRED)),
    ],
    children: &[],
};
