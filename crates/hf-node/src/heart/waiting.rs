use super::actor::{HeartActor, Out, log};
use super::peer::PeerNow;
use hf_module::{Place, Plan};
use hf_replica::{Preferred, Relation, Starter, compare, is_candidate, who_starts, why_not_alone};
use hf_types::{
    Action, Colour, Command, CopyState, Epoch, Event, GenerationId, GrantReason, ModuleState, NodeName, NotPrimary,
    RefusedAction,
};
use hf_wire::bus::RfsRole;
use hf_wire::heartbeat::{Heartbeat, Outdating};

impl HeartActor {
    /// WAIT: who becomes primary (docs/internals/mirror.md, "Start"). What is heard later decides later.
    pub(super) fn in_wait(&mut self, out: &mut Out) -> bool {
        if self.plan.is_some()
            || (self.config.replicates && !self.rfs.known)
            || self.is_resigning()
            || self.pair.listening()
        {
            return false;
        }
        if self.hold_until.is_some_and(|at| at > self.now) {
            return self.hold(NotPrimary::Outdated, out);
        }
        self.hold_until = None;
        if self.rfs.disk_failed {
            self.begin_plan(Plan::restart(ModuleState::Wait), out);
            return true;
        }
        if self.staying.as_ref().is_some_and(|by| by.as_rule().is_none()) {
            return self.stay(out);
        }
        if self.is_held_by_rule() {
            return self.stay_by_rule(out);
        }
        if self.staying.is_some() || self.rules.held.is_some() {
            self.go_on_from_rule(out);
            return true;
        }
        if self.awaits_first_measure() {
            return false;
        }
        if !self.config.mode.has_pair() {
            return self.serve(out);
        }
        match self.intent {
            Command::Prim | Command::PrimFullsync => self.start_prim(false, out),
            Command::Primforce => self.start_prim(true, out),
            intent if intent.starts_second() => self.start_second(out),
            _ => self.start_by_rule(out),
        }
    }

    fn start_by_rule(&mut self, out: &mut Out) -> bool {
        match self.peer_now() {
            PeerNow::Heard(peer) if peer.state.is_primary() => {
                let newer = self.is_newer_than(&peer);
                if peer.stopping || newer {
                    // It is leaving that state, or will yield to this copy.
                    return self.keep_waiting(out);
                }
                if peer.degraded {
                    return self.hold(NotPrimary::PeerDegraded, out);
                }
                if self.awaits_schedule() {
                    return self.hold(NotPrimary::Scheduled, out);
                }
                self.become_secondary(out)
            }
            PeerNow::Heard(peer) => match self.rfs.copy.clone() {
                Some(mine) => self.start_with(&mine, &peer, out),
                None => self.start_without_data(&peer, out),
            },
            PeerNow::Stopped | PeerNow::Silent => self.start_unasked(true, out),
            PeerNow::Listening { .. } => self.start_unasked(false, out),
        }
    }

    /// Whether this copy descends from that primary's, which does not know it yet (guide P7).
    fn is_newer_than(&self, peer: &Heartbeat) -> bool {
        match (&self.rfs.copy, &peer.copy) {
            (Some(mine), Some(theirs)) => compare(mine, theirs) == Relation::Descendant && is_candidate(mine),
            _ => false,
        }
    }

    /// Both wait, and know each other's copy.
    fn start_with(&mut self, mine: &CopyState, peer: &Heartbeat, out: &mut Out) -> bool {
        let Some(theirs) = &peer.copy else {
            return self.keep_waiting(out);
        };
        match who_starts(mine, theirs, self.preferred()) {
            Starter::Me if why_not_alone(mine).is_none() => self.become_primary(GrantReason::OutdatedConfirmed, out),
            Starter::Me if peer.outdated.is_some_and(|outdated| outdated.since == mine.generation) => {
                self.become_primary(GrantReason::OutdatedConfirmed, out)
            }
            Starter::Me => {
                let changed = self.keep_waiting(out);
                self.ask_to_outdate(mine.generation) || changed
            }
            Starter::Peer => self.keep_waiting(out),
            Starter::Nobody(why) => self.hold(why, out),
        }
    }

    fn start_without_data(&mut self, peer: &Heartbeat, out: &mut Out) -> bool {
        if peer.state == ModuleState::Wait && self.preferred() == Preferred::Me {
            self.become_primary(GrantReason::NoData, out)
        } else {
            self.keep_waiting(out)
        }
    }

    /// Nobody answers. `for_sure`: for a full time-out, or the other node says that the module is stopped there.
    fn start_unasked(&mut self, for_sure: bool, out: &mut Out) -> bool {
        let settled = self.now.since(self.waiting_since) >= self.settle_time() && !self.pair.listening();
        let unsure = self.rfs.copy.as_ref().map_or(!self.config.replicates, |_| self.may_resume());
        if unsure && for_sure && settled && self.peer_now() == PeerNow::Silent {
            let before = self.is_isolated();
            if self.witness_holds(out) {
                return self.keep_waiting(out) || before != self.is_isolated();
            }
        }
        match self.rfs.copy.as_ref().map(|mine| self.why_not_unasked(mine)) {
            Some(None) if settled => self.become_primary(GrantReason::OutdatedConfirmed, out),
            None if for_sure && settled && !self.config.replicates => self.become_primary(GrantReason::NoData, out),
            Some(Some(_)) if for_sure && settled && self.may_resume() => self.become_primary(GrantReason::Silence, out),
            Some(Some(why)) if for_sure => match self.relaxed(out) {
                Some(reason) => self.become_primary(reason, out),
                None => self.hold(why, out),
            },
            _ => self.keep_waiting(out),
        }
    }

    /// The tie-break: the node of `defaultprim`, else the first of cluster.xml.
    pub(super) fn preferred(&self) -> Preferred {
        let me = match &self.config.defaultprim {
            Some(node) if *node == self.config.me => true,
            Some(node) if Some(node) == self.config.peer.as_ref() => false,
            Some(_) | None => self.config.me_first,
        };
        if me { Preferred::Me } else { Preferred::Peer }
    }

    pub(super) fn ask_to_outdate(&mut self, since: GenerationId) -> bool {
        let asking = Outdating { since, epoch: Epoch(self.epoch.0 + 1) };
        if self.asking.is_some_and(|asked| asked.since == since) {
            return false;
        }
        self.asking = Some(asking);
        true
    }

    // ---- commands at the start -------------------------------------------------------------------------------------

    fn start_prim(&mut self, force: bool, out: &mut Out) -> bool {
        let command = self.intent;
        let consistent = self.rfs.copy.as_ref().is_none_or(|copy| copy.consistent);
        let told = self.daemon_says_primary();
        match self.peer_now() {
            PeerNow::Heard(peer) if peer.state.is_primary() && !peer.stopping => {
                let why = RefusedAction::PeerPrimary(peer.state);
                log(out, Event::ActionRefused { command, why });
                self.abort_prim(out)
            }
            PeerNow::Listening { settled: false } => false,
            // Its daemon is heard, its heart not: another LAN is cut, or this node just began to listen.
            PeerNow::Listening { settled: true } if told.is_some() => false,
            PeerNow::Stopped | PeerNow::Silent if told.is_some() => {
                let why = RefusedAction::PeerPrimary(told.unwrap_or(ModuleState::Unknown));
                log(out, Event::ActionRefused { command, why });
                self.abort_prim(out)
            }
            _ if !consistent && !force => {
                log(out, Event::MaybeInconsistent);
                log(out, Event::RunPrimforceIfSure);
                self.abort_prim(out)
            }
            PeerNow::Heard(peer) if peer.stopping && peer.state.is_primary() => false,
            PeerNow::Heard(_) | PeerNow::Stopped | PeerNow::Silent | PeerNow::Listening { .. } => {
                let why = if self.config.replicates { GrantReason::Administrator } else { GrantReason::NoData };
                self.become_primary(why, out)
            }
        }
    }

    fn abort_prim(&mut self, out: &mut Out) -> bool {
        log(out, Event::PrimAborted);
        self.why = Some(Event::PrimAborted.to_string());
        self.because = self.why.clone();
        self.begin_plan(Plan::stop(ModuleState::Wait), out);
        true
    }

    fn start_second(&mut self, out: &mut Out) -> bool {
        let waited = self.now.since(self.waiting_since) >= self.shortest_timeout();
        let other = match self.peer_now() {
            PeerNow::Heard(peer) if peer.state.is_primary() && !peer.stopping => return self.become_secondary(out),
            PeerNow::Listening { .. } => return false,
            PeerNow::Heard(_) if !waited => return false,
            PeerNow::Heard(peer) => peer.state,
            PeerNow::Stopped => ModuleState::Stop,
            PeerNow::Silent => ModuleState::Unknown,
        };
        let why = RefusedAction::PeerNotPrimary(other);
        self.why = Some(why.to_string());
        log(out, Event::ActionRefused { command: self.intent, why });
        self.begin_plan(Plan::stop(ModuleState::Wait), out);
        true
    }

    // ---- out of WAIT -----------------------------------------------------------------------------------------------

    /// WAIT (red), with the reference's words (5.5, 5.9).
    fn hold(&mut self, why: NotPrimary, out: &mut Out) -> bool {
        self.asking = None;
        if self.held == Some(why) {
            return false;
        }
        self.held = Some(why);
        self.why = Some(why.to_string());
        match why {
            NotPrimary::PeerDegraded => self.tell_degraded(out),
            NotPrimary::Scheduled => self.tell_scheduled(out),
            _ => Self::tell_not_up_to_date(why, out),
        }
        self.go(Place::HELD, Action::Start, out);
        true
    }

    fn tell_not_up_to_date(why: NotPrimary, out: &mut Out) {
        let inconsistent = why == NotPrimary::Inconsistent;
        log(out, if inconsistent { Event::MaybeInconsistent } else { Event::MaybeNotUpToDate(why) });
        log(out, Event::ActionFromRule { action: "wait".to_owned(), rule: "notuptodate_server".to_owned() });
        log(out, if inconsistent { Event::RunPrimforceIfSure } else { Event::RunPrimIfSure });
    }

    /// Reference 004, 5.6: a copy of a failing disk would be none, and the record of a second copy is one write more that may fail there
    /// and end the application.
    fn tell_degraded(&self, out: &mut Out) {
        log(out, Event::ActionFromRule { action: "wait".to_owned(), rule: "degraded_server".to_owned() });
        let module = &self.config.module;
        let peer = self.config.peer.as_ref().map_or("the other node", NodeName::as_str);
        let text = format!(
            "The disk of {peer} failed and the module goes on there alone, without replication: repair the disk, then 'holdfast stop -m {module}' \
             and 'holdfast start -m {module}' on {peer}"
        );
        log(out, Event::Text(text));
    }

    /// WAIT (red), because `stopwait` was said.
    fn stay(&mut self, out: &mut Out) -> bool {
        if self.colour() == Colour::Red {
            return false;
        }
        let module = &self.config.module;
        self.why = Some(format!("held in WAIT by stopwait; 'holdfast start -m {module}' goes on"));
        self.go(Place::HELD, Action::Stopwait, out);
        true
    }

    /// `start` ends what `stopwait` began.
    pub(super) fn go_on_from_stopwait(&mut self, out: &mut Out) {
        self.staying = None;
        self.why = None;
        self.waiting_since = self.now;
        if self.colour() == Colour::Red {
            log(out, Event::Transition { to: "WAKEUP".to_owned(), from: "SYSTEM".to_owned() });
            self.go(Place::STARTING, Action::Start, out);
        }
    }

    /// WAIT (magenta): a decision is on its way.
    fn keep_waiting(&mut self, out: &mut Out) -> bool {
        if self.held.is_none() || matches!(self.peer_now(), PeerNow::Listening { .. }) {
            return false;
        }
        self.wake_up(out);
        true
    }

    fn wake_up(&mut self, out: &mut Out) {
        self.held = None;
        self.why = None;
        if self.colour() == Colour::Red {
            log(out, Event::Transition { to: "WAKEUP".to_owned(), from: "failover rule Implicit_WAKEUP".to_owned() });
            self.go(Place::STARTING, Action::Start, out);
        }
    }

    fn become_primary(&mut self, why: GrantReason, out: &mut Out) -> bool {
        if why == GrantReason::Administrator {
            // He answers for the other copy, whatever was heard of it.
            self.other_copy = None;
        }
        self.wake_up(out);
        self.intent = Command::Start;
        self.asking = None;
        self.go(Place::of(ModuleState::Alone, Colour::Magenta), Action::Start, out);
        self.role_wanted = self.config.replicates.then_some(why);
        self.begin_plan(Plan::primary(ModuleState::Wait, ModuleState::Alone), out);
        true
    }

    /// Light and farm modules ask nobody (reference 004, 6.2).
    fn serve(&mut self, out: &mut Out) -> bool {
        self.go(Place::of(ModuleState::Up, Colour::Magenta), Action::Start, out);
        self.begin_plan(Plan::serve(), out);
        true
    }

    fn become_secondary(&mut self, out: &mut Out) -> bool {
        self.wake_up(out);
        self.intent = Command::Start;
        self.asking = None;
        self.go(Place::of(ModuleState::Second, Colour::Magenta), Action::Start, out);
        if self.config.replicates {
            self.order_role(RfsRole::Secondary, out);
        }
        true
    }
}
