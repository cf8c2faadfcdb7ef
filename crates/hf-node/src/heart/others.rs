//! Modules that this one depends on (`<module>`, reference 004, 13.16): one that isn't ready is a matter of the rule `module_failure`; one
//! whose application was started anew makes this module begin anew, too ("Action stopstart called by modulecheck").
//!
//! The reference (4.4.6) tells of a fault: a mirror that does so between SECOND and ALONE stays in WAIT, because half-way its copy is no
//! primary's yet, and the node to ask is gone. Here a module first arrives where it is going; from ALONE it comes back (`resume`).
//! For the same reason a secondary that may have to take over doesn't leave because of another module alone.

use super::actor::{HeartActor, Out};
use hf_module::automaton::Part;
use hf_rules::{Action as RuleAction, Rule, Truth, Watch};
use hf_types::catalogue::Class;
use hf_types::{Caller, Colour, Command, ModuleState};
use hf_wire::heartbeat::SwapPhase;
use serde::Serialize;
use std::collections::BTreeMap;

/// Who calls.
const MODULECHECK: &str = "modulecheck";
/// So many pulses without a heartbeat, and the primary may be gone.
const PULSES: u32 = 3;

/// What is known of other modules.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Others {
    /// Which run of its application was seen last, by resource.
    runs: BTreeMap<String, String>,
    /// One of them was started anew since this module's application runs.
    owed: bool,
}

impl HeartActor {
    /// A checker saw this run of another module.
    pub(super) fn on_run_seen(&mut self, resource: &str, run: String) {
        let before = self.others.runs.insert(resource.to_owned(), run);
        let changed = before.is_some_and(|before| Some(&before) != self.others.runs.get(resource));
        self.others.owed |= changed && !matches!(self.state(), ModuleState::Wait | ModuleState::Stop);
    }

    /// Begins anew as soon as it can; true if it did.
    pub(super) fn follow_others(&mut self, out: &mut Out) -> bool {
        if !self.others.owed {
            return false;
        }
        let state = self.state();
        if matches!(state, ModuleState::Wait | ModuleState::Stop) || self.is_stopping() {
            self.others.owed = false;
            return false;
        }
        let swaps = self.swap != SwapPhase::None || self.swapping;
        if self.colour() != Colour::Green || self.plan.is_some() || self.next_plan.is_some() || swaps {
            return false;
        }
        self.others.owed = false;
        // Where nothing of the application runs, nothing has to begin anew.
        let runs = state != ModuleState::Second || self.runs_on_secondaries();
        runs && self.on_command(Command::Stopstart, Caller::detector(MODULECHECK), out).is_ok()
    }

    fn runs_on_secondaries(&self) -> bool {
        Part::START_ORDER.iter().any(|part| self.has_part(*part) && part.runs_in(ModuleState::Second))
    }

    /// A secondary whose primary has fallen silent stays, if the only thing to wait for is another module: that one is perhaps being taken
    /// over as well. Once this module is ALONE the rule counts again.
    pub(super) fn stays_to_take_over(&self, rule: &Rule, watch: &Watch) -> bool {
        let pulses = self.config.lanes.iter().map(|lane| lane.pulse).max().unwrap_or_default();
        let silent = self.pair.silent_for(self.now) >= pulses * PULSES;
        let waits = |rule: &Rule| rule.action == RuleAction::Wait;
        if self.state() != ModuleState::Second || !silent || !self.may_take_over() || !waits(rule) {
            return false;
        }
        let holds = |label: &str| watch.worth().any(|(other, worth)| other == label && worth == Truth::True);
        let mut waiting =
            self.config.rules.iter().map(|(_, rule)| rule).filter(|rule| waits(rule) && holds(&rule.label));
        waiting.all(only_about_modules)
    }

    /// The role is on its way to the record: who leaves now is nothing and has nobody to ask.
    pub(super) fn is_taking_role(&self) -> bool {
        self.state() == ModuleState::Alone && (self.role_wanted.is_some() || self.grant_pending())
    }
}

fn only_about_modules(rule: &Rule) -> bool {
    let mut only = true;
    rule.condition.references(&mut |reference| only &= reference.class == Class::Module);
    only
}
