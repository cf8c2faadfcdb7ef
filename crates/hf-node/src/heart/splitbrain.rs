//! `<splitbrain>` (reference 004, 13.17): when every heartbeat falls silent, only a node that reaches a witness goes on alone or takes over.
//! The other one says so with `splitbrain.uptodate`, and waits until it hears a heartbeat again, or an administrator says `stop` and `prim`.
//!
//! A witness is a machine that answers a ping. What it said before the silence says nothing about now, so only a look counts that began
//! after the last heartbeat. Until there is one nothing is decided, and nothing acknowledged. Two nodes that both reach a witness but not each
//! other both go on: a ping can't tell them apart (guide P4).

use super::actor::{HeartActor, Out, log};
use hf_config::Checker;
use hf_types::{Caller, Command, Event, Instant, ModuleState, ResourceValue};
use serde::Serialize;
use std::time::Duration;

/// How often the witnesses are asked, and how long an answer may take.
pub const WITNESS_EVERY: Duration = Duration::from_millis(500);
/// As above.
pub const WITNESS_TIMEOUT: Duration = Duration::from_millis(500);
/// No look takes longer: names are looked up first.
const LOOK_MAX: Duration = Duration::from_secs(1);

const UPTODATE: &str = "splitbrain.uptodate";
const SPLITBRAINCHECK: &str = "splitbraincheck";
const RULE: &str = "splitbrain_failure";

/// What is known of the witnesses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Splitbrain {
    /// When the last look was over, and whether one of them answered.
    pub(super) looked: Option<(Instant, bool)>,
    /// This node was cut off from the other one and from every witness, and has heard nothing of the other one since.
    isolated: bool,
}

/// What the witnesses say about a silence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Witness {
    /// There is none, or checkers are off.
    None,
    /// Not asked since the last heartbeat.
    Unasked,
    Answers,
    Silent,
}

impl HeartActor {
    fn has_witness(&self) -> bool {
        self.config.checking && self.config.checkers.iter().any(|checker| matches!(checker, Checker::Splitbrain(_)))
    }

    fn witness(&self) -> Witness {
        match self.splitbrain.looked {
            _ if !self.has_witness() => Witness::None,
            Some((at, answered)) if self.now.since(at) + LOOK_MAX <= self.pair.silent_for(self.now) => {
                if answered {
                    Witness::Answers
                } else {
                    Witness::Silent
                }
            }
            _ => Witness::Unasked,
        }
    }

    /// Whether silence of the other node is a ground for going on alone.
    pub(super) fn witness_allows(&self) -> bool {
        !self.splitbrain.isolated && matches!(self.witness(), Witness::None | Witness::Answers)
    }

    /// How much longer than a time-out the silence lasts before this node takes over: by then an isolated primary has found out that it is one.
    pub(super) fn witness_margin(&self) -> Duration {
        if !self.has_witness() {
            return Duration::ZERO;
        }
        let pulse = self.config.lanes.iter().map(|lane| lane.pulse).max().unwrap_or_default();
        pulse + LOOK_MAX
    }

    /// Finds out that this node is isolated, or isn't any more; true if so.
    pub(super) fn look_at_witnesses(&mut self, out: &mut Out) -> bool {
        if !self.has_witness() && !self.splitbrain.isolated {
            return false;
        }
        if self.splitbrain.isolated {
            let over = self.heard_peer().is_some() && !self.pair.listening();
            if over || !self.has_witness() {
                self.splitbrain.isolated = false;
                self.set_resource(UPTODATE, ResourceValue::Up, SPLITBRAINCHECK, true, out);
            }
            return over;
        }
        if !self.resources.now.contains_key(UPTODATE) {
            self.set_resource(UPTODATE, ResourceValue::Up, SPLITBRAINCHECK, false, out);
        }
        if !self.could_be_two() || !self.silent() || self.witness() != Witness::Silent {
            return false;
        }
        self.isolate(out);
        // Not after `handle_time`: nobody may have two primaries meanwhile.
        self.on_command(Command::Stopwait, Caller::rule(RULE), out).is_ok()
    }

    /// The other node could become primary, or be it, while this one is: it was heard, and is silent now.
    fn could_be_two(&self) -> bool {
        match self.state() {
            ModuleState::Prim => !self.is_stopping(),
            ModuleState::Second => self.may_take_over(),
            // A copy that is alone is the only one that starts by itself (P5); without data only the state counts.
            ModuleState::Alone => {
                let stopped = self.remote.0 == ModuleState::Stop;
                !self.config.replicates && self.peer.is_some() && !stopped && !self.is_stopping()
            }
            ModuleState::Stop | ModuleState::Wait | ModuleState::Up | ModuleState::Unknown => false,
        }
    }

    fn isolate(&mut self, out: &mut Out) {
        self.splitbrain.isolated = true;
        self.set_resource(UPTODATE, ResourceValue::Down, SPLITBRAINCHECK, true, out);
        let module = &self.config.module;
        let why = format!(
            "no heartbeat and no witness reaches this node: the other one may be primary. It goes on here when a heartbeat is heard; if the other node is gone, 'holdfast stop -m {module}', then 'holdfast prim -m {module}'"
        );
        self.why = Some(why.clone());
        log(out, Event::Text(why));
        // The other node takes them as soon as it may.
        if self.state().is_primary() {
            self.clear_vips(out);
        }
    }

    /// WAIT: this node would start as nobody answers; true if the witnesses have a say in that.
    pub(super) fn witness_holds(&mut self, out: &mut Out) -> bool {
        match self.witness() {
            Witness::None | Witness::Answers => {}
            Witness::Silent if !self.splitbrain.isolated => self.isolate(out),
            Witness::Silent | Witness::Unasked => {}
        }
        !self.witness_allows()
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.splitbrain.isolated
    }

    /// An isolated primary leaves: what waits in the mount is never acknowledged.
    pub(super) fn leaves_isolated(&self) -> bool {
        self.splitbrain.isolated && self.state().is_primary()
    }
}
