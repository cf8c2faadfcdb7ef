//! Failover rules: there is always an answer, and a rule that is understood is checked, too.

use super::{Target, answer, shape};
use hf_rules::{Facts, Side, parse, truth};
use hf_types::ResourceValue;
use hf_types::catalogue::Class;
use std::collections::BTreeSet;

pub(super) const RULES: Target = Target {
    name: "failover rules",
    examples: || {
        let text = "/* a */ a: if (tcp.? == down && !(remote.custom.x != up)) then restart(); // b
            b [handle_time=2s]: if (heartbeat.* == down || cluster() == down) then custom.y=up;";
        let shipped = include_str!("../../../hf-config/include/failover.xml");
        vec![text.as_bytes().to_vec(), shipped.as_bytes().to_vec()]
    },
    words: &[
        "a",
        ":",
        "if",
        "(",
        ")",
        "then",
        ";",
        "&&",
        "||",
        "!",
        "==",
        "!=",
        "up",
        "down",
        "init",
        "tcp.a",
        "custom.*",
        "heartbeat.?",
        "local.",
        "remote.",
        "cluster()",
        "stop()",
        "wait()",
        "stopstart()",
        "swap()",
        "restart()",
        "wakeup()",
        "rfs.uptodate=up",
        "[handle_time=",
        "]",
        "/*",
        "*/",
        "//",
        "\n",
        "99999999999999999999",
        "24h",
        "((((((((((",
        "!!!!!!!!!!",
        "é",
        "\u{0}",
    ],
    take: |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let parsed = parse(&text);
        for problem in &parsed.problems {
            assert!(text.get(problem.span.clone()).is_some(), "{:?} is no part of the text", problem.span);
        }
        let mut kinds = BTreeSet::new();
        for rule in &parsed.rules {
            truth(&rule.condition, &AllDown, &|_| false);
            kinds.insert(rule.action.as_str());
        }
        let said: BTreeSet<String> = parsed.problems.iter().map(|problem| shape(&problem.message)).collect();
        answer((kinds, said))
    },
};

/// One resource of each class, and it is down.
struct AllDown;

impl Facts for AllDown {
    fn value(&self, _: Side, _: &str) -> Option<ResourceValue> {
        Some(ResourceValue::Down)
    }

    fn of_class(&self, _: Side, _: Class) -> Vec<(String, ResourceValue)> {
        vec![("custom.a".to_owned(), ResourceValue::Down)]
    }

    fn cluster(&self) -> ResourceValue {
        ResourceValue::Up
    }
}
