use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_module::mirror::{Step, arguments};
use hf_types::{Action, Event, Instant, ModuleState, RunId, Script, ScriptOutcome};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// How long after a script's own time-out its end is waited for, before the plan goes on without it.
const GRACE: Duration = Duration::from_secs(10);

/// The scripts of a module: one of the plan at a time, and beside it `transition`, which nothing waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Scripts {
    runs: u64,
    /// The plan's script.
    pub(super) running: Option<RunId>,
    transition: Option<(RunId, Instant)>,
    transitions: VecDeque<Vec<String>>,
}

impl Scripts {
    fn next_run(&mut self) -> RunId {
        self.runs += 1;
        RunId(self.runs)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.transition.map(|(_, until)| until)
    }

    /// Whether no `transition` runs or waits.
    pub(super) fn transitions_ended(&self) -> bool {
        self.transition.is_none() && self.transitions.is_empty()
    }
}

impl HeartActor {
    /// Runs the script of a step. The deadline is beyond the script's own time-out, which the shell enforces.
    pub(super) fn run_script(&mut self, step: Step, out: &mut Out) -> Option<Instant> {
        let (script, force) = script_of(step)?;
        let plan = self.plan.as_ref()?;
        let args = arguments(force, plan.from, plan.next, plan.action);
        let timeout = match script {
            Script::StopPrim if force => Some(self.config.force_stop_timeout),
            Script::StopPrim | Script::Poststop => Some(self.config.nice_stop_timeout),
            // An application may need long to start, and `stop` is always there.
            Script::Prestart | Script::StartPrim | Script::Transition => None,
        };
        let run = self.scripts.next_run();
        self.scripts.running = Some(run);
        log(out, if force { Event::ScriptForce(script) } else { Event::ScriptRun(script) });
        out.push(HeartEffect::RunScript { run, script, args, timeout });
        timeout.map(|timeout| self.now + timeout + GRACE)
    }

    pub(super) fn on_script_ended(&mut self, run: RunId, script: Script, outcome: ScriptOutcome, out: &mut Out) {
        if !outcome.is_success() {
            log(out, Event::ScriptEnded(script, outcome));
        }
        if self.scripts.running == Some(run) {
            self.scripts.running = None;
            self.step_answered();
        }
        if self.scripts.transition.is_some_and(|(current, _)| current == run) {
            self.scripts.transition = None;
        }
    }

    pub(super) fn kill_script(&mut self, out: &mut Out) {
        if let Some(run) = self.scripts.running {
            out.push(HeartEffect::KillScript { run });
        }
    }

    pub(super) fn queue_transition(&mut self, from: ModuleState, to: ModuleState, action: Action) {
        if self.config.scripts {
            self.scripts.transitions.push_back(arguments(false, from, to, action));
        }
    }

    /// `transition` runs one after the other, in the order of the changes.
    pub(super) fn tend_transitions(&mut self, out: &mut Out) {
        if let Some((run, until)) = self.scripts.transition
            && until <= self.now
        {
            out.push(HeartEffect::KillScript { run });
            self.scripts.transition = None;
        }
        if self.scripts.transition.is_some() {
            return;
        }
        if let Some(args) = self.scripts.transitions.pop_front() {
            let run = self.scripts.next_run();
            let timeout = self.config.nice_stop_timeout;
            self.scripts.transition = Some((run, self.now + timeout + GRACE));
            out.push(HeartEffect::RunScript { run, script: Script::Transition, args, timeout: Some(timeout) });
        }
    }
}

/// The script of a step, and whether it is called with `force`.
pub(super) fn script_of(step: Step) -> Option<(Script, bool)> {
    match step {
        Step::Prestart => Some((Script::Prestart, false)),
        Step::StartPrim => Some((Script::StartPrim, false)),
        Step::StopPrim => Some((Script::StopPrim, false)),
        Step::StopPrimForce => Some((Script::StopPrim, true)),
        Step::Poststop => Some((Script::Poststop, false)),
        Step::TakeRole
        | Step::SetVips
        | Step::ClearVips
        | Step::Drain
        | Step::Outdate
        | Step::GiveRole
        | Step::StopRfs
        | Step::AbortRfs
        | Step::KillApplication
        | Step::Farewell => None,
    }
}
