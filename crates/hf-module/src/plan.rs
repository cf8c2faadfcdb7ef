use crate::automaton::{Part, forced_stops, starts, stops};
use hf_types::{Action, ModuleState};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// One step of a change. Each ends by itself, by an answer, or at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Script prestart; for a module without it, all stop scripts.
    Prestart,
    /// Replication takes the primary's role and may acknowledge.
    TakeRole,
    SetVips,
    /// A start script, unless its part runs already.
    Start(Part),
    /// A stop script, the graceful call, if its part runs.
    Stop(Part),
    /// A stop script, the call with `force`, if its part runs.
    StopForce(Part),
    ClearVips,
    /// Everything accepted is written back and has arrived.
    Drain,
    /// This copy writes durably that the other one may go on without it.
    Outdate,
    /// What [`Step::Outdate`] would write if the disk could: from now on the heart's word stands for it.
    Promise,
    /// Replication hands the primary's role over, both staying in step.
    GiveRole,
    /// Replication ends in good order.
    StopRfs,
    /// Replication ends at once, with everything that waits in the mount.
    AbortRfs,
    /// Everything that the scripts left running ends.
    KillApplication,
    /// Script poststop.
    Poststop,
    /// STOP is said until the other node has heard it.
    Farewell,
}

/// Where a plan leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Ready to decide who starts.
    Ready,
    /// The application runs here.
    Running,
    Stopped,
    /// Stopped, and then started again from WAIT.
    Restarted,
    /// Secondary in step, after a swap.
    Swapped,
    /// Secondary in step, with what runs on secondaries.
    Following,
    /// No longer secondary: back to WAIT.
    FallenBack,
}

/// A change in steps (reference 004, 14.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub goal: Goal,
    /// What scripts are told: the state now, the next one, the action.
    pub from: ModuleState,
    pub next: ModuleState,
    pub action: Action,
    /// A forced stop: nothing is waited for long.
    pub forced: bool,
    pub steps: VecDeque<Step>,
}

impl Plan {
    pub(crate) fn of(
        goal: Goal,
        from: ModuleState,
        next: ModuleState,
        action: Action,
        steps: impl IntoIterator<Item = Step>,
    ) -> Plan {
        Plan { goal, from, next, action, forced: false, steps: steps.into_iter().collect() }
    }

    /// Start: the application is made sure not to run.
    pub fn start(from: ModuleState, action: Action) -> Plan {
        Plan::of(Goal::Ready, from, ModuleState::Wait, action, [Step::Prestart])
    }

    /// `restart` (reference 004, 9.4): the application only, on this node.
    pub fn restart_application(state: ModuleState) -> Plan {
        let steps = stops(ModuleState::Stop).chain(starts(state));
        Plan::of(Goal::Running, state, state, Action::Start, steps)
    }

    /// Stop in good order, from any state.
    pub fn stop(from: ModuleState) -> Plan {
        let steps = leave(from).into_iter().chain([Step::StopRfs, Step::Poststop, Step::Farewell]);
        Plan::of(Goal::Stopped, from, ModuleState::Stop, Action::Stop, steps)
    }

    /// Stop at once, also what hangs.
    pub fn forced_stop(from: ModuleState) -> Plan {
        let mut steps: Vec<Step> = forced_stops(ModuleState::Stop).collect();
        steps.extend([Step::ClearVips, Step::KillApplication]);
        if from.is_primary() {
            steps.push(Step::Drain);
        }
        steps.extend([Step::Outdate, Step::StopRfs, Step::Poststop, Step::Farewell]);
        let plan = Plan::of(Goal::Stopped, from, ModuleState::Stop, Action::Stop, steps);
        Plan { forced: true, ..plan }
    }

    /// Stop, then begin again from WAIT: a primary hands over.
    pub fn restart(from: ModuleState) -> Plan {
        Plan::stopstart(from, leave(from).into_iter().chain([Step::StopRfs]))
    }

    /// `stopwait`: out of the state, without poststop and prestart, to WAIT.
    pub fn stopwait(from: ModuleState) -> Plan {
        let steps = leave(from).into_iter().chain([Step::StopRfs]);
        Plan::of(Goal::Restarted, from, ModuleState::Wait, Action::Stopwait, steps)
    }

    /// Whatever `steps` end, poststop comes after it, and prestart after that.
    pub(crate) fn stopstart(from: ModuleState, steps: impl IntoIterator<Item = Step>) -> Plan {
        let steps = steps.into_iter().chain([Step::Poststop]);
        Plan::of(Goal::Restarted, from, ModuleState::Wait, Action::Stopstart, steps)
    }
}

/// The steps out of a state, before replication ends.
fn leave(from: ModuleState) -> Vec<Step> {
    let end: &[Step] = match from {
        ModuleState::Alone | ModuleState::Prim => &[Step::ClearVips, Step::Drain, Step::Outdate],
        ModuleState::Second => &[Step::Outdate],
        ModuleState::Up => &[],
        ModuleState::Wait | ModuleState::Stop | ModuleState::Unknown => return Vec::new(),
    };
    stops(ModuleState::Stop).chain(end.iter().copied()).collect()
}
