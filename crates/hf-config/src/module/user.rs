//! `<user>` (reference 004, 13.7).

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::Element;
use crate::model::{Logging, User, Variable};
use crate::spec;

/// What scripts get from us; a variable of the module can't take its place (reference 004, 14.3).
const RESERVED: [&str; 6] = ["SAFE", "SAFEMODULE", "SAFEBIN", "SAFEUSERBIN", "SAFEVAR", "SAFEUSERVAR"];

pub(super) fn read(service: &Element, context: &mut Context) -> Option<User> {
    let user = service.only_child(&spec::USER, context)?;
    let loggings = [("userlog", Logging::Userlog), ("none", Logging::None)];
    Some(User {
        nice_stop_timeout_ms: user.duration("nicestoptimeout", context),
        force_stop_timeout_ms: user.duration("forcestoptimeout", context),
        logging: user.choice("logging", &loggings, context),
        userlog_kb: user.number("userlogsize", context).unwrap_or_default(),
        variables: variables(&user, context),
    })
}

fn variables(user: &Element, context: &mut Context) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    for element in user.children(&spec::VAR, context) {
        let (name, value) = (element.require("name", context), element.require("value", context));
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if let Some((code, message, help)) = objection(&name.text, &value.text, &all) {
            context.sink.error(code, name.span.clone(), message, help.map(str::to_owned));
        }
        all.push(Variable { name: name.text.clone(), value: value.text.clone() });
    }
    all
}

/// What is wrong with a variable, if anything.
fn objection(name: &str, value: &str, before: &[Variable]) -> Option<(Code, String, Option<&'static str>)> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let help = "letters, digits and '_', not a digit first";
        return Some((Code::BadValue, format!("name=\"{name}\" can't be an environment variable"), Some(help)));
    }
    if RESERVED.contains(&name) {
        return Some((Code::Conflict, format!("{name} is set for every script and can't be changed"), None));
    }
    if value.contains('\0') {
        return Some((Code::BadValue, format!("the value of {name} has a NUL character"), None));
    }
    let twice = before.iter().any(|other| other.name == name);
    twice.then(|| (Code::Duplicate, format!("the variable {name} is there already"), None))
}
