//! `<errd>` (reference 004, 13.9).

use crate::check_model::{Errd, Proc, ProcAction, Reaction, SCRIPT_CLASSES};
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::module::check::{FAST_MS, program};
use crate::module::exclusion::compile;
use crate::spec;
use crate::values::is_name;

/// The kernel keeps so many characters of a command's name.
const MAX_COMMAND: usize = 15;
/// The longest name of a service, and of a resource that isn't a command's name.
const MAX_NAME: usize = 63;
const MAX_PROCS: usize = 200;
const MAX_COUNT: u32 = 1_000_000;

pub(super) fn read(service: &Element, reaction: Reaction, context: &mut Context) -> Option<Errd> {
    let errd = service.only_child(&spec::ERRD, context)?;
    if !service.child_tags().any(|child| child.has_tag_name("user")) {
        let message =
            "<errd> needs <user/>: processes are watched from their start script to their stop script".to_owned();
        let help = Some("add <user/> to <service>".to_owned());
        context.sink.error(Code::MissingElement, errd.span(), message, help);
    }
    let children = errd.children(&spec::PROC, context);
    if children.is_empty() {
        errd.report_missing_child("proc", context);
    }
    if children.len() > MAX_PROCS {
        context.sink.error(Code::Limit, errd.span(), format!("there are more than {MAX_PROCS} processes"), None);
    }
    let mut procs: Vec<Proc> = Vec::new();
    for tag in &children {
        procs.extend(proc(tag, &procs, context));
    }
    let poll_ms = match reaction {
        Reaction::Normal => errd.duration("polltimer", context),
        Reaction::Fast => errd.duration_or("polltimer", FAST_MS, context),
    };
    Some(Errd { poll_ms, procs })
}

fn proc(tag: &Element, before: &[Proc], context: &mut Context) -> Option<Proc> {
    let service = tag.one_of("service", &[("yes", true), ("no", false)], context);
    let name = name(tag, service, before, context);
    let (name_regex, arg_regex) = (pattern(tag, "nameregex", context), pattern(tag, "argregex", context));
    if let (true, Some(value)) = (service, tag.get("nameregex").or(tag.get("argregex"))) {
        let message = format!("{} is for processes, and this is a service", value.name);
        let help = Some("take it out, or take service=\"yes\" out".to_owned());
        context.sink.error(Code::Conflict, value.span.clone(), message, help);
    }
    let (at_least, at_most) = (count(tag, "atleast", Some(1), context), count(tag, "atmax", None, context));
    if let (Some(value), Some(least), Some(most)) = (tag.get("atmax"), at_least, at_most)
        && least > most
    {
        let message = format!("at least {least} and at most {most} can't both be");
        let help = Some("atleast=\"-1\" or atmax=\"-1\" takes one of the two away".to_owned());
        context.sink.error(Code::Conflict, value.span.clone(), message, help);
    }
    let (action, class) = (action(tag, context), class(tag, context));
    if let (ProcAction::Handler(_), Some(class), Some(value)) = (&action, &class, tag.get("class"))
        && SCRIPT_CLASSES.contains(&class.as_str())
    {
        let message =
            format!("class=\"{class}\" is watched by the scripts' order, and an own handler needs a class of its own");
        let help = Some("give it another name, and call 'holdfast errd enable NAME' in the start script".to_owned());
        context.sink.error(Code::Conflict, value.span.clone(), message, help);
    }
    Some(Proc {
        name: name?,
        service,
        name_regex,
        arg_regex,
        at_least,
        at_most,
        action,
        class: class?,
        start_after_polls: tag.count("start_after", context),
        restart_services: restart_services(tag, service, context),
    })
}

fn name(tag: &Element, service: bool, before: &[Proc], context: &mut Context) -> Option<String> {
    let value = tag.require("name", context)?.clone();
    let command = !service && tag.get("nameregex").is_none();
    let longest = if command { MAX_COMMAND } else { MAX_NAME };
    let length = value.text.chars().count();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
    let objection = if value.text.is_empty() || !value.text.chars().all(plain) {
        let help = "letters, digits and _ - . : @; with nameregex it is only the resource's name";
        Some((format!("name=\"{}\" can't be a command's or a service's name", value.text), help))
    } else if command && length > longest {
        let help = "the kernel keeps the first 15 characters: write those, or nameregex=\"...\" with a shorter name";
        Some((format!("name=\"{}\" has {length} characters; a command's name has at most {longest}", value.text), help))
    } else if length > longest {
        Some((format!("name=\"{}\" has {length} characters; at most {longest}", value.text), "give it a shorter name"))
    } else {
        None
    };
    if let Some((message, help)) = objection {
        context.sink.error(Code::BadValue, value.span, message, Some(help.to_owned()));
        return None;
    }
    let ours = ["heart", "rfs", "keeper"].contains(&value.text.as_str());
    if ours || before.iter().any(|other| other.name == value.text) {
        let message = format!("the resource proc.{} is made already", value.text);
        let help = "give it another name, and the command's name with nameregex=\"...\"".to_owned();
        context.sink.error(Code::Duplicate, value.span, message, Some(help));
    }
    Some(value.text)
}

fn pattern(tag: &Element, name: &'static str, context: &mut Context) -> Option<String> {
    let value = tag.get(name)?;
    if let Err(why) = compile(&value.text) {
        let message = format!("{name}=\"{}\" isn't a regular expression: {why}", value.text);
        let help = r"as in man 7 regex, for the whole of it, such as oracle_.*".to_owned();
        context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    }
    Some(value.text.clone())
}

/// A number of processes; `-1`: not looked at.
fn count(tag: &Element, name: &str, default: Option<u32>, context: &mut Context) -> Option<u32> {
    let Some(value) = tag.get(name) else {
        return default;
    };
    if value.text == "-1" {
        return None;
    }
    let digits = !value.text.is_empty() && value.text.bytes().all(|byte| byte.is_ascii_digit());
    match value.text.parse::<u32>() {
        Ok(number) if digits && number <= MAX_COUNT => Some(number),
        _ => {
            let message = format!("{name}=\"{}\" isn't a number of processes", value.text);
            let help = format!("a number from 0 to {MAX_COUNT}, or -1: not looked at");
            context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
            default
        }
    }
}

fn action(tag: &Element, context: &mut Context) -> ProcAction {
    let Some(value) = tag.get("action") else {
        return ProcAction::default();
    };
    match value.text.trim() {
        "restart" => ProcAction::Restart,
        "stopstart" => ProcAction::Stopstart,
        "stop" => ProcAction::Stop,
        "noaction" => ProcAction::NoAction,
        word => {
            if let Some(near) = hf_types::nearest(word, ["restart", "stopstart", "noaction"]) {
                let message = format!("action=\"{word}\" would be a program of the module's own");
                let help = Some(format!("did you mean {near}? A program with such a name: give its absolute path"));
                context.sink.error(Code::BadValue, value.span.clone(), message, help);
            }
            program(value, context).map_or_else(ProcAction::default, ProcAction::Handler)
        }
    }
}

fn class(tag: &Element, context: &mut Context) -> Option<String> {
    let value = tag.require("class", context)?;
    let class = value.text.trim();
    if is_name(class) {
        return Some(class.to_owned());
    }
    let message = format!("class=\"{}\" isn't a valid name", value.text);
    let help = "prim, both, pre, second, sec, or a name of letters, digits, '.', '_' and '-'".to_owned();
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
    None
}

fn restart_services(tag: &Element, service: bool, context: &mut Context) -> Vec<String> {
    let Some(value) = tag.get("restart_services") else {
        return Vec::new();
    };
    if !service {
        let message = "restart_services is for services, and this is a process".to_owned();
        let help = Some("add service=\"yes\", or take it out".to_owned());
        context.sink.error(Code::Conflict, value.span.clone(), message, help);
    }
    let names: Vec<&str> = value.text.split(',').map(str::trim).collect();
    if let Some(bad) = names.iter().find(|name| !is_service(name)) {
        report_service(value, bad, context);
    }
    names.into_iter().map(str::to_owned).collect()
}

fn is_service(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain)
}

fn report_service(value: &Value, bad: &str, context: &mut Context) {
    let message = format!("\"{bad}\" in restart_services can't be a service's name");
    let help = "names with commas between them, such as httpd,postgresql".to_owned();
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
}
