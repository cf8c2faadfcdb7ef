//! `syncat` (reference 004, 13.6.4.10): a secondary that has been synchronised leaves the primary alone until the schedule comes.
//!
//! `rfs.syncat` is `init` after a start, so that the first synchronisation waits for nothing; `down` once it is done; `up` when the schedule comes,
//! or when somebody sets it. What is `up` stays so until a synchronisation has been done, however late the primary is there.

use super::actor::{HeartActor, Out, log};
use hf_module::Plan;
use hf_types::{Command, Event, ModuleState, ResourceValue};

const RESOURCE: &str = "rfs.syncat";
const RULE: &str = "rfs_syncat_wait";

impl HeartActor {
    pub(super) fn on_scheduled(&mut self, out: &mut Out) {
        // A primary has nobody to synchronise from.
        if self.config.scheduled && self.started && !self.state().is_primary() {
            self.set_resource(RESOURCE, ResourceValue::Up, "syncat", true, out);
        }
    }

    pub(super) fn publish_schedule(&mut self, out: &mut Out) {
        let unset = match self.resources.now.get(RESOURCE) {
            None => true,
            // What this node was as a secondary says nothing about it when it becomes one again.
            Some(known) => self.state().is_primary() && known.value == ResourceValue::Down,
        };
        if self.config.scheduled && unset {
            self.set_resource(RESOURCE, ResourceValue::Init, "syncat", false, out);
        }
    }

    /// Whether this copy is to stay as it is for now, beside a primary.
    pub(super) fn awaits_schedule(&self) -> bool {
        let down = self.resources.now.get(RESOURCE).is_some_and(|known| known.value == ResourceValue::Down);
        self.config.scheduled && down
    }

    /// A secondary that has come into step leaves again.
    pub(super) fn ends_by_schedule(&mut self, out: &mut Out) -> bool {
        if !self.config.scheduled {
            return false;
        }
        log(out, Event::Text("Synchronised, until the schedule (syncat) comes again".to_owned()));
        self.set_resource(RESOURCE, ResourceValue::Down, "syncat", true, out);
        self.log_rule(Command::Stopwait, RULE, out);
        self.begin_plan(Plan::stopwait(ModuleState::Second), out);
        true
    }

    pub(super) fn tell_scheduled(&mut self, out: &mut Out) {
        log(out, Event::ActionFromRule { action: "wait".to_owned(), rule: RULE.to_owned() });
        let module = &self.config.module;
        let now = format!("'holdfast set -r {RESOURCE} -v up -m {module}' synchronises now");
        self.why = self.why.take().map(|why| format!("{why}; {now}"));
    }
}
