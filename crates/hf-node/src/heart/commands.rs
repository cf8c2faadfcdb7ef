use super::actor::{HeartActor, Out, log};
use hf_module::{Goal, Plan};
use hf_types::{Caller, Colour, Command, Event, ModuleState, RefusedAction};
use hf_wire::heartbeat::SwapPhase;
use std::time::Duration;

/// How long the primary may take to begin a swap that the secondary asked for.
const SWAP_ASK_LIMIT: Duration = Duration::from_secs(10);

impl HeartActor {
    /// Takes or refuses a command; the error is the sentence for the person who gave it.
    pub(super) fn on_command(&mut self, command: Command, by: Caller, out: &mut Out) -> Result<(), String> {
        if command.starts() && self.state() == ModuleState::Stop {
            // Nothing is left but the last words: the daemon starts another heart for it.
            self.restart = Some(command);
            return Ok(());
        }
        if let Some(rule) = by.as_rule() {
            self.log_rule(command, rule, out);
        } else if !matches!(command, Command::Incloop | Command::Checkloop | Command::Resetloop) {
            log(out, Event::ActionCalled { command, by: by.clone() });
        }
        if let Some(why) = self.why_refused(command) {
            let text = why.to_string();
            log(out, Event::ActionRefused { command, why });
            return Err(text);
        }
        self.forget_reboot(&by);
        if let Some(answer) = self.watch_loop(command, &by, out) {
            return answer;
        }
        match command {
            Command::Stop | Command::Shutdown => self.on_stop(out),
            Command::Forcestop if self.state() == ModuleState::Stop => {}
            Command::Forcestop => self.replace_plan(Plan::forced_stop(self.state()), out),
            Command::Stopstart if by.is_detector() && self.reboots_instead(out) => {}
            Command::Stopstart => {
                self.staying = None;
                self.replace_plan(Plan::restart(self.state()), out);
            }
            Command::Stopwait => self.on_stopwait(by, out),
            Command::Restart => self.begin_plan(Plan::restart_application(self.state()), out),
            Command::Swap | Command::SwapNosync => self.on_swap(&by, out),
            Command::FailoverOn => self.choose_failover(true, out),
            Command::FailoverOff => self.choose_failover(false, out),
            Command::CheckerOn => self.choose_checking(true, out),
            Command::CheckerOff => self.choose_checking(false, out),
            // Held by `stopwait`; the others were refused above: a module with a heart is started.
            Command::Start => self.go_on_from_stopwait(out),
            Command::Prim
            | Command::PrimFullsync
            | Command::Primforce
            | Command::Second
            | Command::SecondFullsync
            | Command::Secondforce(_) => {}
            // Answered by watch_loop.
            Command::Incloop | Command::Checkloop | Command::Resetloop => {}
        }
        Ok(())
    }

    pub(super) fn why_refused(&self, command: Command) -> Option<RefusedAction> {
        let (state, mode) = (self.state(), self.config.mode);
        match command {
            command if !command.is_for(mode) => Some(RefusedAction::OnlyMirror(mode)),
            Command::Start if self.staying.is_some() => None,
            command if command.starts() => Some(RefusedAction::WrongState(state)),
            Command::Stopstart | Command::Stopwait => {
                (self.goal() == Some(Goal::Stopped) || state == ModuleState::Stop).then_some(RefusedAction::Busy)
            }
            Command::Swap | Command::SwapNosync => self.why_no_swap(),
            Command::Restart => self.why_no_restart(),
            _ => None,
        }
    }

    /// The application has to be where it belongs; a secondary has none, and nothing is done there.
    fn why_no_restart(&self) -> Option<RefusedAction> {
        let state = self.state();
        if !state.runs_application() && state != ModuleState::Second {
            return Some(RefusedAction::WrongState(state));
        }
        let settled = self.plan.is_none() && self.swap == SwapPhase::None && !self.swapping;
        (self.colour() != Colour::Green || !settled).then_some(RefusedAction::Busy)
    }

    fn why_no_swap(&self) -> Option<RefusedAction> {
        let state = self.state();
        if !matches!(state, ModuleState::Prim | ModuleState::Second) {
            return Some(RefusedAction::WrongState(state));
        }
        if self.colour() != Colour::Green || self.plan.is_some() || self.swap != SwapPhase::None || self.swapping {
            return Some(RefusedAction::Busy);
        }
        let other = if state == ModuleState::Prim { ModuleState::Second } else { ModuleState::Prim };
        let ready = self.heard_peer().is_some_and(|peer| peer.state == other && peer.colour == Colour::Green);
        let in_step = !self.config.replicates || self.rfs.in_step;
        (!ready || !in_step).then_some(RefusedAction::NotInStep)
    }

    pub(super) fn on_stop(&mut self, out: &mut Out) {
        match self.goal() {
            // It stops already.
            Some(Goal::Stopped) => {}
            Some(_) | None => {
                self.replace_plan(Plan::stop(self.state()), out);
            }
        }
    }

    fn on_stopwait(&mut self, by: Caller, out: &mut Out) {
        if by.as_rule().is_none() {
            log(out, Event::Transition { to: "WAIT_TR".to_owned(), from: "SYSTEM".to_owned() });
        }
        self.staying = Some(by);
        let plan = if self.leaves_isolated() { Plan::isolated(self.state()) } else { Plan::stopwait(self.state()) };
        self.replace_plan(plan, out);
    }

    fn on_swap(&mut self, by: &Caller, out: &mut Out) {
        if by.as_rule().is_none() {
            log(out, Event::Transition { to: "SWAP".to_owned(), from: "SYSTEM".to_owned() });
        }
        self.begin_swap(out);
    }

    /// The primary stops its application; the secondary asks it to.
    pub(super) fn begin_swap(&mut self, out: &mut Out) {
        log(out, Event::BeginOfSwap);
        if self.state() == ModuleState::Prim {
            self.swap = SwapPhase::Begun;
            self.begin_plan(Plan::swap(), out);
        } else {
            self.swap = SwapPhase::Asked;
            self.swap_until = Some(self.now + SWAP_ASK_LIMIT);
        }
    }
}
