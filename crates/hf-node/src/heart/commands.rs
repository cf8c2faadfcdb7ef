use super::actor::{HeartActor, Out, log};
use hf_module::mirror::{Goal, Plan};
use hf_types::{Caller, Colour, Command, Event, ModuleState, RefusedAction};
use hf_wire::heartbeat::SwapPhase;
use std::time::Duration;

/// How long the primary may take to begin a swap that the secondary asked for.
const SWAP_ASK_LIMIT: Duration = Duration::from_secs(10);

impl HeartActor {
    /// Takes or refuses a command; the error is the sentence for the person who gave it.
    pub(super) fn on_command(&mut self, command: Command, by: Caller, out: &mut Out) -> Result<(), String> {
        let starts = matches!(command, Command::Start | Command::Prim | Command::Primforce | Command::Second);
        if starts && self.state() == ModuleState::Stop {
            // Nothing is left but the last words: the daemon starts another heart for it.
            self.restart = Some(command);
            return Ok(());
        }
        if !matches!(command, Command::Incloop | Command::Checkloop | Command::Resetloop) {
            log(out, Event::ActionCalled { command, by: by.clone() });
        }
        if let Some(why) = self.why_refused(command) {
            let text = why.to_string();
            log(out, Event::ActionRefused { command, why });
            return Err(text);
        }
        if let Some(answer) = self.watch_loop(command, &by, out) {
            return answer;
        }
        match command {
            Command::Stop | Command::Shutdown => self.on_stop(out),
            Command::Forcestop if self.state() == ModuleState::Stop => {}
            Command::Forcestop => self.replace_plan(Plan::forced_stop(self.state()), out),
            Command::Stopstart => self.replace_plan(Plan::restart(self.state()), out),
            Command::Swap => self.on_swap(out),
            // Refused above: a module with a heart is started.
            Command::Start | Command::Prim | Command::Primforce | Command::Second => {}
            // Answered by watch_loop.
            Command::Incloop | Command::Checkloop | Command::Resetloop => {}
        }
        Ok(())
    }

    fn why_refused(&self, command: Command) -> Option<RefusedAction> {
        let state = self.state();
        match command {
            Command::Start | Command::Prim | Command::Primforce | Command::Second => {
                Some(RefusedAction::WrongState(state))
            }
            Command::Stop
            | Command::Shutdown
            | Command::Forcestop
            | Command::Incloop
            | Command::Checkloop
            | Command::Resetloop => None,
            Command::Stopstart if self.goal() == Some(Goal::Stopped) => Some(RefusedAction::Busy),
            Command::Stopstart => None,
            Command::Swap => self.why_no_swap(),
        }
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

    fn on_swap(&mut self, out: &mut Out) {
        log(out, Event::Transition { to: "SWAP".to_owned(), from: "SYSTEM".to_owned() });
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
