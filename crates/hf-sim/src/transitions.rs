//! Which changes of state the runs went through, and which of them are known.

use hf_types::{Colour, ModuleState};
use std::collections::BTreeMap;

/// A state as a log line has it.
pub type Logged = (ModuleState, Colour);

/// How often each change of state happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions(BTreeMap<(String, String), u64>);

impl Transitions {
    /// A heart logged `to`; what was logged on its node before is `from`.
    pub(crate) fn hit(&mut self, from: Logged, to: Logged) {
        *self.0.entry((name(from), name(to))).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Transitions) {
        for (change, times) in &other.0 {
            *self.0.entry(change.clone()).or_default() += times;
        }
    }

    /// One a line: from, to, how often.
    pub fn table(&self) -> String {
        self.0.iter().map(|((from, to), times)| format!("{from:<15} -> {to:<15} {times:>10}\n")).collect()
    }

    /// What differs from the list of known changes (lines "FROM -> TO"; the rest of a line behind two spaces is for people): changes that
    /// aren't in it, and those that never happened.
    pub fn against(&self, known: &str) -> (Vec<String>, Vec<String>) {
        let known: Vec<String> = known.lines().filter_map(change).collect();
        let here: Vec<String> = self.0.keys().map(|(from, to)| format!("{from} -> {to}")).collect();
        let without = |some: &[String], others: &[String]| -> Vec<String> {
            some.iter().filter(|change| !others.contains(change)).cloned().collect()
        };
        (without(&here, &known), without(&known, &here))
    }
}

/// The change that a line of the list names; none on an empty line and in a comment.
fn change(line: &str) -> Option<String> {
    let named = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = named.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn name((state, colour): Logged) -> String {
    format!("{state} {colour}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_module::legal;
    use hf_types::Mode;
    use std::collections::BTreeSet;

    /// The list that every sweep is held against has every change that the tables of the modules allow, and no other.
    #[test]
    fn the_list_is_the_tables() {
        let listed: BTreeSet<String> = include_str!("../transitions.txt").lines().filter_map(change).collect();
        let tables = [Mode::Mirror, Mode::Farm, Mode::Light].into_iter().flat_map(legal);
        let legal: BTreeSet<String> = tables.map(|(from, to, _)| format!("{from} -> {to}")).collect();
        assert_eq!(listed, legal);
    }
}
