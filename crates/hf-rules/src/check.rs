//! Whether what the rules name is there.

use crate::problem::{Kind, Problem, short};
use crate::rule::{Action, Operand, Reference, Rule, Side};
use hf_types::catalogue::{Class, Setter, entry};
use hf_types::nearest;
use std::collections::BTreeSet;

/// What the rest of a module's configuration makes.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Resources that something makes, `class.id`.
    pub names: BTreeSet<String>,
    /// Classes of which something makes resources whose names aren't known before it runs.
    pub open: BTreeSet<Class>,
    /// Labels that belong to Holdfast, whose rules look at more than resources.
    pub reserved: BTreeSet<String>,
    /// There is no other node.
    pub alone: bool,
}

/// Says what is wrong with rules that could be read.
pub fn check(rules: &[Rule], known: &Known) -> Vec<Problem> {
    let mut problems = Vec::new();
    for rule in rules {
        if known.reserved.contains(&rule.label) {
            let message = format!("{} is a rule of Holdfast's own, which protects the data", rule.label);
            let problem = Problem::new(Kind::Conflict, rule.place.into(), message);
            problems.push(problem.help("give this rule another label"));
        }
        rule.condition.references(&mut |reference| problems.extend(check_reference(reference, known)));
        if let Action::Assign { resource, place, .. } = &rule.action {
            problems.extend(check_assignment(resource, (*place).into()));
        }
    }
    problems.sort_by_key(|problem| problem.span.start);
    problems
}

fn check_reference(reference: &Reference, known: &Known) -> Option<Problem> {
    let problem = |kind, message| Some(Problem::new(kind, reference.place.into(), message));
    if reference.side == Side::Remote && known.alone {
        return problem(Kind::Conflict, "there is no other node: this is no mirror module".to_owned());
    }
    let class = reference.class.as_str();
    if reference.class == Class::Rule {
        return problem(Kind::Conflict, "a rule can't ask for a rule".to_owned())
            .map(|problem| problem.help("write that rule's condition instead"));
    }
    let of_class = || known.names.iter().filter(|name| Class::of_name(name) == Some(reference.class));
    let Some(name) = reference.name() else {
        if of_class().next().is_some() || known.open.contains(&reference.class) {
            return None;
        }
        let shown = Operand::Resource(reference.clone());
        let message = format!("nothing makes a resource of the class {class}: {shown} never decides anything");
        return problem(Kind::Doubtful, message);
    };
    if known.names.contains(&name) || known.open.contains(&reference.class) {
        return None;
    }
    // Only the ids are compared: the class, which is right, would make any two names look alike.
    let id = |name: &'_ str| name.split_once('.').map_or("", |(_, id)| id).to_owned();
    let ids: Vec<String> = of_class().map(|name| id(name)).collect();
    if let Some(near) = nearest(&id(&name), ids.iter().map(String::as_str)) {
        return problem(Kind::UnknownResource, format!("nothing makes the resource {}", short(&name)))
            .map(|problem| problem.help(format!("did you mean {class}.{near}?")));
    }
    if reference.class == Class::Custom {
        let message = format!("no checker makes the resource {}: it stays as 'set' leaves it", short(&name));
        let help = format!("holdfast set -r {} -v up|down; or write a <custom ident=...>", short(&name));
        return problem(Kind::Doubtful, message).map(|problem| problem.help(help));
    }
    let there: Vec<&str> = of_class().map(String::as_str).collect();
    let help = match there[..] {
        [] => format!("this module has no resource of the class {class}"),
        _ => format!("there is {}", there.join(", ")),
    };
    problem(Kind::UnknownResource, format!("nothing makes the resource {}", short(&name))).map(|found| found.help(help))
}

fn check_assignment(resource: &str, span: std::ops::Range<usize>) -> Option<Problem> {
    let known = entry(resource);
    let help = match known.setter {
        Setter::Anyone => return None,
        Setter::Holdfast => "a rule can set what 'holdfast set' can: custom.x, tcp.x and the like".to_owned(),
        Setter::Command(command) => format!("it is chosen by a command: holdfast {command}"),
    };
    let message =
        format!("{} says what Holdfast found or an administrator chose; a rule can't set it", short(resource));
    Some(Problem::new(Kind::Conflict, span, message).help(help))
}
