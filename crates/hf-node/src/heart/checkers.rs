//! Which checkers run, and what is taken of what they find (reference 004, 13.10 to 13.17). What is done about it is up to the rules.

use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_config::{Checker, When};
use hf_module::Part;
use hf_types::{Event, Instant, ResourceValue, ScriptOutcome};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An application that was just started may take so long until it answers: before it has, and before this time is over, a checker of the
/// application (`when` prim, second, both) doesn't find it down. Restarting it meanwhile would keep it from ever coming up.
pub(super) const STARTING: Duration = Duration::from_secs(15);

/// A custom checker whose program ended by itself is started again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// The checkers of a module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Checkers {
    /// Counts lives of checkers.
    lives: u64,
    /// The times of `when=` that it is now.
    begun: BTreeSet<When>,
    /// What runs, by resource.
    running: BTreeMap<String, Life>,
    /// Nothing changed since it was looked at.
    settled: bool,
}

/// A checker that runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Life {
    checker: Checker,
    run: u64,
    since: Instant,
    /// It was found up once.
    came_up: bool,
    /// Its program ended: when it is started again, and what was said about it.
    again: Option<Instant>,
    said: Option<String>,
}

impl Checkers {
    /// When a program is to be started again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|life| life.again).min()
    }
}

impl HeartActor {
    /// A start script has ended, or `prestart`: from now on the checkers of that time run.
    pub(super) fn begin_checks(&mut self, when: Option<When>) {
        self.checkers.settled &= when.is_none_or(|when| !self.checkers.begun.insert(when));
    }

    /// A stop script is about to run: its checkers end before it.
    pub(super) fn end_checks(&mut self, when: Option<When>, out: &mut Out) {
        if when.is_some_and(|when| self.checkers.begun.remove(&when)) {
            self.checkers.settled = false;
            self.tend_checkers(out);
        }
    }

    /// `poststop` is about to run, or what comes after it.
    pub(super) fn end_all_checks(&mut self, out: &mut Out) {
        for when in std::mem::take(&mut self.checkers.begun) {
            self.checkers.begun.insert(when);
            self.end_checks(Some(when), out);
        }
    }

    /// Checkers came, went or are others by a changed configuration.
    pub(super) fn checkers_changed(&mut self, before: &[Checker], out: &mut Out) {
        self.checkers.settled = false;
        self.tend_checkers(out);
        let kept: BTreeSet<String> = self.config.checkers.iter().map(Checker::resource).collect();
        for gone in before.iter().map(Checker::resource).filter(|resource| !kept.contains(resource)) {
            self.drop_resource(&gone, out);
        }
    }

    /// `checker on|off`: kept over a stop.
    pub(super) fn choose_checking(&mut self, on: bool, out: &mut Out) {
        if self.config.checking == on {
            return;
        }
        self.config.checking = on;
        self.checkers.settled = false;
        let value = ResourceValue::Text(if on { "on" } else { "off" }.to_owned());
        log(out, Event::ResourceSet { name: "usersetting.checker".to_owned(), value, by: "heart".to_owned() });
        self.tend_checkers(out);
    }

    /// Starts and stops what has to be.
    pub(super) fn tend_checkers(&mut self, out: &mut Out) {
        self.start_again(out);
        if std::mem::replace(&mut self.checkers.settled, true) {
            return;
        }
        let (checking, begun) = (self.config.checking, &self.checkers.begun);
        let all = self.config.checkers.iter().map(|checker| (checker.resource(), checker));
        let wanted: BTreeMap<String, Checker> = all
            .filter(|(_, checker)| checking && begun.contains(&checker.when()))
            .map(|(resource, checker)| (resource, checker.clone()))
            .collect();
        let unwanted = self.checkers.running.iter().filter(|(name, life)| wanted.get(*name) != Some(&life.checker));
        let unwanted: Vec<String> = unwanted.map(|(name, _)| name.clone()).collect();
        for resource in unwanted {
            self.checkers.running.remove(&resource);
            self.set_resource(&resource, ResourceValue::Init, "heart", false, out);
            out.push(HeartEffect::StopChecker { resource });
        }
        for (resource, checker) in wanted {
            if !self.checkers.running.contains_key(&resource) {
                self.start_checker(resource, checker, out);
            }
        }
        let unseen = self.config.checkers.iter().map(Checker::resource);
        for resource in unseen.filter(|name| !self.resources.now.contains_key(name)).collect::<Vec<_>>() {
            self.set_resource(&resource, ResourceValue::Init, "heart", false, out);
        }
    }

    fn start_checker(&mut self, resource: String, checker: Checker, out: &mut Out) {
        self.checkers.lives += 1;
        let run = self.checkers.lives;
        self.set_resource(&resource, ResourceValue::Init, "heart", false, out);
        out.push(HeartEffect::StartChecker { run, checker: Box::new(checker.clone()) });
        self.checkers
            .running
            .insert(resource, Life { checker, run, since: self.now, came_up: false, again: None, said: None });
    }

    /// One look of a checker.
    pub(super) fn on_checked(
        &mut self,
        resource: &str,
        run: u64,
        value: ResourceValue,
        why: String,
        seen: String,
        out: &mut Out,
    ) {
        let now = self.now;
        let Some(life) = self.checkers.running.get_mut(resource).filter(|life| life.run == run) else {
            return;
        };
        life.came_up |= value == ResourceValue::Up;
        let starting = life.checker.when() != When::Pre && !life.came_up && now.since(life.since) < STARTING;
        if starting && value == ResourceValue::Down {
            return;
        }
        let setter = life.checker.setter();
        if matches!(life.checker, Checker::Splitbrain(_)) {
            self.splitbrain.looked = Some((now, value == ResourceValue::Up));
        }
        if !seen.is_empty() {
            self.on_run_seen(resource, seen);
        }
        let changed = self.resources.now.get(resource).is_none_or(|known| known.value != value);
        self.set_resource(resource, value, setter, changed, out);
        if changed && !why.is_empty() {
            log(out, Event::CheckerFound { resource: resource.to_owned(), why });
        }
    }

    /// A custom checker is a loop (reference 004, 13.15): its end says nothing about what it checks, so the resource keeps its value.
    pub(super) fn on_checker_ended(&mut self, resource: &str, run: u64, outcome: &ScriptOutcome, out: &mut Out) {
        let now = self.now;
        let Some(life) = self.checkers.running.get_mut(resource).filter(|life| life.run == run) else {
            return;
        };
        life.again = Some(now + AGAIN);
        let how = match outcome {
            ScriptOutcome::Exited(code) => format!("its program ended with exit code {code}"),
            ScriptOutcome::Signalled(signal) => format!("its program was ended by signal {signal}"),
            ScriptOutcome::TimedOut => "its program ran out of time".to_owned(),
            ScriptOutcome::Missing => "its program is not there".to_owned(),
            ScriptOutcome::Refused(why) => format!("its program was not run ({why})"),
        };
        let why = format!("{how}; it is started every {} s, and what it said last holds", AGAIN.as_secs());
        if life.said.as_ref() != Some(&why) {
            life.said = Some(why.clone());
            log(out, Event::CheckerFound { resource: resource.to_owned(), why });
        }
    }

    fn start_again(&mut self, out: &mut Out) {
        let now = self.now;
        for life in self.checkers.running.values_mut().filter(|life| life.again.is_some_and(|at| at <= now)) {
            life.again = None;
            out.push(HeartEffect::StartChecker { run: life.run, checker: Box::new(life.checker.clone()) });
        }
    }

    /// A checker that runs from prestart on has not set its resource yet (reference 004, 13.15.3).
    pub(super) fn awaits_first_measure(&self) -> bool {
        let measured = |resource: &String| {
            let value = self.resources.now.get(resource).map(|resource| &resource.value);
            value.is_some_and(|value| *value != ResourceValue::Init)
        };
        let pre = self.config.checkers.iter().filter(|checker| checker.when() == When::Pre);
        self.config.checking && !pre.map(Checker::resource).all(|resource| measured(&resource))
    }
}

/// The checkers that belong to the scripts of this part; `start_sec` has none (reference 004, 13.11.3).
pub(super) fn when_of(part: Part) -> Option<When> {
    match part {
        Part::Prim => Some(When::Prim),
        Part::Second => Some(When::Second),
        Part::Both => Some(When::Both),
        Part::Sec => None,
    }
}
