//! `<ocf>`: OCF resource agents start, stop and check the application (docs/user/ocf.md).

use crate::check_model::{Check, CheckAction, CustomCheck, When};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::{OcfAgent, OcfClass};
use crate::spec;
use crate::values::is_name;
use hf_types::Mode;

/// More than any module has.
const AGENTS_MAX: usize = 50;
/// The checker that `config` makes for agents, in SAFEUSERBIN.
pub const MONITOR: &str = "ocf_monitor";

pub(super) fn read(service: &Element, mode: Mode, context: &mut Context) -> Vec<OcfAgent> {
    let mut agents: Vec<OcfAgent> = Vec::new();
    for tag in service.children(&spec::OCF, context) {
        let Some(agent) = agent(&tag, mode, context) else { continue };
        if agents.iter().any(|other| other.ident == agent.ident) {
            let message = format!("there is an agent with the ident {} already", agent.ident);
            let help = Some("give each <ocf> an ident of its own".to_owned());
            context.sink.error(Code::Duplicate, tag.span(), message, help);
        }
        agents.push(agent);
    }
    if agents.len() > AGENTS_MAX {
        let message = format!("there are more than {AGENTS_MAX} agents");
        context.sink.error(Code::Limit, service.span(), message, None);
    }
    agents
}

fn agent(tag: &Element, mode: Mode, context: &mut Context) -> Option<OcfAgent> {
    let name = tag.require("agent", context)?.clone();
    let (provider, kind) = provider_and_kind(&name, context)?;
    let ident = match tag.get("ident") {
        Some(_) => tag.require_name("ident", context)?.text,
        None => kind.clone(),
    };
    let actions = [
        ("restart", Some(CheckAction::Restart)),
        ("stopstart", Some(CheckAction::Stopstart)),
        ("stop", Some(CheckAction::Stop)),
        ("wait", Some(CheckAction::Wait)),
        ("swap", Some(CheckAction::Swap)),
        ("noaction", Some(CheckAction::NoAction)),
    ];
    Some(OcfAgent {
        ident,
        provider,
        kind,
        class: class(tag, mode, context),
        interval_ms: tag.duration("interval", context),
        timeout_ms: tag.duration("timeout", context),
        start_timeout_ms: tag.duration("start_timeout", context),
        stop_timeout_ms: tag.duration("stop_timeout", context),
        action: tag.choice("action", &actions, context),
        parameters: parameters(tag, context),
    })
}

/// `ocf:heartbeat:nginx`, `heartbeat:nginx`, or `nginx` of the provider heartbeat. Both are names of files.
fn provider_and_kind(name: &Value, context: &mut Context) -> Option<(String, String)> {
    let text = name.text.strip_prefix("ocf:").unwrap_or(&name.text);
    let (provider, kind) = text.split_once(':').unwrap_or(("heartbeat", text));
    if is_name(provider) && is_name(kind) {
        return Some((provider.to_owned(), kind.to_owned()));
    }
    let message = format!("agent=\"{}\" isn't the name of an agent", name.text);
    let help = "provider:type, such as heartbeat:nginx for /usr/lib/ocf/resource.d/heartbeat/nginx".to_owned();
    context.sink.error(Code::BadValue, name.span.clone(), message, Some(help));
    None
}

fn class(tag: &Element, mode: Mode, context: &mut Context) -> OcfClass {
    let usual = if mode == Mode::Mirror { OcfClass::Prim } else { OcfClass::Both };
    let words = [("prim", OcfClass::Prim), ("second", OcfClass::Second), ("both", OcfClass::Both)];
    let class = tag.word("when", &words, usual, context);
    if mode != Mode::Mirror && class != OcfClass::Both {
        let message = format!("when=\"{}\" is for mirror modules", class.as_str());
        let help = Some(format!("when=\"both\", or without it: a {mode} module has no primary and no secondary"));
        let span = tag.get("when").map_or(tag.span(), |value| value.span.clone());
        context.sink.error(Code::Conflict, span, message, help);
    }
    class
}

fn parameters(tag: &Element, context: &mut Context) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for param in tag.children(&spec::PARAM, context) {
        let (name, value) = (param.require("name", context).cloned(), param.require("value", context).cloned());
        let (Some(name), Some(value)) = (name, value) else { continue };
        let known = name.text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if !known || name.text.is_empty() {
            let message = format!("name=\"{}\" isn't the name of a parameter", name.text);
            let help = Some("letters, digits, '_' and '-'".to_owned());
            context.sink.error(Code::BadValue, name.span.clone(), message, help);
        } else if value.text.contains('\0') {
            let message = format!("the value of {} has a NUL character", name.text);
            context.sink.error(Code::BadValue, value.span.clone(), message, None);
        } else if all.iter().any(|(other, _)| *other == name.text) {
            let message = format!("the parameter {} is there already", name.text);
            context.sink.error(Code::Duplicate, name.span.clone(), message, None);
        }
        all.push((name.text, value.text));
    }
    all
}

/// What the rest of the configuration has to be for them. `scripts`: there is a `<user>`.
pub(super) fn check(agents: &[OcfAgent], scripts: bool, check: &Check, service: &Element, context: &mut Context) {
    if !agents.is_empty() && !scripts {
        let message = "<ocf> needs a <user>: the scripts call the agents".to_owned();
        context.sink.error(Code::MissingElement, service.span(), message, Some("<user/>".to_owned()));
    }
    for ident in agents.iter().map(OcfAgent::checker) {
        if check.custom.iter().any(|one| one.ident == ident) {
            let message = format!("the resource custom.{ident} is that of an agent");
            let help = Some("give the checker another ident".to_owned());
            context.sink.error(Code::Duplicate, service.place_of("custom", &ident), message, help);
        }
    }
}

/// The checker that looks after an agent's resource.
pub(super) fn checker(agent: &OcfAgent) -> CustomCheck {
    CustomCheck {
        ident: agent.checker(),
        when: match agent.class {
            OcfClass::Prim => When::Prim,
            OcfClass::Second => When::Second,
            OcfClass::Both => When::Both,
        },
        action: agent.action,
        exec: MONITOR.to_owned(),
        arguments: vec![agent.ident.clone()],
    }
}
