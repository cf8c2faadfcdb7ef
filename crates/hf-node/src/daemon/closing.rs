use super::actor::DaemonActor;
use super::supervised::Life;
use super::{DaemonEffect, InstalledModule};
use hf_types::{Caller, Command, ModuleName, Ticket};
use hf_wire::bus::DaemonToHeart;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// All modules are being stopped, because the machine goes down or `shutdown` was said: in the reverse order of their start at boot,
/// those with the same `boot_delay` together, the next ones when these are stopped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Closing {
    /// Whoever said `shutdown`; none: the daemon was asked to end.
    ticket: Option<Ticket>,
    now: Vec<ModuleName>,
    later: VecDeque<Vec<ModuleName>>,
}

/// What starts last stops first.
fn stages(modules: impl Iterator<Item = (ModuleName, Duration)>) -> VecDeque<Vec<ModuleName>> {
    let mut stages: BTreeMap<Reverse<Duration>, Vec<ModuleName>> = BTreeMap::new();
    for (module, delay) in modules {
        stages.entry(Reverse(delay)).or_default().push(module);
    }
    stages.into_values().collect()
}

impl DaemonActor {
    /// Whether everything is being stopped with the machine in mind: what runs then counts as started for the next boot.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some() || self.shutting_down
    }

    /// `shutdown`; answered when every module is stopped.
    pub(super) fn shutdown_modules(&mut self, ticket: Ticket, effects: &mut Vec<DaemonEffect>) {
        if self.is_closing() {
            let text = "the modules are being stopped already".to_owned();
            effects.push(DaemonEffect::Answer { ticket, result: Err(text) });
            return;
        }
        self.close(Some(ticket), effects);
    }

    /// SIGTERM: then the daemon leaves, too.
    pub(super) fn shutdown(&mut self, effects: &mut Vec<DaemonEffect>) {
        self.shutting_down = true;
        if self.closing.is_none() {
            self.close(None, effects);
        }
    }

    fn close(&mut self, ticket: Option<Ticket>, effects: &mut Vec<DaemonEffect>) {
        let delay = |installed: Option<&InstalledModule>| installed.map_or(Duration::ZERO, |module| module.boot_delay);
        let living = self.modules.iter().filter(|(_, module)| module.life != Life::Stopped);
        let later = stages(living.map(|(name, module)| (name.clone(), delay(module.installed.as_ref()))));
        for module in self.modules.values_mut() {
            module.restart = None;
        }
        self.closing = Some(Closing { ticket, now: Vec::new(), later });
        self.close_next(effects);
    }

    /// Goes on once everything that was told to stop has stopped.
    pub(super) fn close_next(&mut self, effects: &mut Vec<DaemonEffect>) {
        while let Some(closing) = &mut self.closing {
            let stopped = |name: &ModuleName| self.modules.get(name).is_none_or(|module| module.life == Life::Stopped);
            if !closing.now.iter().all(stopped) {
                return;
            }
            if let Some(stage) = closing.later.pop_front() {
                closing.now = stage;
                let running =
                    |name: &&ModuleName| self.modules.get(*name).is_some_and(|module| module.life == Life::Running);
                // Nobody waits for this ticket's answer; what is being fenced ends by itself.
                effects.extend(closing.now.iter().filter(running).map(|name| DaemonEffect::ToHeart {
                    module: name.clone(),
                    message: DaemonToHeart::Control {
                        ticket: Ticket(0),
                        command: Command::Shutdown,
                        by: Caller::system(),
                    },
                }));
                continue;
            }
            effects.extend(closing.ticket.map(|ticket| DaemonEffect::Answer { ticket, result: Ok(()) }));
            self.closing = None;
        }
        if self.shutting_down && self.modules.values().all(|module| module.life == Life::Stopped) {
            effects.push(DaemonEffect::Exit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_last_stops_first() {
        let module = |name: &str, delay| (name.parse().unwrap(), Duration::from_secs(delay));
        let modules = [module("web", 10), module("db", 0), module("app", 10), module("last", 60)];
        let names = |stage: Vec<ModuleName>| stage.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let order: Vec<String> = stages(modules.into_iter()).into_iter().map(names).collect();
        assert_eq!(order, ["last", "web app", "db"]);
    }
}
