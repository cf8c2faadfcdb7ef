use crate::automaton::{forced_stops, starts, stops};
use crate::{Goal, Plan, Step};
use hf_types::{Action, ModuleState};

/// What only mirror modules do.
impl Plan {
    /// Become primary. The virtual addresses come before the start scripts: servers listen on them. What ran on the secondary ends
    /// when the role is taken, so that the other copy's silence is not waited for any longer than needed.
    pub fn primary(from: ModuleState, next: ModuleState) -> Plan {
        let steps = [Step::TakeRole, Step::SetVips].into_iter().chain(stops(next)).chain(starts(next));
        Plan::of(Goal::Running, from, next, Action::Start, steps)
    }

    /// In step: what runs on a secondary starts.
    pub fn follow(from: ModuleState) -> Plan {
        let second = ModuleState::Second;
        Plan::of(Goal::Following, from, second, Action::Start, stops(second).chain(starts(second)))
    }

    /// ALONE has become PRIM or the other way round: what runs in only one of the two is stopped or started.
    pub fn adjust(from: ModuleState, next: ModuleState) -> Plan {
        Plan::of(Goal::Running, from, next, Action::Start, stops(next).chain(starts(next)))
    }

    /// A secondary that is not in step lost its primary: what ran on it ends.
    pub fn fall_back() -> Plan {
        let wait = ModuleState::Wait;
        Plan::of(Goal::FallenBack, ModuleState::Second, wait, Action::Stopstart, stops(wait))
    }

    /// Split brain (reference 004, 4.2.10): the other node serves the addresses, so they go first.
    pub fn exit_alone(from: ModuleState) -> Plan {
        let stopped = stops(ModuleState::Wait).chain([Step::Outdate, Step::StopRfs]);
        Plan::stopstart(from, [Step::ClearVips].into_iter().chain(stopped))
    }

    /// Yielding (guide P7): nothing of this copy is acknowledged any more, so what waits for it is ended first.
    pub fn yield_to_peer(from: ModuleState) -> Plan {
        let first = [Step::ClearVips, Step::Outdate, Step::AbortRfs].into_iter();
        Plan::stopstart(from, first.chain(stops(ModuleState::Wait)).chain([Step::KillApplication]))
    }

    /// Cut off from the other node and from every witness (reference 004, 13.17): as yielding, but this copy has all that was acknowledged
    /// up to now, and perhaps nobody goes on from it, so its record stays. Then WAIT.
    pub fn isolated(from: ModuleState) -> Plan {
        let first = [Step::ClearVips, Step::AbortRfs].into_iter();
        let steps = first.chain(stops(ModuleState::Wait)).chain([Step::KillApplication]);
        Plan::of(Goal::Restarted, from, ModuleState::Wait, Action::Stopwait, steps)
    }

    /// The primary's disk failed or hangs (guide P11). Whatever touches it may wait forever: first nothing is acknowledged any more and the
    /// other node hears so; only then the scripts, which lie on a disk, too.
    pub fn leave_disk(from: ModuleState) -> Plan {
        let stop = ModuleState::Stop;
        let first = [Step::ClearVips, Step::AbortRfs, Step::Promise].into_iter();
        let steps = first.chain(forced_stops(stop)).chain([Step::KillApplication, Step::Poststop, Step::Farewell]);
        Plan::of(Goal::Stopped, from, stop, Action::Stop, steps)
    }

    /// Replication can't be kept alive: the module goes back to the beginning.
    pub fn give_up(from: ModuleState) -> Plan {
        let mut steps = vec![Step::AbortRfs];
        steps.extend(stops(ModuleState::Wait));
        if from.is_primary() {
            steps.extend([Step::ClearVips, Step::KillApplication]);
        }
        Plan::stopstart(from, steps)
    }

    /// The same, and the module stays stopped: nothing waits for the replication, which is gone.
    pub fn give_up_for_good(from: ModuleState) -> Plan {
        let mut steps = vec![Step::AbortRfs];
        steps.extend(stops(ModuleState::Stop));
        if from.is_primary() {
            steps.push(Step::ClearVips);
        }
        steps.extend([Step::KillApplication, Step::Poststop, Step::Farewell]);
        Plan::of(Goal::Stopped, from, ModuleState::Stop, Action::Stop, steps)
    }

    /// Swap, on the primary (reference 004, 4.2.5).
    pub fn swap() -> Plan {
        let second = ModuleState::Second;
        let steps = stops(second).chain([Step::ClearVips, Step::Drain, Step::GiveRole]);
        Plan::of(Goal::Swapped, ModuleState::Prim, second, Action::Stop, steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;

    fn position(plan: &Plan, step: Step) -> usize {
        plan.steps.iter().position(|s| *s == step).unwrap()
    }

    #[test]
    fn addresses_before_the_application_and_both_after_the_role() {
        let plan = Plan::primary(ModuleState::Second, ModuleState::Alone);
        assert!(position(&plan, Step::TakeRole) < position(&plan, Step::Start(Part::Prim)));
        assert!(position(&plan, Step::SetVips) < position(&plan, Step::Start(Part::Prim)));
    }

    #[test]
    fn giving_up_for_good_waits_for_nothing_in_the_mounts() {
        for state in [ModuleState::Alone, ModuleState::Prim, ModuleState::Second] {
            let plan = Plan::give_up_for_good(state);
            assert_eq!(
                (plan.goal, plan.steps.front(), plan.steps.back()),
                (Goal::Stopped, Some(&Step::AbortRfs), Some(&Step::Farewell))
            );
            assert!(!plan.steps.contains(&Step::Drain) && !plan.steps.contains(&Step::Outdate));
            assert_eq!(plan.steps.contains(&Step::ClearVips), state.is_primary());
        }
    }

    #[test]
    fn a_stop_gives_the_other_copy_free_only_when_everything_has_arrived() {
        for plan in
            [Plan::stop(ModuleState::Prim), Plan::restart(ModuleState::Prim), Plan::forced_stop(ModuleState::Prim)]
        {
            assert!(position(&plan, Step::Drain) < position(&plan, Step::Outdate));
            assert!(position(&plan, Step::StopForce(Part::Prim)) < position(&plan, Step::Drain));
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
    fn a_failed_disk_is_left_before_anything_that_may_wait_for_it() {
        let plan = Plan::leave_disk(ModuleState::Prim);
        assert!(position(&plan, Step::ClearVips) < position(&plan, Step::Promise), "else two nodes have them");
        assert!(position(&plan, Step::AbortRfs) < position(&plan, Step::Promise), "else it could acknowledge");
        assert!(position(&plan, Step::Promise) < position(&plan, Step::StopForce(Part::Prim)));
        assert!(!plan.steps.contains(&Step::Drain) && !plan.steps.contains(&Step::Outdate));
    }

    #[test]
    fn without_an_application_nothing_is_drained() {
        for state in [ModuleState::Wait, ModuleState::Second] {
            let plan = Plan::stop(state);
            assert!(!plan.steps.contains(&Step::ClearVips) && !plan.steps.contains(&Step::Drain));
            assert_eq!(plan.steps.back(), Some(&Step::Farewell));
        }
    }
}
