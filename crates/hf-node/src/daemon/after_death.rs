//! What the daemon does in place of a heart that died: [`Fencing`] says the order, this takes the answers.

use super::DaemonEffect;
use super::actor::DaemonActor;
use super::fencing::{Fencing, Step};
use super::supervised::Life;
use hf_types::{Caller, Command, Event, Instant, ModuleName, RunId};

impl DaemonActor {
    pub(super) fn heart_died(&mut self, now: Instant, name: &ModuleName, effects: &mut Vec<DaemonEffect>) {
        let Some(module) = self.modules.get_mut(name) else { return };
        let again = module.may_restart(now);
        let event = Event::ProcessDied { process: "heart".to_owned(), detail: died_detail(again, name) };
        effects.push(DaemonEffect::Log { module: Some(name.clone()), event });
        module.restart = again.then(|| (Command::Start, Caller::system()));
        module.life = Life::Fencing(Fencing::begin(now, module.state()));
        effects.push(DaemonEffect::FenceRfs { module: name.clone() });
    }

    /// A step of the fencing was answered.
    pub(super) fn fencing_done(
        &mut self,
        now: Instant,
        name: &ModuleName,
        answered: impl FnOnce(&Step) -> bool,
        effects: &mut Vec<DaemonEffect>,
    ) {
        let Some(module) = self.modules.get_mut(name) else { return };
        let Life::Fencing(fencing) = &mut module.life else { return };
        if !answered(&fencing.step) {
            return;
        }
        match fencing.step {
            Step::Rfs => fencing.rfs_fenced = true,
            Step::Vips => fencing.vips_cleared = true,
            Step::Stop(_) | Step::Kill => {}
        }
        self.fencing_next(now, name, effects);
    }

    /// A stop script ran into its time-out: perhaps it, or the application that it waits for, hangs in a mount. What comes next shall not.
    pub(super) fn free_what_hangs(&mut self, name: &ModuleName, run: RunId, effects: &mut Vec<DaemonEffect>) {
        let Some(module) = self.modules.get(name) else { return };
        if matches!(&module.life, Life::Fencing(fencing) if fencing.step.is_script(run)) && module.replicates() {
            effects.push(DaemonEffect::AbortMounts { module: name.clone() });
        }
    }

    /// A step was not answered in time: the next one must come all the same, but the peer is told "fenced" only of what was confirmed.
    pub(super) fn fencing_late(&mut self, now: Instant, name: &ModuleName, effects: &mut Vec<DaemonEffect>) {
        let text = "A step after the heart's death was not answered in time; the next one is taken".to_owned();
        effects.push(DaemonEffect::Log { module: Some(name.clone()), event: Event::Text(text) });
        self.fencing_next(now, name, effects);
    }

    fn fencing_next(&mut self, now: Instant, name: &ModuleName, effects: &mut Vec<DaemonEffect>) {
        self.next_run += 1;
        let run = RunId(self.next_run);
        let Some(module) = self.modules.get_mut(name) else { return };
        let (nice, force) = module.stop_timeouts();
        let Life::Fencing(fencing) = &mut module.life else { return };
        let was_telling = fencing.step == Step::Vips;
        let module_name = name.clone();
        match fencing.advance(now, run, nice, force) {
            Some(effect) => effects.push(effect(module_name)),
            None => return self.stopped(now, name, effects),
        }
        if was_telling && fencing.confirmed() {
            module.tell_fenced();
            self.pulse(now, effects);
        }
    }
}

fn died_detail(again: bool, module: &ModuleName) -> String {
    if again {
        return "fencing the module here, then starting it again".to_owned();
    }
    format!(
        "fencing the module here; it died too often to be started again by itself: see why, then run 'holdfast start -m {module}'"
    )
}
