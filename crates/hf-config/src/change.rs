//! What is different between two configurations of one module, and what of it may change while the module runs
//! (reference 004, the introduction of chapter 13).

mod fields;

use crate::model::ModuleConfig;
use crate::spec::spec_of;
use fields::{Field, WHOLE, fields};
use std::fmt;

/// One difference. An attribute that isn't written in the file has its default value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The tag, as in `heartbeat`.
    pub tag: &'static str,
    /// Which of the tags of that name: a network, an address, a variable. Empty where there is only one.
    pub which: String,
    /// The attribute; none: the whole tag came or went.
    pub attribute: Option<&'static str>,
    /// The value in the applied configuration; none: the tag wasn't there.
    pub before: Option<String>,
    /// The value in the new one; none: the tag is gone.
    pub after: Option<String>,
    /// Whether the reference lets it change while the module is ALONE or WAIT.
    pub dynamic: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.tag)?;
        if !self.which.is_empty() {
            write!(f, " {}", self.which)?;
        }
        write!(f, ">")?;
        match (self.attribute, &self.before, &self.after) {
            (Some(WHOLE), ..) => write!(f, " is another"),
            (Some(attribute), Some(before), Some(after)) => write!(f, " {attribute}: {before} -> {after}"),
            (_, None, _) => write!(f, " is new"),
            _ => write!(f, " is gone"),
        }
    }
}

/// The tag under which each checker is a field of its own: it is stopped and started with what is new of it (13.10.2).
const CHECK: &str = "check";

/// All differences, in the order of the file. What is written otherwise and means the same is none.
pub fn changes(before: &ModuleConfig, after: &ModuleConfig) -> Vec<Change> {
    let (old, new) = (fields(before), fields(after));
    let mut found: Vec<Change> = Vec::new();
    for field in &old {
        match new.iter().find(|other| other.is_same_as(field)) {
            Some(other) if other.value == field.value => {}
            Some(other) => found.push(change(field, Some(&field.value), Some(&other.value))),
            None => whole(&mut found, field, &new, true),
        }
    }
    for field in new.iter().filter(|field| !old.iter().any(|other| other.is_same_as(field))) {
        whole(&mut found, field, &old, false);
    }
    found
}

/// A field that only one of the two configurations has. Where the whole tag came or went that is told once.
fn whole(found: &mut Vec<Change>, field: &Field, others: &[Field], gone: bool) {
    let there = others.iter().any(|other| (other.tag, &other.which) == (field.tag, &field.which));
    let value = Some(&field.value);
    let (before, after) = if gone { (value, None) } else { (None, value) };
    let mut one = change(field, before, after);
    if there {
        // An attribute without a default of its own, such as a limit.
        let none = "none".to_owned();
        one.before = one.before.or(Some(none.clone()));
        one.after = one.after.or(Some(none));
    } else {
        let tag = spec_of(field.tag);
        one.attribute = None;
        one.dynamic =
            field.tag == CHECK || tag.is_some_and(|spec| spec.attributes.iter().all(|attribute| attribute.dynamic));
    }
    if !found.iter().any(|known| (known.tag, &known.which, known.attribute) == (one.tag, &one.which, one.attribute)) {
        found.push(one);
    }
}

fn change(field: &Field, before: Option<&String>, after: Option<&String>) -> Change {
    let spec = spec_of(field.tag).and_then(|spec| spec.attribute(field.attribute));
    Change {
        tag: field.tag,
        which: field.which.clone(),
        attribute: Some(field.attribute),
        before: before.cloned(),
        after: after.cloned(),
        dynamic: spec.is_some_and(|attribute| attribute.dynamic) || field.tag == CHECK,
    }
}

#[cfg(test)]
mod tests;
