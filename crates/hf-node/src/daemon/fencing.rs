use super::DaemonEffect;
use hf_module::{Part, arguments};
use hf_types::{Action, Instant, ModuleName, ModuleState, RunId, Script};
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a step that has no time-out of its own may stay unanswered.
const STEP_PATIENCE: Duration = Duration::from_secs(20);
/// On top of a script's time-out: the shell ends the script, this only covers an answer that is lost.
const SCRIPT_SLACK: Duration = Duration::from_secs(10);

/// What is done in place of a dead heart, in this order, because each step needs the one before (docs/internals/processes.md):
///
/// ```text
/// Rfs: acknowledges nothing any more -> Vips: the addresses are gone -> (the other node is told "fenced") ->
/// Stop: every stop script, each without and with force -> Kill: mount aborted, processes killed -> stopped, then started again
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fencing {
    pub step: Step,
    pub deadline: Instant,
    /// The state that the heart died in: the scripts' first argument.
    state: ModuleState,
    /// The stop scripts that are still to be called, and whether with `force`; what the module doesn't have is answered at once.
    left: VecDeque<(Script, bool)>,
    pub rfs_fenced: bool,
    pub vips_cleared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Step {
    Rfs,
    Vips,
    Stop(RunId),
    Kill,
}

impl Step {
    pub fn is_script(self, run: RunId) -> bool {
        self == Step::Stop(run)
    }
}

/// An effect that still lacks the module's name.
type ForModule = Box<dyn FnOnce(ModuleName) -> DaemonEffect>;

impl Fencing {
    pub fn begin(now: Instant, state: ModuleState) -> Fencing {
        let deadline = now + STEP_PATIENCE;
        let left = Part::STOP_ORDER.into_iter().flat_map(|part| [(part.stop(), false), (part.stop(), true)]).collect();
        Fencing { step: Step::Rfs, deadline, state, left, rfs_fenced: false, vips_cleared: false }
    }

    /// Everything that the word "fenced" says was confirmed.
    pub fn confirmed(&self) -> bool {
        self.rfs_fenced && self.vips_cleared
    }

    /// The next step's effect; none after the last.
    pub fn advance(&mut self, now: Instant, run: RunId, nice: Duration, force: Duration) -> Option<ForModule> {
        let (step, patience, effect): (Step, Duration, ForModule) = match self.step {
            Step::Rfs => (Step::Vips, STEP_PATIENCE, Box::new(|module| DaemonEffect::ClearVips { module })),
            Step::Vips | Step::Stop(_) => match self.left.pop_front() {
                Some((script, forced)) => {
                    let timeout = if forced { force } else { nice };
                    (Step::Stop(run), timeout + SCRIPT_SLACK, self.stop_script(run, script, forced, timeout))
                }
                None => (Step::Kill, STEP_PATIENCE, Box::new(|module| DaemonEffect::KillModule { module })),
            },
            Step::Kill => return None,
        };
        self.step = step;
        self.deadline = now + patience;
        Some(effect)
    }

    fn stop_script(&self, run: RunId, script: Script, force: bool, timeout: Duration) -> ForModule {
        let args = arguments(force, self.state, ModuleState::Stop, Action::Stopstart);
        Box::new(move |module| DaemonEffect::RunScript { module, run, script, args, timeout })
    }
}
