//! What a condition is worth.

use crate::rule::{Compare, Condition, Id, Operand, Reference, Side, Word};
use hf_types::ResourceValue;
use hf_types::catalogue::Class;
use serde::{Deserialize, Serialize};

/// True, false, or not known yet. `&&` is the least of its parts, `||` the greatest, `!` turns the order round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    False,
    /// It hangs on a resource that was not measured yet.
    Open,
    True,
}

impl Truth {
    fn of(holds: bool) -> Truth {
        if holds { Truth::True } else { Truth::False }
    }

    fn not(self) -> Truth {
        match self {
            Truth::False => Truth::True,
            Truth::Open => Truth::Open,
            Truth::True => Truth::False,
        }
    }
}

/// The resources that rules look at.
pub trait Facts {
    /// The value of `class.id`; none if nothing set it so far.
    fn value(&self, side: Side, name: &str) -> Option<ResourceValue>;
    /// Every resource of a class, by its name.
    fn of_class(&self, side: Side, class: Class) -> Vec<(String, ResourceValue)>;
    /// Whether any other node of the cluster is heard.
    fn cluster(&self) -> ResourceValue;
}

/// What a condition is worth. `leave_out` says of a resource's name that `*` and `?` pass it over.
pub fn truth(condition: &Condition, facts: &dyn Facts, leave_out: &dyn Fn(&str) -> bool) -> Truth {
    match condition {
        Condition::Compare(compare) => compared(compare, facts, leave_out),
        Condition::Same { left, equal, right } => {
            match (truth(left, facts, leave_out), truth(right, facts, leave_out)) {
                (Truth::Open, _) | (_, Truth::Open) => Truth::Open,
                (left, right) => Truth::of((left == right) == *equal),
            }
        }
        Condition::Not(inner) => truth(inner, facts, leave_out).not(),
        Condition::And(parts) => parts.iter().map(|part| truth(part, facts, leave_out)).min().unwrap_or(Truth::Open),
        Condition::Or(parts) => parts.iter().map(|part| truth(part, facts, leave_out)).max().unwrap_or(Truth::Open),
    }
}

fn compared(compare: &Compare, facts: &dyn Facts, leave_out: &dyn Fn(&str) -> bool) -> Truth {
    let (wild, other) = match (&compare.left, &compare.right) {
        (Operand::Resource(reference), other) | (other, Operand::Resource(reference)) if reference.is_wild() => {
            (reference, other)
        }
        (left, right) => return one(&value(left, facts), &value(right, facts), compare.equal),
    };
    let other = value(other, facts);
    let each = members(wild, facts, leave_out).map(|value| one(&value, &other, compare.equal));
    // Of no resource at all nothing can be said.
    match wild.id {
        Id::All => each.min(),
        Id::Any | Id::Name(_) => each.max(),
    }
    .unwrap_or(Truth::Open)
}

/// The resources that `*` or `?` stands for. What isn't measured with this configuration isn't one of them.
fn members(wild: &Reference, facts: &dyn Facts, leave_out: &dyn Fn(&str) -> bool) -> impl Iterator<Item = Value> {
    let all = facts.of_class(wild.side, wild.class).into_iter();
    let there = all.filter(|(name, value)| !leave_out(name) && *value != ResourceValue::Inactive);
    there.map(|(_, value)| Value::Measured(value)).collect::<Vec<_>>().into_iter()
}

/// One side of a comparison.
enum Value {
    Measured(ResourceValue),
    /// The rule's own word.
    Asked(ResourceValue),
}

fn value(operand: &Operand, facts: &dyn Facts) -> Value {
    match operand {
        Operand::Word(word) => Value::Asked(word.value()),
        Operand::Cluster => Value::Measured(facts.cluster()),
        Operand::Resource(reference) => {
            let found = reference.name().and_then(|name| facts.value(reference.side, &name));
            Value::Measured(found.unwrap_or(match reference.side {
                Side::Local => ResourceValue::Init,
                Side::Remote => ResourceValue::Unknown,
            }))
        }
    }
}

/// What was not measured is neither up nor down nor anything else: only `init` can be asked for.
fn one(left: &Value, right: &Value, equal: bool) -> Truth {
    let asks_init = |value: &Value| matches!(value, Value::Asked(ResourceValue::Init));
    let unmeasured = |value: &Value| match value {
        Value::Measured(value) => matches!(value, ResourceValue::Init | ResourceValue::Inactive),
        Value::Asked(_) => false,
    };
    if asks_init(left) || asks_init(right) {
        return Truth::of((unmeasured(left) || unmeasured(right)) == equal);
    }
    if unmeasured(left) || unmeasured(right) {
        return Truth::Open;
    }
    let (Value::Measured(left) | Value::Asked(left), Value::Measured(right) | Value::Asked(right)) = (left, right);
    Truth::of((left == right) == equal)
}

impl Word {
    /// The value of a resource that this word stands for.
    pub fn value(self) -> ResourceValue {
        match self {
            Word::Init => ResourceValue::Init,
            Word::Up => ResourceValue::Up,
            Word::Down => ResourceValue::Down,
            Word::Unknown => ResourceValue::Unknown,
            Word::On | Word::Off => ResourceValue::Text(self.as_str().to_owned()),
        }
    }
}
