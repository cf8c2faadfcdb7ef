use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_module::{Goal, Plan, Step};
use hf_replica::grant::Grant;
use hf_replica::summary;
use hf_types::{
    Command, CopyState, Epoch, Event, GenerationId, GrantReason, Incarnation, Instant, ModuleState, Record, RfsFault,
    SyncWish,
};
use hf_wire::bus::{HeartToRfs, RfsRole, RfsToHeart, SyncEvent};
use serde::Serialize;
use std::time::Duration;

/// How many deaths of rfs in [`DEATHS_WITHIN`] are borne (docs/internals/front.md).
const DEATHS_MAX: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(30);
/// How long a secondary waits after a disk error before it tries again.
const DISK_PAUSE: Duration = Duration::from_secs(10);
/// How long a stopped rfs may take to be gone.
const ENDING: Duration = Duration::from_secs(2);
/// How long a new rfs may take to say what it found.
const FIRST_WORD: Duration = Duration::from_secs(30);

/// What the heart knows of its rfs, all of it durable or said by rfs itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rfs {
    /// A process was asked for and is not known to be gone.
    pub(super) alive: bool,
    /// It has said its first status.
    pub(super) known: bool,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) role: Option<RfsRole>,
    /// The summary of its records; kept when it is gone.
    pub(super) copy: Option<CopyState>,
    /// When all directories were in step last, as their records say: seconds since 1970 UTC.
    pub(super) synced_s: Option<i64>,
    pub(super) in_step: bool,
    pub(super) alone: Option<Epoch>,
    /// The role that it was told; said again to a successor.
    pub(super) ordered: Option<RfsRole>,
    /// The generation since which it was told to be outdated.
    pub(super) outdate: Option<(GenerationId, Instant)>,
    pub(super) deadline: Option<Instant>,
    /// It said that it has stopped.
    pub(super) ending: bool,
    deaths: Vec<Instant>,
    /// This rfs met a disk error: nothing durable can be expected of it.
    pub(super) disk_failed: bool,
}

impl HeartActor {
    pub(super) fn spawn_rfs(&mut self, out: &mut Out) {
        self.rfs.alive = true;
        self.rfs.known = false;
        self.rfs.disk_failed = false;
        self.rfs.deadline = Some(self.now + FIRST_WORD);
        out.push(HeartEffect::SpawnRfs);
    }

    pub(super) fn on_rfs(&mut self, message: RfsToHeart, out: &mut Out) {
        match message {
            RfsToHeart::Status { incarnation, role, records, in_step, alone, boot_id, .. } => {
                let copy = summary(&records, &boot_id);
                let synced = records.iter().map(|record| record.synced_s).collect::<Option<Vec<i64>>>();
                self.rfs.synced_s = synced.and_then(|moments| moments.into_iter().min());
                self.forget_spent_grant(&records);
                self.on_rfs_status(incarnation, role, copy, out);
                self.rfs.in_step = in_step;
                if in_step {
                    self.wish = self.sync_policy.wish();
                }
                self.rfs.alone = alone;
                self.note_epoch(&records, role);
            }
            RfsToHeart::AskAlone { why, .. } => {
                self.ask = Some((why, self.now));
            }
            RfsToHeart::Outdated { .. } => {
                self.rfs.outdate = None;
                self.answer_step(Step::Outdate);
            }
            RfsToHeart::StoodStill { id } => {
                if self.grant_pending() && self.role_wanted.is_none() {
                    // It was not used before the stall, and won't be: what is true now decides anew.
                    self.grant = None;
                }
                out.push(HeartEffect::ToRfs(HeartToRfs::Awake { id }));
            }
            RfsToHeart::PeerOutdated { since } => self.peer_outdated = Some(since),
            RfsToHeart::Drained => self.answer_step(Step::Drain),
            RfsToHeart::Stopped { error } => {
                if let Some(error) = error {
                    log(out, Event::Text(format!("Replication stopped with an error: {error}")));
                }
                self.rfs_said_stopped();
            }
            RfsToHeart::Sync(event) => self.on_sync(event, out),
            RfsToHeart::Fault(fault) => self.on_rfs_fault(fault, out),
            RfsToHeart::Resources { values } => self.on_rfs_resources(values, out),
        }
    }

    /// Once any directory has gone on from a permission's generation, the copies were in step or about to be: another
    /// permission begins another generation.
    fn forget_spent_grant(&mut self, records: &[Record]) {
        let spent = |grant: &Grant| records.iter().any(|record| record.history.contains(&grant.generation));
        self.grant = self.grant.filter(|grant| !spent(grant));
    }

    fn on_rfs_status(&mut self, incarnation: Incarnation, role: RfsRole, copy: Option<CopyState>, out: &mut Out) {
        let successor = self.rfs.incarnation != Some(incarnation) || !self.rfs.known;
        self.rfs.incarnation = Some(incarnation);
        self.rfs.alive = true;
        self.rfs.known = true;
        self.rfs.deadline = None;
        self.rfs.role = Some(role);
        self.rfs.copy = copy;
        if successor {
            self.rfs.outdate = None;
            self.was_primary = self.rfs.copy.as_ref().is_some_and(|copy| copy.was_primary);
            self.order_again(out);
        }
    }

    /// A successor is told what its predecessor knew.
    fn order_again(&mut self, out: &mut Out) {
        if let Some(role) = self.rfs.ordered {
            self.tell_wish(out);
            out.push(HeartEffect::ToRfs(HeartToRfs::Become(role)));
            if let (RfsRole::Primary { .. }, Some(grant), false) = (role, self.grant, self.pair.listening()) {
                self.send_grant(grant, out);
            }
        }
        if let Some(step) = &mut self.step
            && step.step == Step::Drain
        {
            out.push(HeartEffect::ToRfs(HeartToRfs::Drain));
        }
    }

    fn note_epoch(&mut self, records: &[Record], role: RfsRole) {
        for record in records {
            self.epoch = self.epoch.max(record.epoch);
        }
        if let RfsRole::Primary { epoch } = role {
            self.epoch = self.epoch.max(epoch);
        }
        self.epoch = self.epoch.max(self.rfs.alone.unwrap_or_default());
        if self.rfs.alone.is_some() || (self.rfs.in_step && matches!(role, RfsRole::Primary { .. })) {
            self.ask = None;
            self.asking = None;
        }
    }

    fn on_sync(&mut self, event: SyncEvent, out: &mut Out) {
        match event {
            SyncEvent::Began { dir } => {
                self.sync = Some(hf_wire::bus::SyncProgress { dir, ..Default::default() });
            }
            SyncEvent::Progress(progress) => self.sync = Some(progress),
            SyncEvent::Ended(_) => {
                self.sync = None;
                self.end_sync_policy(out);
            }
            SyncEvent::Failed { why } => {
                self.sync = None;
                self.why = Some(format!("reintegration failed: {why}"));
            }
        }
    }

    fn on_rfs_fault(&mut self, fault: RfsFault, out: &mut Out) {
        match fault {
            RfsFault::LocalDisk(why) => self.on_disk_fault(why, out),
            RfsFault::NotMounted(why) => self.on_mount_fault(why, out),
            RfsFault::LinkDown => self.fail_step(Step::GiveRole),
            RfsFault::RemoteDisk(why) | RfsFault::Diverged(why) => self.why = Some(why),
            RfsFault::Stalled | RfsFault::Fenced(_) => {}
        }
    }

    /// A primary whose application didn't begin yet has nothing that it could begin on, and nobody would mount it later.
    fn on_mount_fault(&mut self, why: String, out: &mut Out) {
        if !self.step.is_some_and(|step| step.step == Step::TakeRole) {
            return self.on_disk_fault(why, out);
        }
        let module = &self.config.module;
        let text = format!("{why}. The module stops: put that right, then 'holdfast start -m {module}'");
        log(out, Event::StaysStopped(text.clone()));
        self.because = Some(text);
        self.replace_plan(Plan::stop(self.state()), out);
    }

    /// guide P11: a disk that failed is not asked again.
    fn on_disk_fault(&mut self, why: String, out: &mut Out) {
        self.why = Some(format!("local disk error: {why}"));
        self.fail_step(Step::Outdate);
        self.rfs.disk_failed = true;
        self.publish_disk(out);
        self.publish_degraded(out);
        if matches!(self.goal(), Some(Goal::Stopped | Goal::Restarted)) || self.next_plan.is_some() {
            return;
        }
        let state = self.state();
        match state {
            // The application gets the error and decides: there is no other copy.
            ModuleState::Alone | ModuleState::Prim if self.rfs.alone.is_some() => {}
            // Tried again after a while with another rfs: a full disk may have room then.
            ModuleState::Second => {
                self.hold_until = Some(self.now + DISK_PAUSE);
                self.replace_plan(Plan::restart(state), out);
            }
            ModuleState::Wait if self.plan.is_none() && self.intent == Command::Start => {
                self.hold_until = Some(self.now + DISK_PAUSE);
            }
            ModuleState::Alone | ModuleState::Prim => self.leave_disk(out),
            ModuleState::Wait | ModuleState::Stop | ModuleState::Up | ModuleState::Unknown => {
                self.replace_plan(Plan::stop(state), out);
            }
        }
    }

    /// A script that runs may itself wait for that disk: it isn't waited for.
    fn leave_disk(&mut self, out: &mut Out) {
        if self.scripts.running.is_some() {
            self.kill_script(out);
            self.scripts.running = None;
        }
        let module = &self.config.module;
        let why = self.why.clone().unwrap_or_else(|| "the disk failed".to_owned());
        let text = format!(
            "{why}. The other node takes over, and the module stays stopped here until the disk is well again: repair or replace it (dmesg and \
             'holdfast log -m {module}' say what failed), then 'holdfast start -m {module}'; what is missing here then comes from the other node"
        );
        log(out, Event::StaysStopped(text.clone()));
        self.because = Some(text);
        self.begin_plan(Plan::leave_disk(self.state()), out);
    }

    pub(super) fn on_rfs_gone(&mut self, out: &mut Out) {
        let expected =
            self.rfs.ending || self.step.is_some_and(|step| matches!(step.step, Step::StopRfs | Step::AbortRfs));
        let was_alive = self.rfs.alive;
        self.rfs_is_gone();
        self.forget_rfs_resources(out);
        if expected {
            self.answer_step(Step::StopRfs);
            self.answer_step(Step::AbortRfs);
            return;
        }
        if !was_alive || self.rfs_ended() {
            return;
        }
        let detail = "its work goes on in another one".to_owned();
        log(out, Event::ProcessDied { process: "rfs".to_owned(), detail });
        let recent = self.now;
        self.rfs.deaths.retain(|death| recent.since(*death) < DEATHS_WITHIN);
        self.rfs.deaths.push(self.now);
        if self.rfs.deaths.len() > DEATHS_MAX {
            self.give_up_on_rfs(out);
        } else {
            self.spawn_rfs(out);
        }
    }

    /// It has nothing more to do; the process is about to end, and only then may another one begin.
    fn rfs_said_stopped(&mut self) {
        self.rfs_is_gone();
        self.rfs.alive = true;
        self.rfs.ending = true;
        if let Some(step) = &mut self.step
            && step.step == Step::StopRfs
        {
            step.deadline = Some(self.now + ENDING);
        }
    }

    fn rfs_is_gone(&mut self) {
        self.rfs.ending = false;
        self.rfs.alive = false;
        self.rfs.known = false;
        self.rfs.role = None;
        self.rfs.in_step = false;
        self.rfs.alone = None;
        self.rfs.outdate = None;
        self.rfs.deadline = None;
        self.ask = None;
    }

    /// Whether the plan is beyond the end of rfs.
    fn rfs_ended(&self) -> bool {
        let Some(plan) = &self.plan else {
            return false;
        };
        let left = |step: &Step| matches!(step, Step::StopRfs | Step::AbortRfs);
        let leaving = matches!(plan.goal, Goal::Stopped | Goal::Restarted);
        leaving && !plan.steps.iter().any(left)
    }

    fn give_up_on_rfs(&mut self, out: &mut Out) {
        log(out, Event::Text("Replication dies again and again: the module leaves its state".to_owned()));
        self.rfs.deaths.clear();
        let state = self.state();
        let plan = match state {
            // An ordinary stop would wait for what hangs in the mount.
            ModuleState::Alone | ModuleState::Prim | ModuleState::Second if self.is_one_restart_too_many(out) => {
                Plan::give_up_for_good(state)
            }
            ModuleState::Alone | ModuleState::Prim | ModuleState::Second => Plan::give_up(state),
            ModuleState::Wait | ModuleState::Stop | ModuleState::Up | ModuleState::Unknown => Plan::stop(state),
        };
        self.replace_plan(plan, out);
    }

    /// An rfs that says nothing is as good as dead.
    pub(super) fn tend_rfs(&mut self, out: &mut Out) -> bool {
        if self.rfs.deadline.is_none_or(|at| at > self.now) {
            return false;
        }
        self.rfs.deadline = None;
        log(out, Event::Text("Replication did not answer: it is started again".to_owned()));
        out.push(HeartEffect::KillRfs { abort: false });
        self.on_rfs_gone(out);
        true
    }

    pub(super) fn order_role(&mut self, role: RfsRole, out: &mut Out) {
        self.rfs.ordered = Some(role);
        self.tell_wish(out);
        out.push(HeartEffect::ToRfs(HeartToRfs::Become(role)));
    }

    fn tell_wish(&self, out: &mut Out) {
        if self.wish != SyncWish::default() {
            out.push(HeartEffect::ToRfs(HeartToRfs::Wish(self.wish)));
        }
    }

    /// Asks rfs to let the other copy go on without this one; once, until it answered or died.
    pub(super) fn order_outdate(&mut self, since: GenerationId, out: &mut Out) -> bool {
        if !self.rfs.known || self.is_resigning() {
            return false;
        }
        self.rfs.outdate = Some((since, self.now));
        out.push(HeartEffect::ToRfs(HeartToRfs::WriteOutdated { since }));
        true
    }

    /// A permission with a new generation, if randomness is at hand. The daemon hears of it first: if this heart dies, the
    /// fence that it confirms must be about the latest permission.
    pub(super) fn issue_grant(&mut self, why: GrantReason, out: &mut Out) -> bool {
        let Some(random) = self.random.filter(|random| *random != 0) else {
            self.random = None;
            return false;
        };
        self.random = None;
        self.epoch = Epoch(self.epoch.0 + 1);
        let grant = Grant { epoch: self.epoch, generation: GenerationId(random), why };
        self.grant = Some(grant);
        self.ask = None;
        self.asking = None;
        log(out, Event::Granted { epoch: grant.epoch, why });
        self.say_status(out);
        let role = RfsRole::Primary { epoch: grant.epoch };
        if self.rfs.ordered != Some(role) {
            self.order_role(role, out);
        }
        self.send_grant(grant, out);
        true
    }

    pub(super) fn send_grant(&mut self, grant: Grant, out: &mut Out) {
        out.push(HeartEffect::ToRfs(HeartToRfs::Grant {
            epoch: grant.epoch,
            generation: grant.generation,
            why: grant.why,
        }));
    }
}
