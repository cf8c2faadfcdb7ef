//! Which scripts are called at which change of state, in which order. The drawing of reference 004, 14.2 is lost:
//! docs/design/0004-order-of-scripts.md says how this was rebuilt, and shows the table as a whole.

use crate::Step;
use hf_types::{ModuleState, Script};
use serde::{Deserialize, Serialize};

/// A start script with its stop script: an application that runs in certain states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// `start_both`: on both nodes of a mirror (reference 004, 14.1.1: PRIM, SECOND or ALONE), and the application of light and farm modules (6.2: UP).
    Both,
    /// `start_prim`: on the primary (14.1.1: ALONE or PRIM).
    Prim,
    /// `start_second`: on the secondary (14.1.1: SECOND).
    Second,
    /// `start_sec`: on the secondary, or where there is none on the only node.
    Sec,
}

impl Part {
    /// What is stopped first comes first: the order that the reference gives for the default prestart (14.1.1).
    pub const STOP_ORDER: [Part; 4] = [Part::Sec, Part::Second, Part::Prim, Part::Both];
    /// The other way round: what others need starts first and stops last.
    pub const START_ORDER: [Part; 4] = [Part::Both, Part::Prim, Part::Second, Part::Sec];

    /// Whether it runs in this state, once the state is settled.
    pub fn runs_in(self, state: ModuleState) -> bool {
        use ModuleState::{Alone, Prim, Second, Up};
        match self {
            Part::Both => matches!(state, Prim | Alone | Second | Up),
            Part::Prim => matches!(state, Prim | Alone),
            Part::Second => state == Second,
            Part::Sec => matches!(state, Second | Alone),
        }
    }

    pub fn start(self) -> Script {
        match self {
            Part::Both => Script::StartBoth,
            Part::Prim => Script::StartPrim,
            Part::Second => Script::StartSecond,
            Part::Sec => Script::StartSec,
        }
    }

    pub fn stop(self) -> Script {
        match self {
            Part::Both => Script::StopBoth,
            Part::Prim => Script::StopPrim,
            Part::Second => Script::StopSecond,
            Part::Sec => Script::StopSec,
        }
    }
}

/// Stops what doesn't run in `next`, each part first gracefully, then with `force`. A part that doesn't run is passed over
/// when its turn comes.
pub fn stops(next: ModuleState) -> impl Iterator<Item = Step> {
    let leaving = Part::STOP_ORDER.into_iter().filter(move |part| !part.runs_in(next));
    leaving.flat_map(|part| [Step::Stop(part), Step::StopForce(part)])
}

/// Stops what doesn't run in `next`, only by force.
pub fn forced_stops(next: ModuleState) -> impl Iterator<Item = Step> {
    stops(next).filter(|step| matches!(step, Step::StopForce(_)))
}

/// Starts what runs in `next`. A part that runs already is passed over when its turn comes.
pub fn starts(next: ModuleState) -> impl Iterator<Item = Step> {
    Part::START_ORDER.into_iter().filter(move |part| part.runs_in(next)).map(Step::Start)
}

/// The scripts that a default `prestart` calls, for a module that has none of its own: everything is stopped (14.1.1).
pub fn default_prestart() -> impl Iterator<Item = Step> {
    stops(ModuleState::Stop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ModuleState::{Alone, Prim, Second, Stop, Up, Wait};

    fn words(steps: impl Iterator<Item = Step>) -> String {
        let word = |step| match step {
            Step::Start(part) => Part::start(part).to_string(),
            Step::Stop(part) => Part::stop(part).to_string(),
            Step::StopForce(part) => format!("{}!", Part::stop(part)),
            other => format!("{other:?}"),
        };
        steps.map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn stops_and_starts_of_every_state() {
        let all = "stop_sec stop_sec! stop_second stop_second! stop_prim stop_prim! stop_both stop_both!";
        for state in [Stop, Wait] {
            assert_eq!((words(stops(state)).as_str(), words(starts(state)).as_str()), (all, ""));
        }
        assert_eq!(words(stops(Alone)), "stop_second stop_second!");
        assert_eq!(words(starts(Alone)), "start_both start_prim start_sec");
        assert_eq!(words(stops(Prim)), "stop_sec stop_sec! stop_second stop_second!");
        assert_eq!(words(starts(Prim)), "start_both start_prim");
        assert_eq!(words(stops(Second)), "stop_prim stop_prim!");
        assert_eq!(words(starts(Second)), "start_both start_second start_sec");
        assert_eq!(words(starts(Up)), "start_both", "of a light or farm module");
        assert!(!words(stops(Up)).contains("stop_both"));
        assert_eq!(words(default_prestart()), all);
        assert_eq!(words(forced_stops(Stop)), "stop_sec! stop_second! stop_prim! stop_both!");
    }

    #[test]
    fn what_is_not_stopped_on_the_way_to_a_state_runs_in_it() {
        for state in [Stop, Wait, Alone, Prim, Second, Up] {
            for part in Part::START_ORDER {
                let stopped = stops(state).any(|step| step == Step::Stop(part));
                let started = starts(state).any(|step| step == Step::Start(part));
                assert_ne!(stopped, started, "{part:?} in {state}");
            }
        }
    }
}
