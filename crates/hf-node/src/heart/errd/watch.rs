//! Which processes are watched, when they are looked at, and what is found wrong with them (reference 004, 13.9.3). Decides by
//! counts alone: who counts processes is the shell.
//!
//! A process that was there and ends is a fault at once. What was never as it should be since its class was enabled (not there yet, or an
//! old one that still ends) is given `polltimer`, as somebody who only looks every `polltimer` gives it; with `start_after` nothing is judged before
//! (`start_after` - 1) times `polltimer`.

use hf_config::{Errd, Proc, ProcAction};
use hf_types::{Instant, ProcCount, ProcFault};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The second look after a class was enabled; each further one comes after twice the time, so that what starts slowly is known soon.
const FIRST: Duration = Duration::from_millis(250);

/// What is watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Watch {
    suspended: bool,
    /// Enabled classes, since when.
    classes: BTreeMap<String, Instant>,
    /// The processes of enabled classes; none while suspended.
    watched: BTreeMap<String, Watched>,
    /// The newest look: what an earlier one saw is of no interest any more.
    look: u64,
    next_look: Option<Instant>,
}

/// One `<proc>` whose class is enabled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Watched {
    since: Instant,
    /// It was as it should be, since then.
    seen: bool,
    count: Option<u32>,
    fault: Option<ProcFault>,
    /// What follows from the fault was done.
    acted: bool,
}

impl Watched {
    fn since(now: Instant) -> Watched {
        Watched { since: now, seen: false, count: None, fault: None, acted: false }
    }
}

/// How a `<proc>` is, as its resource shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not watched, or not judged yet.
    Open,
    Good,
    Bad(ProcFault),
}

/// A line of `errd list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'c> {
    pub proc: &'c Proc,
    pub enabled: bool,
    pub count: Option<u32>,
    pub condition: Condition,
}

impl Watch {
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Begins or ends a suspension; what is watched after it is watched anew.
    pub fn suspend(&mut self, suspended: bool, errd: &Errd, now: Instant) {
        if self.suspended != suspended {
            self.suspended = suspended;
            self.watched.clear();
            self.configure(errd, now);
        }
    }

    pub fn is_enabled(&self, class: &str) -> bool {
        self.classes.contains_key(class)
    }

    /// Watches a class; one that is watched already is watched on.
    pub fn enable(&mut self, class: &str, errd: &Errd, now: Instant) {
        self.classes.entry(class.to_owned()).or_insert(now);
        self.configure(errd, now);
    }

    pub fn disable(&mut self, class: &str, errd: &Errd, now: Instant) {
        if self.classes.remove(class).is_some() {
            self.configure(errd, now);
        }
    }

    /// Every class but this one.
    pub fn disable_all_but(&mut self, class: &str, errd: &Errd, now: Instant) {
        self.classes.retain(|enabled, _| enabled == class);
        self.configure(errd, now);
    }

    /// Goes by a configuration and the enabled classes: what is new is watched from now on, and looked at at once.
    pub fn configure(&mut self, errd: &Errd, now: Instant) {
        let wanted = |proc: &&Proc| !self.suspended && self.classes.contains_key(&proc.class);
        let names: Vec<&str> = errd.procs.iter().filter(wanted).map(|proc| proc.name.as_str()).collect();
        let before = self.watched.len();
        self.watched.retain(|name, _| names.contains(&name.as_str()));
        let mut changed = self.watched.len() != before;
        for name in names {
            changed |= !self.watched.contains_key(name);
            self.watched.entry(name.to_owned()).or_insert_with(|| Watched::since(now));
        }
        if changed {
            self.next_look = Some(now);
        }
    }

    /// A `<proc>` is watched anew, as if its class had just been enabled.
    pub fn begin_anew(&mut self, name: &str, now: Instant) {
        if let Some(watched) = self.watched.get_mut(name) {
            *watched = Watched::since(now);
            self.next_look = Some(now);
        }
    }

    /// When processes are to be looked at next.
    pub fn due(&self) -> Option<Instant> {
        self.next_look
    }

    /// The look that is due, with the names of what is to be counted (none: nothing is watched any more).
    pub fn look(&mut self, errd: &Errd, now: Instant) -> Option<(u64, Vec<String>)> {
        if self.next_look.is_none_or(|at| at > now) {
            return None;
        }
        self.look += 1;
        self.next_look =
            self.watched.iter().filter_map(|(name, watched)| next_look(watched, find(errd, name)?, errd, now)).min();
        Some((self.look, self.watched.keys().cloned().collect()))
    }

    /// What a look saw; true if something is different now. Counts of what isn't watched (any more) are passed over.
    pub fn take(&mut self, look: u64, counts: &[ProcCount], errd: &Errd, now: Instant) -> bool {
        let mut news = false;
        for seen in counts.iter().filter(|_| look == self.look) {
            if let (Some(proc), Some(watched)) = (find(errd, &seen.name), self.watched.get_mut(&seen.name)) {
                let before = *watched;
                watched.count = Some(seen.count);
                judge(watched, proc, seen, errd, now);
                news |= *watched != before;
            }
        }
        news
    }

    /// The fault that has to be acted upon first, of those that `can` be acted upon now: the hardest action, then the name.
    pub fn worst<'c>(&self, errd: &'c Errd, can: impl Fn(&Proc) -> bool) -> Option<(&'c Proc, ProcFault)> {
        let open = self.watched.iter().filter(|(_, watched)| !watched.acted);
        let faults = open.filter_map(|(name, watched)| Some((find(errd, name)?, watched.fault?)));
        faults.filter(|(proc, _)| can(proc)).min_by_key(|(proc, _)| (hardness(&proc.action), proc.name.clone()))
    }

    /// What follows from the fault of this `<proc>` is being done.
    pub fn acted(&mut self, name: &str) {
        if let Some(watched) = self.watched.get_mut(name) {
            watched.acted = true;
        }
    }

    pub fn condition(&self, name: &str) -> Condition {
        match self.watched.get(name) {
            Some(Watched { fault: Some(fault), .. }) => Condition::Bad(*fault),
            Some(Watched { seen: true, .. }) => Condition::Good,
            Some(_) | None => Condition::Open,
        }
    }

    pub fn list<'c>(&self, errd: &'c Errd) -> Vec<Listed<'c>> {
        let listed = |proc: &'c Proc| Listed {
            proc,
            enabled: self.classes.contains_key(&proc.class),
            count: self.watched.get(&proc.name).and_then(|watched| watched.count),
            condition: self.condition(&proc.name),
        };
        errd.procs.iter().map(listed).collect()
    }
}

fn find<'c>(errd: &'c Errd, name: &str) -> Option<&'c Proc> {
    errd.procs.iter().find(|proc| proc.name == name)
}

fn poll(errd: &Errd) -> Duration {
    Duration::from_millis(errd.poll_ms)
}

/// Nothing is judged before this.
fn judged_from(watched: &Watched, proc: &Proc, errd: &Errd) -> Instant {
    watched.since + poll(errd) * proc.start_after_polls.saturating_sub(1)
}

/// What was never as it should be is a fault from this moment on.
fn bad_from(watched: &Watched, proc: &Proc, errd: &Errd) -> Instant {
    judged_from(watched, proc, errd).max(watched.since + poll(errd))
}

fn judge(watched: &mut Watched, proc: &Proc, seen: &ProcCount, errd: &Errd, now: Instant) {
    let possible = seen.count.saturating_add(seen.unsure);
    let fault = if proc.at_least.is_some_and(|least| possible < least) {
        Some(ProcFault::AtLeast)
    } else if proc.at_most.is_some_and(|most| seen.count > most) {
        Some(ProcFault::AtMax)
    } else {
        None
    };
    let settles = fault.is_some() && !watched.seen;
    if now < judged_from(watched, proc, errd) || (settles && now < bad_from(watched, proc, errd)) {
        return;
    }
    watched.seen |= fault.is_none();
    if watched.fault != fault {
        watched.fault = fault;
        watched.acted = false;
    }
}

/// After a look now, when to look at this one again.
fn next_look(watched: &Watched, proc: &Proc, errd: &Errd, now: Instant) -> Option<Instant> {
    let (judged, bad) = (judged_from(watched, proc, errd), bad_from(watched, proc, errd));
    if now < judged {
        return Some(judged.min(now + poll(errd)));
    }
    if watched.seen || now >= bad {
        return Some(now + poll(errd));
    }
    Some((now + now.since(judged).max(FIRST)).min(bad))
}

/// The smaller, the more of the module it touches.
fn hardness(action: &ProcAction) -> u8 {
    match action {
        ProcAction::Stop => 0,
        ProcAction::Stopstart => 1,
        ProcAction::Restart => 2,
        ProcAction::Handler(_) => 3,
        ProcAction::NoAction => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: u64 = 10_000;

    fn proc(name: &str, class: &str) -> Proc {
        Proc {
            name: name.to_owned(),
            service: false,
            name_regex: None,
            arg_regex: None,
            at_least: Some(1),
            at_most: Some(2),
            action: ProcAction::Restart,
            class: class.to_owned(),
            start_after_polls: 0,
            restart_services: Vec::new(),
        }
    }

    fn at(ms: u64) -> Instant {
        Instant(0) + Duration::from_millis(ms)
    }

    /// `app` of the class prim and `sys` of the class pre, both watched and well.
    fn well() -> (Watch, Errd) {
        let errd = Errd { poll_ms: POLL, procs: vec![proc("app", "prim"), proc("sys", "pre")] };
        let mut watch = Watch::default();
        watch.enable("prim", &errd, at(0));
        watch.enable("pre", &errd, at(0));
        see(&mut watch, &errd, 0, &[("app", 1, 0), ("sys", 1, 0)]);
        assert_eq!(watch.condition("app"), Condition::Good);
        (watch, errd)
    }

    fn see(watch: &mut Watch, errd: &Errd, ms: u64, counts: &[(&str, u32, u32)]) {
        let (look, _) = watch.look(errd, at(ms)).expect("it is time to look");
        let count = |(name, count, unsure): &(&str, u32, u32)| ProcCount {
            name: (*name).to_owned(),
            count: *count,
            unsure: *unsure,
        };
        watch.take(look, &counts.iter().map(count).collect::<Vec<_>>(), errd, at(ms));
    }

    #[test]
    fn one_that_could_not_be_read_may_be_the_one_that_is_missed() {
        let (mut watch, errd) = well();
        see(&mut watch, &errd, POLL, &[("app", 0, 1)]);
        assert_eq!(watch.condition("app"), Condition::Good);
        see(&mut watch, &errd, 2 * POLL, &[("app", 0, 0)]);
        assert_eq!(watch.condition("app"), Condition::Bad(ProcFault::AtLeast));
    }

    #[test]
    fn as_many_as_are_allowed_are_not_too_many() {
        let (mut watch, errd) = well();
        see(&mut watch, &errd, POLL, &[("app", 2, 5)]);
        assert_eq!(watch.condition("app"), Condition::Good, "nor are those that may be others");
        see(&mut watch, &errd, 2 * POLL, &[("app", 3, 0)]);
        assert_eq!(watch.condition("app"), Condition::Bad(ProcFault::AtMax));
    }

    #[test]
    fn what_an_earlier_look_saw_is_passed_over() {
        let (mut watch, errd) = well();
        let (first, _) = watch.look(&errd, at(POLL)).expect("it is time to look");
        watch.begin_anew("sys", at(POLL));
        let (second, _) = watch.look(&errd, at(POLL)).expect("at once");
        assert_ne!(first, second);
        let gone = [ProcCount { name: "app".to_owned(), count: 0, unsure: 0 }];
        assert!(!watch.take(first, &gone, &errd, at(POLL)));
        assert_eq!(watch.condition("app"), Condition::Good);
        assert!(watch.take(second, &gone, &errd, at(POLL)));
    }

    #[test]
    fn after_a_suspension_everything_is_watched_anew() {
        let (mut watch, errd) = well();
        watch.suspend(true, &errd, at(100));
        assert_eq!(watch.condition("app"), Condition::Open);
        watch.suspend(false, &errd, at(200));
        assert_eq!(watch.condition("app"), Condition::Open, "what was known before is not known now");
        see(&mut watch, &errd, 200, &[("app", 0, 0), ("sys", 1, 0)]);
        assert_eq!(watch.condition("app"), Condition::Open, "it has a poll's time, as after a start");
    }

    #[test]
    fn what_a_module_keeps_in_wait_is_watched_on() {
        let (mut watch, errd) = well();
        watch.disable_all_but("pre", &errd, at(100));
        assert_eq!((watch.is_enabled("prim"), watch.is_enabled("pre")), (false, true));
        assert_eq!((watch.condition("app"), watch.condition("sys")), (Condition::Open, Condition::Good));
    }
}
