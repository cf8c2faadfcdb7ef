use hf_types::{Action, ModuleState};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// One step of a change. Each ends by itself, by an answer, or at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Script prestart.
    Prestart,
    /// Replication takes the primary's role and may acknowledge.
    TakeRole,
    SetVips,
    /// Script start_prim.
    StartPrim,
    /// Script stop_prim, the graceful call.
    StopPrim,
    /// Script stop_prim, the call with `force`.
    StopPrimForce,
    ClearVips,
    /// Everything accepted is written back and has arrived.
    Drain,
    /// This copy writes durably that the other one may go on without it.
    Outdate,
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
    fn new(goal: Goal, from: ModuleState, next: ModuleState, action: Action, steps: &[Step]) -> Plan {
        Plan { goal, from, next, action, forced: false, steps: steps.iter().copied().collect() }
    }

    /// Start: the application is made sure not to run.
    pub fn start(from: ModuleState, action: Action) -> Plan {
        Plan::new(Goal::Ready, from, ModuleState::Wait, action, &[Step::Prestart])
    }

    /// Become primary. The virtual addresses come before start_prim: servers listen on them.
    pub fn primary(from: ModuleState, next: ModuleState) -> Plan {
        let steps = [Step::TakeRole, Step::SetVips, Step::StartPrim];
        Plan::new(Goal::Running, from, next, Action::Start, &steps)
    }

    /// Stop in good order, from any state.
    pub fn stop(from: ModuleState) -> Plan {
        let mut steps = leave(from);
        steps.extend([Step::StopRfs, Step::Poststop, Step::Farewell]);
        Plan::new(Goal::Stopped, from, ModuleState::Stop, Action::Stop, &steps)
    }

    /// Stop at once, also what hangs.
    pub fn forced_stop(from: ModuleState) -> Plan {
        let mut steps = Vec::new();
        if from.is_primary() {
            steps.push(Step::StopPrimForce);
        }
        steps.extend([Step::ClearVips, Step::KillApplication]);
        if from.is_primary() {
            steps.push(Step::Drain);
        }
        steps.extend([Step::Outdate, Step::StopRfs, Step::Poststop, Step::Farewell]);
        Plan { forced: true, ..Plan::new(Goal::Stopped, from, ModuleState::Stop, Action::Stop, &steps) }
    }

    /// Stop, then begin again from WAIT: a primary hands over.
    pub fn restart(from: ModuleState) -> Plan {
        let mut steps = leave(from);
        steps.push(Step::StopRfs);
        Plan::new(Goal::Restarted, from, ModuleState::Wait, Action::Stopstart, &steps)
    }

    /// Split brain (reference 004, 4.2.10): the other node serves the addresses, so they go first.
    pub fn exit_alone(from: ModuleState) -> Plan {
        let steps = [Step::ClearVips, Step::StopPrim, Step::StopPrimForce, Step::Outdate, Step::StopRfs];
        Plan::new(Goal::Restarted, from, ModuleState::Wait, Action::Stopstart, &steps)
    }

    /// Yielding (guide P7): nothing of this copy is acknowledged any more, so what waits for it is ended first.
    pub fn yield_to_peer(from: ModuleState) -> Plan {
        let steps = [
            Step::ClearVips,
            Step::Outdate,
            Step::AbortRfs,
            Step::StopPrim,
            Step::StopPrimForce,
            Step::KillApplication,
        ];
        Plan::new(Goal::Restarted, from, ModuleState::Wait, Action::Stopstart, &steps)
    }

    /// Replication can't be kept alive: the module goes back to the beginning.
    pub fn give_up(from: ModuleState) -> Plan {
        let mut steps = vec![Step::AbortRfs];
        if from.is_primary() {
            steps.extend([Step::StopPrim, Step::StopPrimForce, Step::ClearVips, Step::KillApplication]);
        }
        Plan::new(Goal::Restarted, from, ModuleState::Wait, Action::Stopstart, &steps)
    }

    /// Swap, on the primary (reference 004, 4.2.5).
    pub fn swap() -> Plan {
        let steps = [Step::StopPrim, Step::StopPrimForce, Step::ClearVips, Step::Drain, Step::GiveRole];
        Plan::new(Goal::Swapped, ModuleState::Prim, ModuleState::Second, Action::Stop, &steps)
    }
}

/// The steps out of a state, before replication ends.
fn leave(from: ModuleState) -> Vec<Step> {
    match from {
        ModuleState::Alone | ModuleState::Prim => {
            vec![Step::StopPrim, Step::StopPrimForce, Step::ClearVips, Step::Drain, Step::Outdate]
        }
        ModuleState::Second => vec![Step::Outdate],
        ModuleState::Wait | ModuleState::Stop | ModuleState::Up | ModuleState::Unknown => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(plan: &Plan, step: Step) -> usize {
        plan.steps.iter().position(|s| *s == step).unwrap()
    }

    #[test]
    fn addresses_before_the_application_and_both_after_the_role() {
        let plan = Plan::primary(ModuleState::Second, ModuleState::Alone);
        assert!(position(&plan, Step::TakeRole) < position(&plan, Step::StartPrim));
        assert!(position(&plan, Step::SetVips) < position(&plan, Step::StartPrim));
    }

    #[test]
    fn a_stop_gives_the_other_copy_free_only_when_everything_has_arrived() {
        for plan in
            [Plan::stop(ModuleState::Prim), Plan::restart(ModuleState::Prim), Plan::forced_stop(ModuleState::Prim)]
        {
            assert!(position(&plan, Step::Drain) < position(&plan, Step::Outdate));
            assert!(position(&plan, Step::StopPrimForce) < position(&plan, Step::Drain));
            assert!(position(&plan, Step::ClearVips) < position(&plan, Step::Outdate), "else two nodes have them");
            assert!(position(&plan, Step::Outdate) < position(&plan, Step::StopRfs));
        }
        let swap = Plan::swap();
        assert_eq!(swap.steps.back(), Some(&Step::GiveRole));
        assert!(position(&swap, Step::Drain) < position(&swap, Step::GiveRole));
    }

    #[test]
    fn who_yields_drops_the_addresses_first() {
        for plan in [Plan::yield_to_peer(ModuleState::Prim), Plan::exit_alone(ModuleState::Alone)] {
            assert_eq!(plan.steps.front(), Some(&Step::ClearVips));
            assert_eq!(plan.goal, Goal::Restarted);
        }
    }

    #[test]
    fn without_an_application_nothing_is_stopped() {
        for state in [ModuleState::Wait, ModuleState::Second] {
            let plan = Plan::stop(state);
            assert!(!plan.steps.contains(&Step::StopPrim) && !plan.steps.contains(&Step::Drain));
            assert_eq!(plan.steps.back(), Some(&Step::Farewell));
        }
    }
}
