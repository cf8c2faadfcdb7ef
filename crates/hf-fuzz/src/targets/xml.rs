//! cluster.xml and userconfig.xml: whatever the text, there is a value, or errors that can be shown.

use super::{Target, answer, files, shape};
use hf_config::{Checked, check_cluster, check_module, parse_cluster};

const WORDS: &[&str] = &[
    "<",
    ">",
    "</",
    "/>",
    "=\"",
    "\"",
    "'",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE safe [<!ENTITY a \"aa\">]>",
    "&a;",
    "&amp;",
    "&#0;",
    "&#x10FFFF;",
    "%",
    "%A%",
    "<safe>",
    "<service mode=\"mirror\">",
    "<service mode=\"farm\">",
    "<service mode=\"light\"/>",
    "<macro name=\"A\" value=\"%A%%A%\"/>",
    "<heart>",
    "<heartbeat name=\"default\"/>",
    "<rfs>",
    "<replicated dir=\"/a\"/>",
    "<notreplicated regexpath=\"",
    "(.*)*",
    "[[:alpha:]]{1,99}",
    "<vip>",
    "<virtual_addr addr=\"10.0.0.9\" where=\"one_side_alias\"/>",
    "<check>",
    "<custom ident=\"a\" when=\"pre\" exec=\"b\"/>",
    "<tcp ident=\"",
    "<proc name=\"",
    "<failover>",
    "a: if (custom.a == down) then stop();",
    "syncat=\"* * * * *\"",
    " action=\"wait\"",
    "99999999999999999999",
    "-1",
    "24h",
    "8760h",
    "0ms",
    "[::1]",
    "255.255.255.255",
    "\u{0}",
    "\u{feff}",
    "é",
    "\u{1f980}",
    " ",
];

pub(super) const MODULE: Target = Target {
    name: "userconfig.xml",
    examples: || files("crates/hf-config/tests/cases/module", ".xml"),
    words: WORDS,
    take: |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let cluster = parse_cluster(include_str!("../../../hf-config/tests/cases/cluster/good.xml"), "c.xml").ok();
        let variable = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        settle(&check_module(&text, "u.xml", "m", cluster.as_ref(), &variable))
    },
};

pub(super) const CLUSTER: Target = Target {
    name: "cluster.xml",
    examples: || files("crates/hf-config/tests/cases/cluster", ".xml"),
    words: &[
        "<lan name=\"a\">",
        "<node name=\"a\" addr=\"10.0.0.1\"/>",
        "<lans port=\"",
        "framework=\"off\"",
        "laddr=\"",
        "[fd00::1]",
        "\"",
        ">",
        "/>",
        "</lan>",
        "é",
    ],
    take: |bytes| settle(&check_cluster(&String::from_utf8_lossy(bytes), "c.xml")),
};

fn settle<T>(checked: &Checked<T>) -> u64 {
    let diagnostics = &checked.diagnostics;
    assert_eq!(checked.value.is_none(), diagnostics.has_errors(), "a verdict without its reason:\n{diagnostics}");
    let shown = diagnostics.render(false);
    assert!(!shown.contains('\u{1b}'), "an escape sequence went through");
    diagnostics.render(true);
    // Lines and columns are not a new answer; which findings there are is.
    let mut said: Vec<_> = diagnostics.list.iter().map(|found| shape(&found.message)).collect();
    said.sort_unstable();
    said.dedup();
    answer((said, checked.value.is_some()))
}
