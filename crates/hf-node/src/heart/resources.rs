//! The module's resources: what this heart found, what its rfs measures, what somebody set (hf_types::catalogue).

use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_module::Place;
use hf_types::catalogue::{Class, Kind, Setter, entry};
use hf_types::{Assignment, Event, History, Instant, Resource, ResourceName, ResourceValue};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{Display, Error, Write};
use std::time::Duration;

/// Of a measure at most one value in this time goes into the history.
const MEASURES_EVERY: Duration = Duration::from_secs(60);
/// More than any module has; a script that makes up names must not fill the memory.
const RESOURCES_MAX: usize = 1000;

/// What the resources are, and when a measure was last kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Resources {
    pub(super) now: BTreeMap<String, Resource>,
    kept: BTreeMap<String, Instant>,
}

impl HeartActor {
    /// Sets a resource of ours. `loud`: the log says so.
    pub(super) fn set_resource(&mut self, name: &str, value: ResourceValue, by: &str, loud: bool, out: &mut Out) {
        // Asked after every input, for every resource: nothing is allocated where nothing changes.
        let known = self.resources.now.get(name);
        if known.is_none_or(|known| known.value != value || known.by != by) {
            let resource = Resource { name: name.to_owned(), value, by: by.to_owned(), at_us: 0 };
            self.assign(resource, History::Changes, loud, out);
        }
    }

    /// Sets a resource of ours to a text, which is made only where it differs.
    pub(super) fn set_shown(&mut self, name: &str, shown: impl Display, by: &str, out: &mut Out) {
        let known = self.resources.now.get(name);
        let same = known.is_some_and(|known| match &known.value {
            ResourceValue::Text(text) => known.by == by && reads(text, &shown),
            _ => false,
        });
        if !same {
            self.set_resource(name, ResourceValue::Text(shown.to_string()), by, false, out);
        }
    }

    /// Sets a resource of ours to what it may be already: only its time is new.
    pub(super) fn assign_again(&mut self, name: &str, value: ResourceValue, out: &mut Out) {
        let resource = Resource { name: name.to_owned(), value, by: "heart".to_owned(), at_us: 0 };
        self.assign(resource, History::Always, false, out);
    }

    fn assign(&mut self, resource: Resource, history: History, loud: bool, out: &mut Out) {
        let measure = entry(&resource.name).kind == Kind::Measure;
        if loud && !measure {
            let Resource { name, value, by, .. } = resource.clone();
            log(out, Event::ResourceSet { name, value, by });
        }
        let history = if measure && history == History::Changes { self.thin_out(&resource.name) } else { history };
        self.resources.now.insert(resource.name.clone(), resource.clone());
        out.push(HeartEffect::SetResource { resource, history });
    }

    fn thin_out(&mut self, name: &str) -> History {
        let recent = self.resources.kept.get(name).is_some_and(|at| self.now.since(*at) < MEASURES_EVERY);
        if recent {
            return History::Never;
        }
        self.resources.kept.insert(name.to_owned(), self.now);
        History::Changes
    }

    /// `set` (reference 004, 13.18.4). The error is the sentence for whoever called.
    pub(super) fn on_set(&mut self, assignment: Assignment, out: &mut Out) -> Result<(), String> {
        let Assignment { name, value, by, history } = assignment;
        let known = name.entry();
        match known.setter {
            Setter::Anyone => {}
            Setter::Holdfast => {
                return Err(format!("{name} says what Holdfast found ({}); it can't be set", known.about));
            }
            Setter::Command(command) => {
                let module = &self.config.module;
                return Err(format!(
                    "{name} shows what was chosen; to choose otherwise: holdfast {command} -m {module}"
                ));
            }
        }
        let new = !self.resources.now.contains_key(name.as_str());
        if new && self.resources.now.len() >= RESOURCES_MAX {
            return Err(format!("the module has {RESOURCES_MAX} resources already"));
        }
        let resource = Resource { name: name.into(), value, by, at_us: 0 };
        let before = self.resources.now.get(&resource.name);
        let changed = before.is_none_or(|before| before.value != resource.value);
        if changed || history == History::Always {
            self.assign(resource, history, changed, out);
        }
        Ok(())
    }

    /// What it was about is no more.
    pub(super) fn drop_resource(&mut self, name: &str, out: &mut Out) {
        if self.resources.now.contains_key(name) {
            self.set_resource(name, ResourceValue::Unknown, "heart", false, out);
            self.resources.now.remove(name);
        }
    }

    /// What rfs measures; it may only speak of its own class.
    pub(super) fn on_rfs_resources(&mut self, values: Vec<(ResourceName, ResourceValue)>, out: &mut Out) {
        for (name, value) in values {
            if name.class() == Class::Rfs {
                self.set_resource(name.as_str(), value, "nfsbox", true, out);
            }
        }
    }

    /// Nobody measures any more.
    pub(super) fn forget_rfs_resources(&mut self, out: &mut Out) {
        let measured = self.resources.now.values().filter(|resource| resource.by == "nfsbox");
        let names: Vec<String> = measured.map(|resource| resource.name.clone()).collect();
        for name in names {
            self.set_resource(&name, ResourceValue::Unknown, "heart", false, out);
        }
    }

    fn publish_pair(&mut self, out: &mut Out) {
        self.set_shown("state.remote", Place::of(self.remote.0, self.remote.1), "heart", out);
        self.set_shown("usersetting.failover", if self.config.failover { "on" } else { "off" }, "heart", out);
    }

    /// What follows from where the module is.
    pub(super) fn publish_resources(&mut self, out: &mut Out) {
        self.set_shown("state.local", self.door.place(), "heart", out);
        if self.config.mode.has_pair() {
            self.publish_pair(out);
        }
        let checking = if self.config.checking { "on" } else { "off" };
        self.set_resource("usersetting.checker", ResourceValue::Text(checking.to_owned()), "heart", false, out);
        self.set_resource("proc.heart", ResourceValue::Up, "heart", false, out);
        self.publish_vips(out);
        if self.config.replicates {
            let alive = if self.rfs.alive { ResourceValue::Up } else { ResourceValue::Down };
            self.set_resource("proc.rfs", alive, "heart", false, out);
            self.publish_rfs(out);
        }
    }
}

/// What of a text was not read yet.
struct Rest<'t>(&'t str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(Error)?;
        Ok(())
    }
}

/// Whether `shown` reads like `text`.
fn reads(text: &str, shown: &impl Display) -> bool {
    let mut rest = Rest(text);
    write!(rest, "{shown}").is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::reads;

    #[test]
    fn a_text_reads_like_what_it_was_made_of_and_like_nothing_else() {
        assert!(reads("12", &12) && reads("", &""));
        assert!(!reads("12", &1) && !reads("12", &123) && !reads("12", &13) && !reads("", &0));
    }
}
