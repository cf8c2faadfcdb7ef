use super::actor::{HeartActor, Out, fences, log};
use hf_module::{Place, Plan};
use hf_replica::{Relation, Starter, compare, is_candidate, who_starts};
use hf_types::{Action, Caller, Colour, Command, Event, FailoverReason, GrantReason, ModuleState};
use hf_wire::bus::RfsRole;
use hf_wire::heartbeat::{Former, SwapPhase};
use std::time::Duration;

/// How long this copy may take to write that it is outdated, before its heart promises it instead.
pub(super) const CONSENT_LIMIT: Duration = Duration::from_secs(2);

/// How long both nodes may be secondaries in step, before the former primary resigns.
pub(super) const TWO_LIMIT: Duration = Duration::from_secs(3);
/// How long an order to write "outdated" is believed to be under way.
pub(super) const RESIGNING_LIMIT: Duration = Duration::from_secs(10);

impl HeartActor {
    pub(super) fn as_secondary(&mut self, out: &mut Out) -> bool {
        if self.is_stopping() {
            return false;
        }
        self.follow_swap(out)
            || self.resign_if_outpaced(out)
            || self.take_over(out)
            || self.settle_two_secondaries(out)
            || self.colour_of_step(out)
            || self.lose_primary(out)
            || self.swap_by_default(out)
    }

    // ---- swap ------------------------------------------------------------------------------------------------------

    fn follow_swap(&mut self, out: &mut Out) -> bool {
        if self.swap == SwapPhase::Begun {
            // This node gave the role; it is over when the other one has it.
            let taken = self.heard_peer().is_some_and(|peer| peer.state.is_primary());
            if taken || self.swap_until.is_none_or(|until| until <= self.now) {
                self.swap = SwapPhase::None;
                self.swap_until = None;
                return true;
            }
            return false;
        }
        if self.swap == SwapPhase::Asked && self.swap_until.is_some_and(|until| until <= self.now) && !self.swapping {
            self.swap = SwapPhase::None;
            self.swap_until = None;
            log(out, Event::Text("The primary did not begin the swap".to_owned()));
            return true;
        }
        let begun = self.heard_peer().is_some_and(|peer| peer.swap == SwapPhase::Begun);
        if begun && !self.swapping {
            self.swapping = true;
            if self.swap == SwapPhase::None {
                log(out, Event::BeginOfSwap);
            }
            self.swap = SwapPhase::None;
            self.swap_until = None;
            self.paint(Colour::Magenta, out);
            return true;
        }
        if self.was_handed_the_role() {
            return self.take_swapped_role(out);
        }
        if !self.swapping {
            return false;
        }
        if !self.is_swap_over() {
            return false;
        }
        self.swapping = false;
        self.swap_until = None;
        true
    }

    /// The other node went back to PRIM, is gone, or says nothing of a swap any more though this one never got the role.
    fn is_swap_over(&mut self) -> bool {
        let Some(peer) = self.heard_peer() else {
            return self.silent();
        };
        if peer.swap == SwapPhase::Begun {
            self.swap_until = None;
            return false;
        }
        if peer.state.is_primary() {
            return !peer.stopping;
        }
        let until = *self.swap_until.get_or_insert(self.now + TWO_LIMIT);
        until <= self.now
    }

    fn was_handed_the_role(&self) -> bool {
        if self.config.replicates {
            return matches!(self.rfs.role, Some(RfsRole::Primary { .. }));
        }
        self.swapping
            && self.heard_peer().is_some_and(|peer| peer.state == ModuleState::Second && peer.swap == SwapPhase::Begun)
    }

    fn take_swapped_role(&mut self, out: &mut Out) -> bool {
        self.swapping = false;
        self.former = Former::Prim;
        self.grant = None;
        if let Some(role @ RfsRole::Primary { .. }) = self.rfs.role {
            // What was ordered before was meant for a secondary.
            self.rfs.outdate = None;
            self.order_role(role, out);
        }
        if self.colour() == Colour::Green {
            self.paint(Colour::Magenta, out);
        }
        self.go(Place::of(ModuleState::Prim, Colour::Magenta), Action::Start, out);
        self.begin_plan(Plan::primary(ModuleState::Second, ModuleState::Prim), out);
        true
    }

    /// `defaultprim` (reference 004, 5.8): after the reintegration the preferred node becomes primary again.
    fn swap_by_default(&mut self, out: &mut Out) -> bool {
        let preferred =
            self.config.defaultprim.as_ref() == Some(&self.config.me) || (self.config.lastprim && self.was_primary);
        let ready = self.colour() == Colour::Green && self.swap == SwapPhase::None && !self.swapping;
        let primary =
            self.heard_peer().is_some_and(|peer| peer.state == ModuleState::Prim && peer.colour == Colour::Green);
        if self.default_swap_done || !preferred || !ready || !primary {
            return false;
        }
        self.default_swap_done = true;
        log(out, Event::Transition { to: "SWAP".to_owned(), from: "defaultprim".to_owned() });
        self.begin_swap(out);
        true
    }

    // ---- failover --------------------------------------------------------------------------------------------------

    fn take_over(&mut self, out: &mut Out) -> bool {
        let Some(reason) = self.takeover_reason() else {
            return false;
        };
        log(out, Event::ReasonOfFailover(reason));
        self.why = Some(reason.to_string());
        self.swap = SwapPhase::None;
        self.swapping = false;
        if !self.config.failover {
            self.failover_is_off(out);
            return true;
        }
        self.former = Former::Second;
        self.go(Place::of(ModuleState::Alone, Colour::Magenta), Action::Start, out);
        let why = match reason {
            FailoverReason::NoHeartbeat => GrantReason::Silence,
            FailoverReason::RemoteOutdated => GrantReason::Promised,
            FailoverReason::RemoteStop | FailoverReason::RemoteFenced => GrantReason::OutdatedConfirmed,
        };
        self.role_wanted = self.config.replicates.then_some(why);
        self.begin_plan(Plan::primary(ModuleState::Second, ModuleState::Alone), out);
        true
    }

    fn failover_is_off(&mut self, out: &mut Out) {
        let by = "failover-off".to_owned();
        log(out, Event::FailoverOff);
        log(out, Event::ActionCalled { command: Command::Stopstart, by: Caller::detector(&by) });
        log(out, Event::Transition { to: "STOPSTART".to_owned(), from: by });
        self.begin_plan(Plan::restart(ModuleState::Second), out);
    }

    /// This copy could go on from where the primary is.
    fn follows(&self) -> bool {
        let in_step = !self.config.replicates
            || (self.in_step() && self.rfs.role == Some(RfsRole::Secondary) && !self.is_resigning());
        in_step && !self.is_outpaced() && !self.is_left_behind()
    }

    /// This secondary would take over if it heard nothing more.
    pub(super) fn may_take_over(&self) -> bool {
        self.state() == ModuleState::Second && !self.is_stopping() && self.config.failover && self.follows()
    }

    /// Only a copy in step takes over; and a node that stood still listens first.
    fn takeover_reason(&self) -> Option<FailoverReason> {
        if !self.follows() {
            return None;
        }
        if self.primary_resigned() {
            return Some(FailoverReason::RemoteStop);
        }
        if self.primary_promised() {
            return Some(FailoverReason::RemoteOutdated);
        }
        let fenced = self.daemon_peer.as_ref().and_then(|peer| peer.fenced);
        let epoch = self.rfs.copy.as_ref().map_or(self.epoch, |copy| copy.epoch);
        // A fence on another permission than the one under which both are in step says that the primary had gone on alone.
        if fences(fenced, self.primary_peer, epoch) {
            return Some(FailoverReason::RemoteFenced);
        }
        let quiet = self.pair.silent(self.now, self.takeover_silence()) && !self.pair.listening();
        let silent = quiet && self.witness_allows();
        silent.then_some(FailoverReason::NoHeartbeat)
    }

    /// The primary said durably that this copy may go on without it; without data, that it is no longer primary.
    fn primary_resigned(&self) -> bool {
        if !self.config.replicates {
            let gone = |state| matches!(state, ModuleState::Stop | ModuleState::Wait);
            return gone(self.remote.0) && !self.swapping;
        }
        let Some(copy) = &self.rfs.copy else {
            return false;
        };
        let said = self.peer.as_ref().and_then(|peer| peer.outdated).map(|outdated| outdated.since);
        said == Some(copy.generation) || self.peer_outdated == Some(copy.generation)
    }

    /// The primary's disk failed: its heart promised what its record can't say any more.
    fn primary_promised(&self) -> bool {
        let promised = self.peer.as_ref().and_then(|peer| peer.promised);
        self.config.replicates && self.rfs.copy.as_ref().is_some_and(|copy| promised == Some(copy.generation))
    }

    /// The primary went on alone (it heard nothing, though it is heard): this copy says so durably and is out of step.
    fn resign_if_outpaced(&mut self, out: &mut Out) -> bool {
        match &self.rfs.copy {
            Some(mine) if self.rfs.in_step && (self.is_outpaced() || self.is_left_behind()) => {
                let since = mine.generation;
                self.order_outdate(since, out)
            }
            _ => false,
        }
    }

    /// The other copy is known to have gone on from this one; it does not have to be heard any more for that.
    pub(super) fn is_outpaced(&self) -> bool {
        let theirs = self.peer.as_ref().and_then(|peer| peer.copy.as_ref());
        match (&self.rfs.copy, theirs) {
            (Some(mine), Some(theirs)) => {
                // Only a primary goes on; a secondary's later generation is one that this node's rfs gave it.
                compare(mine, theirs) == Relation::Ancestor
                    && theirs.was_primary
                    && theirs.up_to_date
                    && theirs.consistent
            }
            _ => false,
        }
    }

    /// The primary said that it has permission to go on without this copy; its record didn't say so yet, and its rfs may even not have
    /// heard of it. It may stand still since, but what it acknowledged before that isn't here.
    fn is_left_behind(&self) -> bool {
        let (Some(mine), Some(peer)) = (&self.rfs.copy, &self.peer) else {
            return false;
        };
        let swap = self.swap != SwapPhase::None || peer.swap != SwapPhase::None;
        let unknown = |granted| granted != mine.generation && !mine.history.contains(&granted);
        peer.state.is_primary() && !swap && peer.granted.is_some_and(unknown)
    }

    /// Nobody is primary though this copy is in step: a heart there was started again, or a swap broke off half-way.
    fn settle_two_secondaries(&mut self, out: &mut Out) -> bool {
        let Some(peer) = self.heard_peer().cloned() else {
            return false;
        };
        if peer.state.is_primary() {
            self.asking = None;
        }
        let (Some(mine), Some(theirs)) = (self.rfs.copy.clone(), &peer.copy) else {
            return false;
        };
        if !self.in_step() || self.swapping || peer.stopping || peer.swap != SwapPhase::None {
            return false;
        }
        match peer.state {
            ModuleState::Wait if who_starts(&mine, theirs, self.preferred()) == Starter::Me => {
                self.ask_to_outdate(mine.generation)
            }
            ModuleState::Second if peer.in_step && self.is_former_primary(peer.former) => {
                // The new primary's heart may not know yet that it is.
                let since = *self.two_since.get_or_insert(self.now);
                self.now.since(since) >= TWO_LIMIT && self.order_outdate(mine.generation, out)
            }
            _ => {
                self.two_since = None;
                false
            }
        }
    }

    fn is_former_primary(&self, theirs: Former) -> bool {
        match (self.former == Former::Prim, theirs == Former::Prim) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => self.config.me_first,
        }
    }

    // ---- colours ---------------------------------------------------------------------------------------------------

    fn colour_of_step(&mut self, out: &mut Out) -> bool {
        let primary = self.heard_peer().is_some_and(|peer| peer.state.is_primary());
        let in_step = !self.config.replicates || (self.in_step() && self.rfs.role == Some(RfsRole::Secondary));
        let out_of_step = self.config.replicates && !self.in_step();
        match self.colour() {
            Colour::Magenta if in_step && primary && !self.swapping && self.plan.is_none() => {
                self.why = None;
                if self.ends_by_schedule(out) {
                    return true;
                }
                if self.parts_differ_from(ModuleState::Second) {
                    self.begin_plan(Plan::follow(self.came_from), out);
                } else {
                    self.paint(Colour::Green, out);
                }
                true
            }
            Colour::Green if out_of_step => {
                self.paint(Colour::Magenta, out);
                true
            }
            _ => false,
        }
    }

    /// A copy that is not in step never takes over: back to WAIT when the primary is gone.
    fn lose_primary(&mut self, out: &mut Out) -> bool {
        let peer_is_primary = match self.heard_peer() {
            // What its disk failed for stays half a copy here.
            Some(peer) => peer.state.is_primary() && !peer.degraded,
            None => !self.silent() && self.remote.0 != ModuleState::Stop,
        };
        let waits = self.colour() == Colour::Magenta && !self.swapping && self.swap != SwapPhase::Begun;
        let in_step = self.config.replicates && self.in_step();
        if peer_is_primary || !waits || in_step {
            return false;
        }
        if self.scripts.nothing_runs() {
            self.fall_back(out);
        } else {
            self.begin_plan(Plan::fall_back(), out);
        }
        true
    }

    pub(super) fn fall_back(&mut self, out: &mut Out) {
        if self.config.replicates {
            self.order_role(RfsRole::Idle, out);
        }
        self.waiting_since = self.now;
        self.held = None;
        self.go(Place::STARTING, Action::Stopstart, out);
    }

    // ---- consent ---------------------------------------------------------------------------------------------------

    /// The peer would like to go on alone: this copy lets it, if it is not to be primary itself (guide P4 (a)).
    pub(super) fn consent(&mut self, out: &mut Out) -> bool {
        let Some(peer) = self.heard_peer() else {
            return false;
        };
        let (Some(asked), Some(mine)) = (peer.please_outdate, self.rfs.copy.clone()) else {
            return false;
        };
        let done = mine.standing == (hf_types::Standing::Outdated { since: asked.since });
        if done || !self.may_resign(&mine) {
            self.consenting = None;
            return false;
        }
        let since = *self.consenting.get_or_insert(self.now);
        if (self.rfs.disk_failed || since + CONSENT_LIMIT <= self.now) && self.promised != Some(asked.since) {
            self.promised = Some(asked.since);
            log(out, Event::Text("This node promised not to take over".to_owned()));
            return true;
        }
        !self.rfs.disk_failed && self.order_outdate(asked.since, out)
    }

    /// "Outdated" is on its way to the disk: nothing that follows from the present record may be begun.
    pub(super) fn is_resigning(&self) -> bool {
        self.rfs.outdate.is_some_and(|(_, since)| self.now.since(since) < RESIGNING_LIMIT)
    }

    /// Secondary: may take over. A promise not to outlives what rfs says.
    pub(super) fn in_step(&self) -> bool {
        let promised = self.state() == ModuleState::Second
            && self.rfs.copy.as_ref().is_some_and(|copy| self.promised == Some(copy.generation));
        self.rfs.in_step && !promised
    }

    fn may_resign(&self, mine: &hf_types::CopyState) -> bool {
        let Some(theirs) = self.heard_peer().and_then(|peer| peer.copy.clone()) else {
            return false;
        };
        let newer = compare(mine, &theirs) == Relation::Descendant && is_candidate(mine);
        match self.state() {
            ModuleState::Second => !newer && self.role_wanted.is_none(),
            // An administrator said that this copy is the one: consenting to the other one's start would make two primaries.
            ModuleState::Wait if matches!(self.intent, Command::Prim | Command::PrimFullsync | Command::Primforce) => {
                false
            }
            ModuleState::Wait => {
                let mine_first = matches!(who_starts(mine, &theirs, self.preferred()), Starter::Me);
                !newer && !mine_first
            }
            ModuleState::Stop | ModuleState::Alone | ModuleState::Prim | ModuleState::Up | ModuleState::Unknown => {
                false
            }
        }
    }
}
