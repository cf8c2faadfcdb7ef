//! What light and farm modules have no use for among checkers, processes and rules, because they have no primary and no secondary
//! (reference 004, 6.2). Accepted it would do nothing, and nobody would know.

use crate::check_model::{Check, CheckAction, Errd, When};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use hf_rules::{Action, Rule};
use hf_types::Mode;
use std::ops::Range;

/// Refuses checkers and processes that would never run, and actions that can't be.
pub(super) fn check(service: &Element, mode: Mode, check: &Check, errd: Option<&Errd>, context: &mut Context) {
    if mode == Mode::Mirror {
        return;
    }
    if let Some(splitbrain) = &check.splitbrain {
        let message = format!("a {mode} module has no <splitbrain>: it has no two sides of which one must wait");
        let help = "take it away; to wait while a machine doesn't answer: <ping>".to_owned();
        let place = place(service, "splitbrain", "ident", &splitbrain.ident, "ident");
        context.sink.error(Code::Conflict, place, message, Some(help));
    }
    for ip in check.ip.iter().filter(|_| mode == Mode::Light) {
        let message = "a light module has no <ip>: it has no virtual address".to_owned();
        let help = "put it into the mirror module that has the address".to_owned();
        context.sink.error(Code::Conflict, place(service, "ip", "ident", &ip.ident, "ident"), message, Some(help));
    }
    for (tag, ident, when, action) in checkers(check) {
        if let Some(word) = role(when) {
            let message = format!("a {mode} module is never {word}: {tag}.{ident} would never be looked at");
            let help = "when=\"both\": from start_both to stop_both; when=\"pre\": always".to_owned();
            context.sink.error(Code::Conflict, place(service, tag, "ident", ident, "when"), message, Some(help));
        }
        if action == Some(CheckAction::Swap) {
            let place = place(service, tag, "ident", ident, "action");
            context.sink.error(Code::Conflict, place, no_swap(mode), Some(OTHER_ACTIONS.to_owned()));
        }
    }
    for proc in errd.iter().flat_map(|errd| &errd.procs) {
        if ["prim", "second", "sec"].contains(&proc.class.as_str()) {
            let message = format!("a {mode} module never enables the class {}: it has no such scripts", proc.class);
            let help = "class=\"both\": from start_both to stop_both".to_owned();
            let place = place(service, "proc", "name", &proc.name, "class");
            context.sink.error(Code::Conflict, place, message, Some(help));
        }
    }
}

/// Refuses `swap()` in a module's own rules; `place` says where in the file a part of their text stands.
pub(super) fn check_rules(
    mode: Mode,
    rules: &[Rule],
    place: impl Fn(&Range<usize>) -> Range<usize>,
    context: &mut Context,
) {
    let swaps = rules.iter().filter(|rule| mode != Mode::Mirror && matches!(rule.action, Action::Swap));
    for rule in swaps {
        context.sink.error(Code::Conflict, place(&rule.place.into()), no_swap(mode), Some(OTHER_ACTIONS.to_owned()));
    }
}

const OTHER_ACTIONS: &str = "restart, stopstart, stop or wait";

fn no_swap(mode: Mode) -> String {
    format!("a {mode} module has no other side to change places with")
}

fn role(when: When) -> Option<&'static str> {
    match when {
        When::Prim => Some("primary"),
        When::Second => Some("secondary"),
        When::Pre | When::Both => None,
    }
}

/// Those that say when they run, or what follows.
fn checkers(check: &Check) -> Vec<(&'static str, &str, When, Option<CheckAction>)> {
    let mut all = Vec::new();
    all.extend(check.tcp.iter().map(|one| ("tcp", one.ident.as_str(), one.when, one.action)));
    all.extend(check.http.iter().map(|one| ("http", one.ident.as_str(), one.when, one.action)));
    all.extend(check.ping.iter().map(|one| ("ping", one.ident.as_str(), When::Pre, one.action)));
    all.extend(check.disk.iter().map(|one| ("disk", one.ident.as_str(), one.when, one.action)));
    all.extend(check.custom.iter().map(|one| ("custom", one.ident.as_str(), one.when, one.action)));
    all
}

/// Where `attribute` of the tag stands whose `key` is `name`.
fn place(service: &Element, tag: &str, key: &str, name: &str, attribute: &str) -> Range<usize> {
    let mut tags = service.descendants().filter(|node| node.has_tag_name(tag));
    let found = tags.find(|node| node.attribute(key) == Some(name));
    let found = found.and_then(|node| node.attribute_node(attribute));
    found.map_or(service.span(), |attribute| attribute.range_value())
}
