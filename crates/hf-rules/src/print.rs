//! Rules as text, in the one form that [`crate::parse`] reads back to the same rule.

use crate::rule::{Action, Compare, Condition, Id, Operand, Reference, Rule, Side, Word};
use std::fmt;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.label)?;
        if let Some(ms) = self.handle_time_ms {
            write!(f, " [handle_time={ms}ms]")?;
        }
        write!(f, ": if ({}) then {};", self.condition, self.action)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Compare(compare) => write!(f, "{compare}"),
            Condition::Same { left, equal, right } => write!(f, "({left}) {} ({right})", sign(*equal)),
            Condition::Not(inner) => write!(f, "!({inner})"),
            Condition::And(parts) => joined(f, parts, " && "),
            Condition::Or(parts) => joined(f, parts, " || "),
        }
    }
}

/// What is neither a comparison nor a negation stands in parentheses: nobody has to know what binds stronger.
fn joined(f: &mut fmt::Formatter<'_>, parts: &[Condition], sign: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(sign)?;
        }
        match part {
            Condition::Compare(_) | Condition::Not(_) => write!(f, "{part}")?,
            Condition::Same { .. } | Condition::And(_) | Condition::Or(_) => write!(f, "({part})")?,
        }
    }
    Ok(())
}

fn sign(equal: bool) -> &'static str {
    if equal { "==" } else { "!=" }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, sign(self.equal), self.right)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Resource(reference) => write!(f, "{reference}"),
            Operand::Cluster => f.write_str("cluster()"),
            Operand::Word(word) => f.write_str(word.as_str()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Local => "",
            Side::Remote => "remote.",
        };
        let id = match &self.id {
            Id::All => "*",
            Id::Any => "?",
            Id::Name(name) => name,
        };
        write!(f, "{side}{}.{id}", self.class.as_str())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Assign { resource, word, .. } => write!(f, "{resource}={word}"),
            other => write!(f, "{}()", other.as_str()),
        }
    }
}
