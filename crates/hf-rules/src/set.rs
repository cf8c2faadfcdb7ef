use crate::rule::{Action, Condition, Id, Reference, Rule, Side, Word};
use crate::rule::{Compare, Operand, Span};
use hf_types::catalogue::Class;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Where a rule is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `<failover>` of the module.
    Own,
    /// A checker's `action=`.
    Generated,
    /// SAFE/private/conf/include/failover.xml.
    Default,
}

/// The rules of a module, in the order in which equals are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    rules: Vec<(Origin, Rule)>,
    /// Resources whose checker says itself what is done (`action=`): `*` and `?` of the default rules pass them over.
    settled: BTreeSet<String>,
    handle_time_ms: u64,
}

impl RuleSet {
    /// No rules; an action is applied when its condition has held for so long.
    pub fn new(handle_time_ms: u64) -> RuleSet {
        RuleSet { handle_time_ms, ..RuleSet::default() }
    }

    /// Adds a rule behind the others. One with the label of a rule that is there already is left out: who comes first
    /// has put it in the other's place.
    pub fn add(&mut self, origin: Origin, rule: Rule) {
        if self.rules.iter().all(|(_, other)| other.label != rule.label) {
            self.rules.push((origin, rule));
        }
    }

    /// Adds the rule of a checker's `action=`, if there is one: `label: if (class.id == down) then action;`. Without (`noaction`)
    /// nothing is done when the resource is down, not by a default rule for its whole class either.
    pub fn settle(&mut self, label: String, class: Class, id: &str, action: Option<Action>) {
        self.settled.insert(format!("{}.{id}", class.as_str()));
        let Some(action) = action else {
            return;
        };
        let left = Operand::Resource(Reference {
            side: Side::Local,
            class,
            id: Id::Name(id.to_owned()),
            place: Span::default(),
        });
        let condition = Condition::Compare(Compare { left, equal: true, right: Operand::Word(Word::Down) });
        self.add(Origin::Generated, Rule { label, place: Span::default(), handle_time_ms: None, condition, action });
    }

    /// The same without the default rules of which `keep` says no.
    pub fn restricted(&self, keep: impl Fn(&Rule) -> bool) -> RuleSet {
        let mut set = self.clone();
        set.rules.retain(|(origin, rule)| *origin != Origin::Default || keep(rule));
        set
    }

    /// Every rule.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &Rule)> {
        self.rules.iter().map(|(origin, rule)| (*origin, rule))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// For how long a rule's condition must hold.
    pub fn handle_time(&self, rule: &Rule) -> Duration {
        Duration::from_millis(rule.handle_time_ms.unwrap_or(self.handle_time_ms))
    }

    /// Whether `*` and `?` of a rule of this origin pass a resource over.
    pub fn passes_over(&self, origin: Origin, name: &str) -> bool {
        origin == Origin::Default && self.settled.contains(name)
    }

    /// Resources of the other node that rules ask for: exact names, and classes for `*` and `?`.
    pub fn remote(&self) -> (BTreeSet<String>, BTreeSet<Class>) {
        let (mut names, mut classes) = (BTreeSet::new(), BTreeSet::new());
        for (_, rule) in &self.rules {
            rule.condition.references(&mut |reference| {
                if reference.side == Side::Remote {
                    match reference.name() {
                        Some(name) => names.insert(name),
                        None => classes.insert(reference.class),
                    };
                }
            });
        }
        (names, classes)
    }
}
