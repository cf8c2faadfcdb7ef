use super::HeartEffect;
use super::actor::{HeartActor, Out, RunningStep, log};
use super::checkers::when_of;
use super::scripts::script_of;
use hf_config::When;
use hf_module::{Goal, Place, Plan, Step, automaton};
use hf_replica::{Relation, compare};
use hf_types::{Action, Caller, Colour, Event, GenerationId, Instant, ModuleState, Script, Standing};
use hf_wire::bus::{HeartToDaemon, HeartToRfs, RfsRole};
use hf_wire::heartbeat::{Former, SwapPhase};
use std::time::Duration;

/// How long STOP is said to a peer that doesn't answer.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// How long an address may take to come or go, before the plan goes on (its kernel lifetime is a bound as well).
const VIP_LIMIT: Duration = Duration::from_secs(3);
/// How long the drain before a stop may take; what was not acknowledged by then never is.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
/// How long writing one record may take before the other node has to find out by itself.
const OUTDATE_LIMIT: Duration = Duration::from_secs(5);
/// How long unmounting may take before the mount is aborted.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(15);
/// How long the other copy may take to accept the primary's role.
const HANDOVER_LIMIT: Duration = Duration::from_secs(10);
/// What a forced stop grants a step.
const FORCED_LIMIT: Duration = Duration::from_secs(2);

impl HeartActor {
    pub(super) fn is_stopping(&self) -> bool {
        let leaves = |plan: &Plan| is_leaving(plan.goal);
        self.plan.as_ref().is_some_and(leaves) || self.next_plan.as_ref().is_some_and(leaves)
    }

    pub(super) fn goal(&self) -> Option<Goal> {
        self.plan.as_ref().map(|plan| plan.goal)
    }

    /// Begins a plan now, whatever ran before.
    pub(super) fn begin_plan(&mut self, plan: Plan, out: &mut Out) {
        let leaves = is_leaving(plan.goal);
        let runs = plan.goal == Goal::Running;
        if (leaves || runs) && self.state() != ModuleState::Stop {
            self.paint(Colour::Magenta, out);
        }
        if leaves {
            self.role_wanted = None;
            self.asking = None;
        }
        if leaves || stops_something(&plan, &self.scripts) {
            self.end_handlers(out);
        }
        if matches!(plan.goal, Goal::Stopped | Goal::Restarted | Goal::FallenBack) {
            self.watch_application_no_more();
        }
        self.forget_services();
        self.abandon_script(out);
        self.plan = Some(plan);
        self.step = None;
        self.next_plan = None;
    }

    /// Another plan instead of the one that runs; a script that runs ends first, unless it is a forced stop.
    pub(super) fn replace_plan(&mut self, plan: Plan, out: &mut Out) {
        if self.scripts.running.is_none() {
            self.begin_plan(plan, out);
            return;
        }
        self.paint(Colour::Magenta, out);
        if plan.forced {
            self.kill_script(out);
        }
        if let Some(step) = &mut self.step {
            let limit = if plan.forced { FORCED_LIMIT } else { self.config.nice_stop_timeout };
            step.deadline = Some(step.deadline.unwrap_or(self.now + limit).min(self.now + limit));
        }
        self.next_plan = Some(plan);
    }

    // ---- running ---------------------------------------------------------------------------------------------------

    /// Moves the plan as far as it goes.
    pub(super) fn advance(&mut self, out: &mut Out) -> bool {
        if let Some(step) = self.step {
            let late = step.deadline.is_some_and(|at| at <= self.now);
            if !step.done && !step.failed && !late && !self.is_reached(step.step, out) {
                return false;
            }
            self.step = None;
            self.end_step(step, late && !step.done, out);
            return true;
        }
        if let Some(plan) = self.next_plan.take() {
            self.begin_plan(plan, out);
            return true;
        }
        let listening = self.pair.listening();
        let Some(plan) = &mut self.plan else {
            return false;
        };
        if listening && plan.steps.front() == Some(&Step::TakeRole) {
            // The other node may have taken over while this one stood still: no role, no address before it is heard.
            return false;
        }
        match plan.steps.pop_front() {
            Some(step) => self.enter_step(step, out),
            None => self.end_plan(out),
        }
        true
    }

    fn enter_step(&mut self, step: Step, out: &mut Out) {
        self.end_checks_before(step, out);
        self.disable_before(step);
        let forced = self.plan.as_ref().is_some_and(|plan| plan.forced);
        let limit = |usual: Duration| Some(self.now + if forced { usual.min(FORCED_LIMIT) } else { usual });
        let begun: Option<Option<Instant>> = match step {
            Step::Prestart if !self.config.scripts.contains(&Script::Prestart) => {
                self.precede(automaton::default_prestart());
                None
            }
            Step::Prestart | Step::Start(_) | Step::Stop(_) | Step::StopForce(_) | Step::Poststop => {
                self.enter_script(step, out)
            }
            Step::TakeRole => {
                self.set_vips(out);
                Some(None)
            }
            Step::SetVips => Some(limit(VIP_LIMIT)),
            Step::ClearVips => {
                let at = limit(VIP_LIMIT);
                self.clear_vips(out);
                Some(at)
            }
            Step::Drain => {
                let at = limit(DRAIN_LIMIT);
                self.order_drain(out).then_some(at)
            }
            Step::Outdate => {
                let at = limit(OUTDATE_LIMIT);
                self.outdate_on_leaving().map(|since| {
                    self.order_outdate(since, out);
                    at
                })
            }
            Step::GiveRole => {
                let at = limit(HANDOVER_LIMIT);
                self.give_role(out).then_some(at)
            }
            Step::StopRfs => {
                let at = limit(UNMOUNT_LIMIT);
                self.order_stop(out).then_some(at)
            }
            Step::AbortRfs => {
                let alive = self.rfs.alive;
                if alive {
                    out.push(HeartEffect::KillRfs { abort: true });
                }
                alive.then(|| limit(VIP_LIMIT))
            }
            Step::Promise => {
                self.promise_to_leave(out);
                None
            }
            Step::KillApplication => {
                out.push(HeartEffect::KillApplication);
                None
            }
            Step::Farewell => {
                self.enter_stop(out);
                Some(None)
            }
        };
        match begun {
            Some(deadline) => self.step = Some(RunningStep { step, deadline, done: false, failed: false }),
            None => self.begin_checks_after(step),
        }
    }

    /// Checkers end before the stop script of the same name, and before `poststop` (reference 004, 13.11.3).
    fn end_checks_before(&mut self, step: Step, out: &mut Out) {
        match step {
            Step::Stop(part) | Step::StopForce(part) => self.end_checks(when_of(part), out),
            Step::Poststop | Step::Farewell => self.end_all_checks(out),
            _ => {}
        }
    }

    /// They begin after the start script, whether there is one or not.
    fn begin_checks_after(&mut self, step: Step) {
        if let Step::Start(part) = step {
            self.begin_checks(when_of(part));
        }
    }

    /// Whether what a step waits for is true, however it became so.
    fn is_reached(&mut self, step: Step, out: &mut Out) -> bool {
        match step {
            Step::TakeRole => self.take_role(out),
            Step::SetVips => self.vips.all_answered_set(),
            Step::ClearVips => self.vips.all_cleared(),
            Step::GiveRole => self.rfs.role == Some(RfsRole::Secondary),
            Step::Farewell => self.farewell_ended(),
            Step::StopRfs | Step::AbortRfs => !self.rfs.alive,
            Step::Prestart
            | Step::Start(_)
            | Step::Stop(_)
            | Step::StopForce(_)
            | Step::Poststop
            | Step::Drain
            | Step::Outdate
            | Step::Promise
            | Step::KillApplication => false,
        }
    }

    fn end_step(&mut self, step: RunningStep, late: bool, out: &mut Out) {
        if script_of(step.step).is_some() && late {
            self.abandon_script(out);
        }
        self.end_script(step.step);
        self.begin_checks_after(step.step);
        match step.step {
            Step::ClearVips if late => self.forget_vips(),
            Step::StopRfs if late && self.rfs.ending => {
                out.push(HeartEffect::KillRfs { abort: false });
                self.on_rfs_gone_as_asked();
            }
            Step::StopRfs if late => {
                log(out, Event::Text("Replication did not end in time: its mount is aborted".to_owned()));
                out.push(HeartEffect::KillRfs { abort: true });
                self.on_rfs_gone_as_asked();
            }
            Step::AbortRfs if late => self.on_rfs_gone_as_asked(),
            Step::GiveRole if late || step.failed => self.handover_failed(out),
            // What has not arrived there would be missing in the new primary's copy.
            Step::Drain if late && self.goal() == Some(Goal::Swapped) => self.back_to_primary(out),
            Step::Drain if late => {
                log(out, Event::Text("The other copy did not take everything in time".to_owned()));
            }
            _ => {}
        }
    }

    fn on_rfs_gone_as_asked(&mut self) {
        self.rfs.ending = false;
        self.rfs.alive = false;
        self.rfs.known = false;
        self.rfs.role = None;
        self.rfs.in_step = false;
        self.rfs.alone = None;
        self.rfs.deadline = None;
    }

    /// The script of the step has ended.
    pub(super) fn step_answered(&mut self) {
        if let Some(step) = &mut self.step
            && script_of(step.step).is_some()
        {
            step.done = true;
        }
    }

    pub(super) fn answer_step(&mut self, which: Step) {
        if let Some(step) = &mut self.step
            && step.step == which
        {
            step.done = true;
        }
    }

    pub(super) fn fail_step(&mut self, which: Step) {
        if let Some(step) = &mut self.step
            && step.step == which
        {
            step.failed = true;
        }
    }

    fn end_plan(&mut self, out: &mut Out) {
        let Some(plan) = self.plan.take() else {
            return;
        };
        match plan.goal {
            // WAIT decides from here, once checkers that run from now on have looked.
            Goal::Ready => {
                self.begin_checks(Some(When::Pre));
                self.enable_pre();
            }
            Goal::Running => {
                self.swap = SwapPhase::None;
                self.note_run(&plan, out);
                self.paint(Colour::Green, out);
            }
            Goal::Stopped => self.leave(out),
            Goal::Restarted => {
                self.rfs.ordered = None;
                self.intent = hf_types::Command::Start;
                if plan.action == Action::Stopstart {
                    log(out, Event::ActionCalled { command: hf_types::Command::Start, by: Caller::automatic() });
                }
                self.begin_start(plan.action, out);
                if plan.action == Action::Stopwait {
                    // No prestart (reference 004, 13.18.4), and what checks from there on goes on.
                    self.plan = None;
                    self.begin_checks(Some(When::Pre));
                }
            }
            Goal::Swapped => {
                if self.config.replicates {
                    self.swap = SwapPhase::None;
                } else {
                    // Nothing but this says that the other node may take the role.
                    self.swap_until = Some(self.now + HANDOVER_LIMIT);
                }
                self.former = Former::Prim;
                self.grant = None;
                // Who swapped by hand wants it so, whatever defaultprim says.
                self.default_swap_done = true;
                self.go(Place::of(ModuleState::Second, Colour::Magenta), Action::Stop, out);
            }
            // The colour follows when it is looked at.
            Goal::Following => {}
            Goal::FallenBack => self.fall_back(out),
        }
    }

    /// These steps come before those that the plan still has.
    fn precede(&mut self, steps: impl Iterator<Item = Step>) {
        if let Some(plan) = &mut self.plan {
            let rest = std::mem::take(&mut plan.steps);
            plan.steps = steps.chain(rest).collect();
        }
    }

    // ---- single steps ----------------------------------------------------------------------------------------------

    /// The role is taken once rfs is primary and may acknowledge.
    fn take_role(&mut self, out: &mut Out) -> bool {
        if !self.config.replicates {
            return true;
        }
        if let Some(why) = self.role_wanted
            && self.rfs.known
            && self.issue_grant(why, out)
        {
            self.role_wanted = None;
        }
        let primary = matches!(self.rfs.role, Some(RfsRole::Primary { .. }));
        self.role_wanted.is_none() && primary && (self.rfs.alone.is_some() || self.rfs.in_step)
    }

    fn order_drain(&mut self, out: &mut Out) -> bool {
        let wanted = self.config.replicates && self.rfs.known;
        if wanted {
            out.push(HeartEffect::ToRfs(HeartToRfs::Drain));
        }
        wanted
    }

    /// Since when this copy is to be outdated at the end of this plan; none if nobody is there who goes on.
    fn outdate_on_leaving(&self) -> Option<GenerationId> {
        let copy = self.rfs.copy.as_ref().filter(|_| self.rfs.known)?;
        if self.is_outpaced() || self.is_overtaken() {
            return self.peer.as_ref().and_then(|peer| peer.copy.as_ref()).map(|theirs| theirs.generation);
        }
        let peer = self.heard_peer()?;
        let theirs = peer.copy.as_ref()?;
        match self.state() {
            ModuleState::Alone | ModuleState::Prim => {
                if peer.state.is_primary() && compare(copy, theirs) == Relation::Diverged {
                    return Some(theirs.generation);
                }
                let follows = peer.state == ModuleState::Second && !peer.stopping && peer.in_step;
                (follows && self.rfs.alone.is_none() && self.config.failover).then_some(copy.generation)
            }
            ModuleState::Second => {
                // The primary goes on at once, also where it may not hand over.
                let goes_on = self.config.failover || (peer.state.is_primary() && !peer.stopping);
                (self.rfs.in_step && goes_on).then_some(copy.generation)
            }
            ModuleState::Wait | ModuleState::Stop | ModuleState::Up | ModuleState::Unknown => None,
        }
    }

    /// Nothing is acknowledged here any more, and this copy can't say so durably: the heart does, as long as it lives. It never goes
    /// back on it, because a period in step has a generation of its own.
    fn promise_to_leave(&mut self, out: &mut Out) {
        let in_step = self.rfs.copy.as_ref().filter(|copy| copy.standing == Standing::Connected);
        if let Some(generation) = in_step.map(|copy| copy.generation) {
            self.promised = Some(generation);
            log(out, Event::Text("This node promised that it acknowledges nothing any more".to_owned()));
        }
    }

    fn give_role(&mut self, out: &mut Out) -> bool {
        if !self.config.replicates {
            return false;
        }
        let follows = |peer: &hf_wire::heartbeat::Heartbeat| peer.state == ModuleState::Second && peer.in_step;
        if !self.rfs.in_step || !self.heard_peer().is_some_and(follows) {
            self.back_to_primary(out);
            return false;
        }
        self.grant = None;
        self.order_role(RfsRole::Secondary, out);
        true
    }

    /// The role may be here or there: this copy goes out of the way, the other one takes over.
    fn handover_failed(&mut self, out: &mut Out) {
        if self.rfs.copy.as_ref().is_some_and(|copy| copy.was_primary) {
            self.back_to_primary(out);
            return;
        }
        log(out, Event::Text("The other node did not take the role: this one leaves it".to_owned()));
        self.swap = SwapPhase::None;
        let mut plan = Plan::restart(ModuleState::Prim);
        // The addresses are gone already, and nothing is left to be drained.
        plan.steps.retain(|step| !matches!(step, Step::ClearVips | Step::Drain));
        self.begin_plan(plan, out);
    }

    /// Nothing was handed over: the application starts here again.
    fn back_to_primary(&mut self, out: &mut Out) {
        log(out, Event::Text("The other node can't take the role: the application goes on here".to_owned()));
        self.swap = SwapPhase::None;
        let epoch = self.epoch;
        self.order_role(RfsRole::Primary { epoch }, out);
        self.begin_plan(Plan::primary(ModuleState::Prim, ModuleState::Prim), out);
    }

    fn order_stop(&mut self, out: &mut Out) -> bool {
        if !self.config.replicates || !self.rfs.alive {
            return false;
        }
        self.rfs.ordered = None;
        if !self.rfs.known {
            // It never came so far as to listen.
            out.push(HeartEffect::KillRfs { abort: true });
            self.on_rfs_gone_as_asked();
            return false;
        }
        out.push(HeartEffect::ToRfs(HeartToRfs::Stop { orderly: true }));
        true
    }

    fn enter_stop(&mut self, out: &mut Out) {
        log(out, Event::EndOfStop);
        self.swap = SwapPhase::None;
        self.asking = None;
        self.go(Place::STOP, Action::Stop, out);
    }

    /// STOP is said until the peer has heard it.
    pub(super) fn farewell_wanted(&self) -> bool {
        self.step.is_some_and(|step| step.step == Step::Farewell)
    }

    fn farewell_ended(&self) -> bool {
        let heard = match self.farewell {
            Some((counter, until)) => self.pair.peer_has_heard(counter) || !self.pair.heard() || until <= self.now,
            None => !self.config.mode.has_pair(),
        };
        heard && self.scripts.transitions_ended()
    }

    fn leave(&mut self, out: &mut Out) {
        self.say_status(out);
        // Somebody wants it to run here, now.
        let reboot = self.reboot.is_some() && self.restart.is_none();
        let why = self.because.take();
        out.push(HeartEffect::ToDaemon(HeartToDaemon::Stopped { restart: self.restart, why, reboot }));
        out.push(HeartEffect::Exit);
        self.gone = true;
    }
}

/// Whether a plan stops something that runs by a start script.
fn stops_something(plan: &Plan, scripts: &super::scripts::Scripts) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Stop(part) | Step::StopForce(part) if scripts.runs(*part)))
}

/// Whether a plan to this goal ends what the module does in its state.
fn is_leaving(goal: Goal) -> bool {
    matches!(goal, Goal::Stopped | Goal::Restarted | Goal::Swapped | Goal::FallenBack)
}
