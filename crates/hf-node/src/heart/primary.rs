use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_module::{Goal, Place, Plan};
use hf_replica::grant::{Evidence, Grant, NoWitness, Verdict, decide};
use hf_replica::{Preferred, Relation, compare};
use hf_types::{
    Action, Colour, CopyState, Event, FailoverReason, GrantReason, Instant, ModuleState, RfsFault, Standing,
};
use hf_wire::bus::{HeartToRfs, RfsRole};
use hf_wire::heartbeat::{Former, Heartbeat, SwapPhase};
use std::time::Duration;

/// How long a broken link may take to be back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long another primary may take to hear this one, before this one makes way for it unheard.
const MEETING: Duration = Duration::from_secs(1);

impl HeartActor {
    /// ALONE and PRIM.
    pub(super) fn as_primary(&mut self, out: &mut Out) -> bool {
        if matches!(self.goal(), Some(Goal::Stopped | Goal::Restarted)) {
            return false;
        }
        self.yield_if_outpaced(out) || self.meet(out) || self.leave_if_resigned(out) || self.with_or_without(out)
    }

    fn with_or_without(&mut self, out: &mut Out) -> bool {
        self.goal() != Some(Goal::Swapped)
            && (self.follow_secondary(out) || self.adjust_parts(out) || self.answer_swap(out))
    }

    /// What runs in only one of ALONE and PRIM.
    fn adjust_parts(&mut self, out: &mut Out) -> bool {
        let state = self.state();
        if self.plan.is_some() || self.swap != SwapPhase::None || !self.parts_differ_from(state) {
            return false;
        }
        self.begin_plan(Plan::adjust(self.came_from, state), out);
        true
    }

    // ---- permission to acknowledge ---------------------------------------------------------------------------------

    /// Answers an rfs that asks to go alone, and gives permission unasked when the other copy is known to be out.
    pub(super) fn decide_grant(&mut self, out: &mut Out) -> bool {
        let primary = matches!(self.rfs.ordered, Some(RfsRole::Primary { .. }));
        if !primary || !self.rfs.known || self.role_wanted.is_some() || self.rfs.alone.is_some() {
            return false;
        }
        let Some(copy) = self.rfs.copy.clone() else {
            return false;
        };
        if matches!(copy.standing, Standing::Outdated { .. }) || self.is_resigning() {
            return false;
        }
        if self.is_beside_a_primary(&copy) {
            return false;
        }
        if let Some(grant) = self.grant_in_force(&copy) {
            return self.repeat_grant(grant, out);
        }
        if self.grant_pending() || self.is_outpaced() || self.is_overtaken() {
            return false;
        }
        match decide(&self.evidence(&copy), &NoWitness) {
            Verdict::Grant(why) => self.issue_grant(why, out),
            Verdict::Ask if self.patience_ends().is_some_and(|at| at <= self.now) && self.pair.heard() => {
                self.ask_to_outdate(copy.generation)
            }
            Verdict::Ask => false,
        }
    }

    /// Until when a link that only broke (or an rfs that is being started again) may come back, before the other copy is
    /// asked to resign. What is known to be wrong there waits for nothing.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        let patience = PATIENCE.min(self.shortest_timeout());
        self.ask.as_ref().map(|(why, since)| match why {
            RfsFault::LinkDown => *since + patience,
            RfsFault::LocalDisk(_)
            | RfsFault::NotMounted(_)
            | RfsFault::RemoteDisk(_)
            | RfsFault::Diverged(_)
            | RfsFault::Stalled
            | RfsFault::Fenced(_) => *since,
        })
    }

    /// Another primary is heard that does not descend less than this one: first one of the two makes way. (Its copy may
    /// still look equal: what it is about to be is not durable yet.)
    fn is_beside_a_primary(&self, mine: &CopyState) -> bool {
        let Some(peer) = self.heard_peer().filter(|peer| peer.state.is_primary() && !peer.stopping) else {
            return false;
        };
        peer.copy.as_ref().is_none_or(|theirs| compare(mine, theirs) != Relation::Descendant)
    }

    /// A permission was given and is on its way to the disk.
    pub(super) fn grant_pending(&self) -> bool {
        let durable = self.rfs.copy.as_ref().map(|copy| copy.generation);
        self.role_wanted.is_some() || self.grant.is_some_and(|grant| Some(grant.generation) != durable)
    }

    /// The permission that this rfs (or its predecessor) has is still good; it only has to hear it again.
    fn grant_in_force(&self, copy: &CopyState) -> Option<Grant> {
        let alone = matches!(copy.standing, Standing::AloneConfirmed | Standing::AloneUnconfirmed);
        self.grant.filter(|grant| grant.generation == copy.generation && alone)
    }

    /// Not before this node has listened, if it stood still.
    fn repeat_grant(&mut self, grant: Grant, out: &mut Out) -> bool {
        if self.ask.is_none() || self.pair.listening() {
            return false;
        }
        self.ask = None;
        self.send_grant(grant, out);
        true
    }

    fn evidence(&self, copy: &CopyState) -> Evidence {
        let said = self.heard_peer().and_then(|peer| peer.outdated).map(|outdated| outdated.since);
        let fenced = self.daemon_peer.as_ref().and_then(|peer| peer.fenced);
        let heart = self.peer.as_ref().map(|peer| peer.incarnation);
        let here = |since: &hf_types::GenerationId| *since == copy.generation;
        Evidence {
            generation: copy.generation,
            peer_outdated: said.filter(here).or(self.peer_outdated),
            peer_promised: self.heard_peer().and_then(|peer| peer.promised),
            // A fence on a later permission than ours would mean that the other one had gone on alone.
            peer_fenced: fenced.is_some_and(|fenced| Some(fenced.heart) == heart && fenced.epoch <= copy.epoch),
            silent: self.silent() && self.witness_allows(),
            listening: self.pair.listening(),
        }
    }

    // ---- with and without a secondary ------------------------------------------------------------------------------

    /// ALONE becomes PRIM when the other node is SECOND (green), and back.
    fn follow_secondary(&mut self, out: &mut Out) -> bool {
        let colour = self.colour();
        match self.state() {
            ModuleState::Alone if self.is_followed() => {
                self.former = Former::Prim;
                self.why = None;
                self.go(Place::of(ModuleState::Prim, colour), Action::Start, out);
                true
            }
            ModuleState::Prim if self.is_alone() => {
                log(out, Event::ReasonOfFailover(self.reason_alone()));
                self.former = Former::Prim;
                self.why = Some(self.reason_alone().to_string());
                self.go(Place::of(ModuleState::Alone, colour), Action::Start, out);
                true
            }
            _ => false,
        }
    }

    fn is_followed(&self) -> bool {
        let peer = self.heard_peer();
        let second = peer
            .is_some_and(|peer| peer.state == ModuleState::Second && peer.colour == Colour::Green && !peer.stopping);
        second && (!self.config.replicates || (self.rfs.in_step && self.rfs.alone.is_none()))
    }

    fn is_alone(&self) -> bool {
        if self.config.replicates {
            return self.rfs.alone.is_some() && !self.rfs.in_step;
        }
        self.swap == SwapPhase::None
            && !self.swapping
            && self.heard_peer().is_none_or(|peer| peer.state != ModuleState::Second)
    }

    fn reason_alone(&self) -> FailoverReason {
        let granted = self.grant.map(|grant| grant.why);
        match self.remote.0 {
            ModuleState::Unknown => FailoverReason::NoHeartbeat,
            _ if granted == Some(GrantReason::Silence) => FailoverReason::NoHeartbeat,
            ModuleState::Stop | ModuleState::Wait => FailoverReason::RemoteStop,
            _ if self.heard_peer().is_some_and(|peer| peer.stopping) => FailoverReason::RemoteStop,
            _ => FailoverReason::RemoteOutdated,
        }
    }

    /// The secondary asked for a swap.
    fn answer_swap(&mut self, out: &mut Out) -> bool {
        let asked = self.heard_peer().is_some_and(|peer| {
            peer.swap == SwapPhase::Asked && peer.state == ModuleState::Second && peer.colour == Colour::Green
        });
        let ready = self.state() == ModuleState::Prim && self.colour() == Colour::Green && self.plan.is_none();
        if !asked || !ready || self.pair.listening() || (self.config.replicates && !self.rfs.in_step) {
            return false;
        }
        self.begin_swap(out);
        true
    }

    // ---- meeting another primary -----------------------------------------------------------------------------------

    /// guide P7, reference 004, 4.2.10.
    fn meet(&mut self, out: &mut Out) -> bool {
        let Some(peer) = self.heard_peer().cloned() else {
            return false;
        };
        if peer.state == ModuleState::Stop || self.swap != SwapPhase::None || peer.swap != SwapPhase::None {
            return false;
        }
        match (self.rfs.copy.clone(), &peer.copy) {
            (Some(mine), Some(theirs)) if compare(&mine, theirs) == Relation::Diverged => self.split_brain(&peer, out),
            _ if !self.config.replicates => self.split_brain(&peer, out),
            _ => false,
        }
    }

    /// The other copy went on from this one while this node was cut off or stood still, whatever it is doing now
    /// (guide P7). What this node is about to be by a new permission is not known to anybody yet.
    fn yield_if_outpaced(&mut self, out: &mut Out) -> bool {
        if !(self.is_outpaced() || self.is_overtaken()) || self.grant_pending() || self.next_plan.is_some() {
            return false;
        }
        self.swap = SwapPhase::None;
        self.clear_vips(out);
        log(out, Event::Yielding);
        out.push(HeartEffect::ToRfs(HeartToRfs::Fence { epoch: self.epoch }));
        self.why = Some(Event::Yielding.to_string());
        self.replace_plan(Plan::yield_to_peer(self.state()), out);
        true
    }

    /// The other node said that it is primary under a later permission than the one both were in step under: it is taking
    /// over, whether that was durable when it said so or not.
    pub(super) fn is_overtaken(&self) -> bool {
        let (Some(peer), Some(mine)) = (&self.peer, &self.rfs.copy) else {
            return false;
        };
        let swap = self.swap != SwapPhase::None || peer.swap != SwapPhase::None;
        let equal = peer.copy.as_ref().is_some_and(|theirs| compare(mine, theirs) == Relation::Equal);
        self.state().is_primary() && peer.state.is_primary() && !swap && equal && peer.epoch > mine.epoch
    }

    /// A primary whose record says "outdated" can't acknowledge ever again: it begins anew.
    fn leave_if_resigned(&mut self, out: &mut Out) -> bool {
        let outdated = |copy: &CopyState| matches!(copy.standing, Standing::Outdated { .. });
        let resigned = self.rfs.known && self.rfs.copy.as_ref().is_some_and(outdated);
        if !resigned || self.grant_pending() || self.next_plan.is_some() {
            return false;
        }
        self.replace_plan(Plan::restart(self.state()), out);
        true
    }

    fn split_brain(&mut self, peer: &Heartbeat, out: &mut Out) -> bool {
        if !peer.state.is_primary() || peer.stopping {
            return false;
        }
        let generation = peer.copy.as_ref().map(|copy| copy.generation).unwrap_or_default();
        if self.stayed == Some((peer.incarnation, generation)) {
            return false;
        }
        if self.stays(peer) {
            self.meeting = None;
            self.stayed = Some((peer.incarnation, generation));
            log(out, Event::SplitBrainStaying);
        } else {
            // The other one sees first that there were two: its log tells the same story.
            let sent = self.pair.sent();
            let (counter, until) = *self.meeting.get_or_insert((sent + 1, self.now + MEETING));
            if !self.pair.peer_has_heard(counter) && until > self.now {
                return false;
            }
            self.meeting = None;
            self.clear_vips(out);
            log(out, Event::SplitBrainExiting);
            self.why = Some(Event::SplitBrainExiting.to_string());
            self.replace_plan(Plan::exit_alone(self.state()), out);
        }
        true
    }

    /// The former secondary is sacrificed; if both were the same, the first of cluster.xml stays.
    fn stays(&self, peer: &Heartbeat) -> bool {
        match (self.former, peer.former) {
            (Former::Second, Former::Prim | Former::None) => false,
            (Former::Prim | Former::None, Former::Second) => true,
            (Former::Prim, Former::None) => true,
            (Former::None, Former::Prim) => false,
            (Former::Second, Former::Second) | (Former::Prim, Former::Prim) | (Former::None, Former::None) => {
                self.preferred_by_order() == Preferred::Me
            }
        }
    }

    fn preferred_by_order(&self) -> Preferred {
        if self.config.me_first { Preferred::Me } else { Preferred::Peer }
    }
}
