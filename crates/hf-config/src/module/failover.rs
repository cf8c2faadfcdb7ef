//! `<failover>` (reference 004, 13.18): the module's rules, with those that checkers and Holdfast bring.

use std::collections::BTreeSet;
use std::ops::Range;

use hf_rules::{Action, Kind, Known, Origin, Problem, RuleSet, parse};
use hf_types::catalogue::Class;

use crate::check_model::{Check, CheckAction, Failover, Reaction, When};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use crate::model::Service;
use crate::module::roles;
use crate::module::rules_text::RulesText;
use crate::spec::{self, Form};
use crate::values::shown;

/// The default rules, for reading (SAFE/private/conf/include/failover.xml) and in force.
pub const FAILOVER_XML: &str = include_str!("../../include/failover.xml");
/// What Holdfast decides about replicated data, in the words of rules, for reading (SAFE/private/conf/include/rfs.xml).
pub const RFS_XML: &str = include_str!("../../include/rfs.xml");

/// `period` and `handle_time` with `reaction="fast"`, where the file says nothing else.
const FAST_MS: u64 = 500;

/// Labels of decisions that are no rules (docs/design: the rules engine looks at resources, these look at more).
pub(crate) const RESERVED: [&str; 5] =
    ["notuptodate_server", "degraded_server", "rfs_syncat_wait", "rfs_forceuptodate", "Implicit_WAKEUP"];

/// Reads `<failover>`. `makes`: what the rest of the configuration makes, beside the checkers.
pub(super) fn read(
    service: &Element,
    settings: &Service,
    check: &Check,
    makes: Known,
    source: &str,
    context: &mut Context,
) -> Failover {
    let reaction = settings.reaction;
    let known = Known { reserved: RESERVED.map(str::to_owned).into(), ..makes };
    let Some(tag) = service.only_child(&spec::FAILOVER, context) else {
        let default = |name| default_ms(name, reaction);
        let (period_ms, handle_time_ms) = (default("period"), default("handle_time"));
        let rules = joined(Vec::new(), check, true, handle_time_ms);
        warn_idle_checkers(service, check, &rules, context);
        return Failover { extends: true, period_ms, handle_time_ms, rules };
    };
    let extends = tag.one_of("extends", &[("yes", true), ("no", false)], context);
    let period_ms = tag.duration_or("period", default_ms("period", reaction), context);
    let handle_time_ms = tag.duration_or("handle_time", default_ms("handle_time", reaction), context);
    check_times(&tag, period_ms, handle_time_ms, context);
    let text = RulesText::of(&tag, source, context);
    let parsed = parse(text.as_str());
    let mut problems = parsed.problems;
    problems.extend(hf_rules::check(&parsed.rules, &known));
    for problem in problems {
        report(&problem, text.place(&problem.span), context);
    }
    roles::check_rules(settings.mode, &parsed.rules, |span| text.place(span), context);
    let rules = joined(parsed.rules, check, extends, handle_time_ms);
    warn_idle_checkers(service, check, &rules, context);
    Failover { extends, period_ms, handle_time_ms, rules }
}

fn default_ms(name: &str, reaction: Reaction) -> u64 {
    match (reaction, spec::FAILOVER.attribute(name).map(|attribute| attribute.form)) {
        (Reaction::Normal, Some(Form::Duration { default, .. })) => default,
        _ => FAST_MS,
    }
}

/// `handle_time` is counted in periods (reference 004, 13.18.3).
fn check_times(tag: &Element, period_ms: u64, handle_time_ms: u64, context: &mut Context) {
    if period_ms == 0 || handle_time_ms.is_multiple_of(period_ms) {
        return;
    }
    let (period, handle_time) = (shown(period_ms), shown(handle_time_ms));
    let place = tag.get("handle_time").or(tag.get("period")).map_or(tag.span(), |value| value.span.clone());
    let message = format!("handle_time ({handle_time}) must be a multiple of period ({period})");
    let (below, above) = (handle_time_ms / period_ms * period_ms, (handle_time_ms / period_ms + 1) * period_ms);
    let help = match below {
        0 => format!("handle_time=\"{above}\""),
        below => format!("handle_time=\"{below}\" or handle_time=\"{above}\""),
    };
    context.sink.error(Code::Conflict, place, message, Some(help));
}

fn report(problem: &Problem, span: Range<usize>, context: &mut Context) {
    let code = match problem.kind {
        Kind::Syntax => Code::BadRule,
        Kind::Limit => Code::Limit,
        Kind::Duplicate => Code::Duplicate,
        Kind::UnknownResource => Code::UnknownResource,
        Kind::Conflict => Code::Conflict,
        Kind::Doubtful => {
            context.sink.warning(Code::UnknownResource, span, problem.message.clone(), problem.help.clone());
            return;
        }
    };
    context.sink.error(code, span, problem.message.clone(), problem.help.clone());
}

/// The module's own rules, those of `action=`, and the default rules: of two with one label the first counts.
fn joined(own: Vec<hf_rules::Rule>, check: &Check, extends: bool, handle_time_ms: u64) -> RuleSet {
    let mut rules = RuleSet::new(handle_time_ms);
    own.into_iter().for_each(|rule| rules.add(Origin::Own, rule));
    let mut settle = |prefix: &str, class, ident: &str, action: Option<CheckAction>| {
        if let Some(action) = action {
            rules.settle(format!("{prefix}_{ident}"), class, ident, action.rule());
        }
    };
    check.custom.iter().for_each(|one| settle("c", Class::Custom, &one.ident, one.action));
    check.tcp.iter().for_each(|one| settle("t", Class::Tcp, &one.ident, one.action));
    check.http.iter().for_each(|one| settle("h", Class::Http, &one.ident, one.action));
    check.disk.iter().for_each(|one| settle("d", Class::Disk, &one.ident, one.action));
    check.ping.iter().for_each(|one| settle("p", Class::Ping, &one.ident, one.action));
    if extends {
        defaults().into_iter().for_each(|rule| rules.add(Origin::Default, rule));
    }
    rules
}

fn defaults() -> Vec<hf_rules::Rule> {
    parse(inside(FAILOVER_XML)).rules
}

/// The text of a file that we made.
fn inside(xml: &str) -> &str {
    let text = xml.split_once("<![CDATA[").map_or("", |(_, rest)| rest);
    text.split_once("]]>").map_or(text, |(text, _)| text)
}

/// A checker that no rule looks at changes nothing, which is seldom meant (reference 004, 13.15.3).
fn warn_idle_checkers(service: &Element, check: &Check, rules: &RuleSet, context: &mut Context) {
    let mut named = BTreeSet::new();
    for (origin, rule) in rules.iter() {
        rule.condition.references(&mut |reference| {
            named.extend(reference.name());
            if reference.name().is_none() && origin == Origin::Own {
                named.insert(reference.class.as_str().to_owned());
            }
        });
    }
    let unseen = |resource: &str, class: &str| !named.contains(resource) && !named.contains(class);
    let custom = check.custom.iter().map(|one| ("custom", &one.ident, one.when, one.action, "restart"));
    let disk = check.disk.iter().map(|one| ("disk", &one.ident, one.when, one.action, "stopstart"));
    for (tag, ident, when, action, usual) in custom.chain(disk) {
        let resource = format!("{tag}.{ident}");
        if action.is_some() || !unseen(&resource, tag) {
            continue;
        }
        let message = format!("nothing is done when {resource} is down");
        let action = if when == When::Pre { "wait" } else { usual };
        let help =
            format!("action=\"{action}\" in <{tag}>, or a rule: label: if ({resource} == down) then {action}();");
        context.sink.warning(Code::NoEffect, service.place_of(tag, ident), message, Some(help));
    }
    let tcp = check.tcp.iter().map(|one| ("tcp", &one.ident, one.when, one.action));
    let http = check.http.iter().map(|one| ("http", &one.ident, one.when, one.action));
    for (tag, ident, when, action) in tcp.chain(http) {
        let resource = format!("{tag}.{ident}");
        if when != When::Pre || action.is_some() || !unseen(&resource, tag) {
            continue;
        }
        let message = format!("when {resource} is down, the rule {tag}_failure restarts the application here");
        let help = format!(
            "to wait for it: action=\"wait\" in <{tag}>, or a rule: label: if ({resource} == down) then wait();"
        );
        context.sink.warning(Code::NoEffect, service.place_of(tag, ident), message, Some(help));
    }
}

impl CheckAction {
    /// The action of the generated rule; none: nothing is done.
    fn rule(self) -> Option<Action> {
        match self {
            CheckAction::Restart => Some(Action::Restart),
            CheckAction::Stopstart => Some(Action::Stopstart),
            CheckAction::Stop => Some(Action::Stop),
            CheckAction::Wait => Some(Action::Wait),
            CheckAction::Swap => Some(Action::Swap),
            CheckAction::NoAction => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_that_come_with_holdfast_can_be_read() {
        for (xml, labels) in [(FAILOVER_XML, 7), (RFS_XML, 4)] {
            let parsed = parse(inside(xml));
            assert_eq!(parsed.problems, []);
            assert_eq!(parsed.rules.len(), labels);
        }
        let rfs = parse(inside(RFS_XML)).rules;
        assert!(rfs.iter().all(|rule| RESERVED.contains(&rule.label.as_str())));
    }

    #[test]
    fn a_rule_with_the_label_of_a_default_rule_takes_its_place() {
        let own = parse("ping_failure: if (ping.r == down) then stopstart();").rules;
        let rules = joined(own, &Check::default(), true, 15_000);
        let found: Vec<(Origin, &str)> = rules.iter().map(|(origin, rule)| (origin, rule.action.as_str())).collect();
        assert_eq!(found.len(), 7);
        assert_eq!(found[0], (Origin::Own, "stopstart"));
        let alone = joined(Vec::new(), &Check::default(), false, 15_000);
        assert!(alone.is_empty());
    }
}
