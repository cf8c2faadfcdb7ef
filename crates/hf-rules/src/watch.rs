//! Since when rules hold, and what follows from it.

use crate::rule::{Action, Rule, Word};
use crate::set::RuleSet;
use crate::truth::{Facts, Truth, truth};
use hf_types::Instant;
use serde::Serialize;
use std::collections::BTreeMap;

/// What each rule was worth when it was last looked at, and since when it holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Watch {
    worth: BTreeMap<String, Truth>,
    /// Of a rule that holds: since when it does, and its action could be applied.
    since: BTreeMap<String, Instant>,
}

/// What follows from the rules now.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<'r> {
    /// The first rule with `wait()` that holds, however long it has: who waits stays, and who starts doesn't.
    pub wait: Option<&'r Rule>,
    /// The first rule with `wakeup()` that holds.
    pub wakeup: Option<&'r Rule>,
    /// The rule whose action is to be applied now.
    pub act: Option<&'r Rule>,
    /// Resources to set, with the rules that say so.
    pub assign: Vec<(&'r Rule, &'r str, Word)>,
    /// When a rule that holds will have held for its `handle_time`.
    pub next: Option<Instant>,
    /// A rule is worth something else than before.
    pub changed: bool,
}

impl Watch {
    /// Looks at every rule. `can` says which actions could be applied now: the time of a rule whose action can't be
    /// begins when it can.
    pub fn look<'r>(
        &mut self,
        now: Instant,
        rules: &'r RuleSet,
        facts: &dyn Facts,
        can: &dyn Fn(&Action) -> bool,
    ) -> Verdict<'r> {
        let mut verdict =
            Verdict { wait: None, wakeup: None, act: None, assign: Vec::new(), next: None, changed: false };
        let mut strongest: Option<(u8, Instant, &Rule)> = None;
        let mut known = 0;
        for (origin, rule) in rules.iter() {
            let worth = truth(&rule.condition, facts, &|name| rules.passes_over(origin, name));
            known += 1;
            verdict.changed |= self.note(&rule.label, worth);
            if worth != Truth::True {
                self.since.remove(&rule.label);
                continue;
            }
            match rule.action {
                Action::Wait => verdict.wait = verdict.wait.or(Some(rule)),
                Action::Wakeup => verdict.wakeup = verdict.wakeup.or(Some(rule)),
                _ => {}
            }
            if !can(&rule.action) {
                self.since.remove(&rule.label);
                continue;
            }
            let since = self.since_when(&rule.label, now);
            let due = since + rules.handle_time(rule);
            if due > now {
                verdict.next = Some(verdict.next.map_or(due, |next| next.min(due)));
            }
            match (&rule.action, rule.action.rank()) {
                (Action::Assign { resource, word, .. }, _) if due <= now => {
                    verdict.assign.push((rule, resource, *word));
                }
                (_, Some(rank)) if strongest.is_none_or(|(other, ..)| rank < other) => {
                    strongest = Some((rank, due, rule));
                }
                _ => {}
            }
        }
        if self.worth.len() > known {
            self.forget_others(rules);
        }
        // A stronger action that is on its way is waited for, its handle_time at most: a cable that was unplugged shall not
        // look like an application to be restarted, only because that was noticed first.
        verdict.act = strongest.filter(|(_, due, _)| *due <= now).map(|(.., rule)| rule);
        verdict
    }

    /// Asked for every rule after every input: nothing is made where nothing is new.
    fn note(&mut self, label: &str, worth: Truth) -> bool {
        match self.worth.get_mut(label) {
            Some(known) => std::mem::replace(known, worth) != worth,
            None => self.worth.insert(label.to_owned(), worth).is_none(),
        }
    }

    fn since_when(&mut self, label: &str, now: Instant) -> Instant {
        match self.since.get(label) {
            Some(since) => *since,
            None => *self.since.entry(label.to_owned()).or_insert(now),
        }
    }

    /// Something was done about it: every rule's time begins anew.
    pub fn begin_anew(&mut self) {
        self.since.clear();
    }

    /// What each rule was worth when it was last looked at.
    pub fn worth(&self) -> impl Iterator<Item = (&str, Truth)> {
        self.worth.iter().map(|(label, truth)| (label.as_str(), *truth))
    }

    /// Rules that a new configuration took away.
    fn forget_others(&mut self, rules: &RuleSet) {
        let there = |label: &String| rules.iter().any(|(_, rule)| rule.label == *label);
        self.worth.retain(|label, _| there(label));
        self.since.retain(|label, _| there(label));
    }
}
