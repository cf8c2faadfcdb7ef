use crate::automaton::{starts, stops};
use crate::{Goal, Plan};
use hf_types::{Action, ModuleState};

impl Plan {
    /// From WAIT to UP: the application starts.
    pub fn serve() -> Plan {
        let up = ModuleState::Up;
        Plan::of(Goal::Running, ModuleState::Wait, up, Action::Start, stops(up).chain(starts(up)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Part, Step};

    /// Nothing of two nodes: no role, no address, no other copy.
    #[test]
    fn the_steps_of_a_module_without_primary_are_its_scripts() {
        let up = ModuleState::Up;
        let own = |plan: &Plan| {
            let steps = plan.steps.iter().copied();
            steps.filter(|step| !matches!(step, Step::Stop(_) | Step::StopForce(_))).collect::<Vec<_>>()
        };
        assert_eq!(own(&Plan::serve()), [Step::Start(Part::Both)]);
        assert_eq!(own(&Plan::restart_application(up)), [Step::Start(Part::Both)]);
        assert_eq!(own(&Plan::stop(up)), [Step::StopRfs, Step::Poststop, Step::Farewell]);
        assert_eq!(own(&Plan::restart(up)), [Step::StopRfs, Step::Poststop]);
        assert_eq!(own(&Plan::stopwait(up)), [Step::StopRfs]);
        for plan in [Plan::stop(up), Plan::restart(up), Plan::stopwait(up), Plan::restart_application(up)] {
            let ends = |step| plan.steps.iter().position(|s| *s == step);
            assert!(ends(Step::Stop(Part::Both)).is_some(), "{plan:?}");
            assert!(ends(Step::Stop(Part::Both)) < ends(Step::StopForce(Part::Both)), "{plan:?}");
        }
    }
}
