use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_module::{Goal, Part, Plan, Step, arguments};
use hf_types::{Action, Event, Hang, Instant, ModuleState, RunId, Script, ScriptOutcome};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How long after a script's own time-out its end is waited for, before the plan goes on without it.
const GRACE: Duration = Duration::from_secs(10);

/// The scripts of a module: one of the plan at a time, and beside it `transition`, which nothing waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Scripts {
    runs: u64,
    /// The plan's script.
    pub(super) running: Option<RunId>,
    /// What runs by a start script.
    parts: BTreeMap<Part, Course>,
    /// The plan's script takes long, and where it is.
    hangs: Option<(Script, Hang)>,
    transition: Option<(RunId, Instant)>,
    transitions: VecDeque<Vec<String>>,
}

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
enum Course {
    /// Its start script was called.
    Started,
    /// Its stop script was called, the one with `force` has not ended yet.
    Stopping,
}

impl Scripts {
    pub(super) fn next_run(&mut self) -> RunId {
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

    /// Where the plan's script is, if it takes long: the answer to "why is the module magenta?".
    pub(super) fn hangs(&self) -> Option<String> {
        self.hangs.as_ref().map(|(script, hang)| format!("script {script} {hang}"))
    }

    /// Everything begins anew: `prestart` stops what may be left.
    pub(super) fn forget_parts(&mut self) {
        self.parts.clear();
    }

    /// Whether this part runs by its start script.
    pub(super) fn runs(&self, part: Part) -> bool {
        self.parts.contains_key(&part)
    }

    /// Whether nothing runs by a start script.
    pub(super) fn nothing_runs(&self) -> bool {
        self.parts.is_empty()
    }
}

impl HeartActor {
    /// Begins the script of a step; none if there is nothing to call or to wait for. The deadline is beyond the script's own
    /// time-out, which the shell enforces.
    pub(super) fn enter_script(&mut self, step: Step, out: &mut Out) -> Option<Option<Instant>> {
        let (script, force) = script_of(step)?;
        if !self.is_its_turn(step) {
            return None;
        }
        if !self.config.scripts.contains(&script) {
            self.end_script(step);
            return None;
        }
        self.run_script(script, force, out)
    }

    /// A part that runs already isn't started, one that doesn't run isn't stopped; the default prestart stops whatever there is.
    fn is_its_turn(&mut self, step: Step) -> bool {
        let prestart = self.goal() == Some(Goal::Ready);
        match step {
            Step::Start(part) if !self.has_part(part) => false,
            Step::Start(part) => self.scripts.parts.insert(part, Course::Started) != Some(Course::Started),
            Step::Stop(_) | Step::StopForce(_) if prestart => true,
            Step::Stop(part) if self.scripts.parts.contains_key(&part) => {
                self.scripts.parts.insert(part, Course::Stopping);
                true
            }
            Step::Stop(_) => false,
            Step::StopForce(part) => self.scripts.parts.contains_key(&part),
            _ => true,
        }
    }

    /// What the end of a step's script, or its absence, means for its part.
    pub(super) fn end_script(&mut self, step: Step) {
        if let Step::StopForce(part) = step {
            self.scripts.parts.remove(&part);
        }
    }

    pub(super) fn has_part(&self, part: Part) -> bool {
        self.config.scripts.contains(&part.start()) || self.config.scripts.contains(&part.stop())
    }

    /// Whether other parts run than belong to this state.
    pub(super) fn parts_differ_from(&self, state: ModuleState) -> bool {
        let started = |part: &Part| self.scripts.parts.get(part) == Some(&Course::Started);
        Part::START_ORDER.iter().any(|part| self.has_part(*part) && part.runs_in(state) != started(part))
    }

    fn run_script(&mut self, script: Script, force: bool, out: &mut Out) -> Option<Option<Instant>> {
        let plan = self.plan.as_ref()?;
        let mut args = arguments(force, plan.from, plan.next, action_of(plan, script));
        args.extend(self.services_to_restart());
        let timeout = match script {
            _ if script.is_stop() && force => Some(self.config.force_stop_timeout),
            _ if script.is_stop() || script == Script::Poststop => Some(self.config.nice_stop_timeout),
            // An application may need long to start, and `stop` is always there.
            _ => None,
        };
        let run = self.scripts.next_run();
        self.scripts.running = Some(run);
        log(out, if force { Event::ScriptForce(script) } else { Event::ScriptRun(script) });
        out.push(HeartEffect::RunScript { run, script, args, timeout });
        Some(timeout.map(|timeout| self.now + timeout + GRACE))
    }

    pub(super) fn on_script_ended(&mut self, run: RunId, script: Script, outcome: ScriptOutcome, out: &mut Out) {
        if !outcome.is_success() {
            log(out, Event::ScriptEnded(script, outcome));
        }
        if self.scripts.running == Some(run) {
            self.scripts.running = None;
            self.scripts.hangs = None;
            self.step_answered();
        }
        if self.scripts.transition.is_some_and(|(current, _)| current == run) {
            self.scripts.transition = None;
        }
    }

    pub(super) fn on_script_hangs(&mut self, run: RunId, script: Script, hang: Hang, out: &mut Out) {
        log(out, Event::ScriptHangs(script, hang.clone()));
        if self.scripts.running == Some(run) {
            self.scripts.hangs = Some((script, hang));
        }
    }

    pub(super) fn kill_script(&mut self, out: &mut Out) {
        if let Some(run) = self.scripts.running {
            out.push(HeartEffect::KillScript { run });
        }
    }

    /// Another plan begins now: the script of the one before doesn't run beside it.
    pub(super) fn abandon_script(&mut self, out: &mut Out) {
        self.kill_script(out);
        self.scripts.running = None;
        self.scripts.hangs = None;
    }

    pub(super) fn queue_transition(&mut self, from: ModuleState, to: ModuleState, action: Action) {
        if self.config.scripts.contains(&Script::Transition) {
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

/// A stop script on the way to a running state stops something: it is told so.
fn action_of(plan: &Plan, script: Script) -> Action {
    let runs = matches!(plan.goal, Goal::Running | Goal::Following);
    if runs && script.is_stop() { Action::Stop } else { plan.action }
}

/// The script of a step, and whether it is called with `force`.
pub(super) fn script_of(step: Step) -> Option<(Script, bool)> {
    match step {
        Step::Prestart => Some((Script::Prestart, false)),
        Step::Start(part) => Some((part.start(), false)),
        Step::Stop(part) => Some((part.stop(), false)),
        Step::StopForce(part) => Some((part.stop(), true)),
        Step::Poststop => Some((Script::Poststop, false)),
        Step::TakeRole
        | Step::SetVips
        | Step::ClearVips
        | Step::Drain
        | Step::Outdate
        | Step::Promise
        | Step::GiveRole
        | Step::StopRfs
        | Step::AbortRfs
        | Step::KillApplication
        | Step::Farewell => None,
    }
}
