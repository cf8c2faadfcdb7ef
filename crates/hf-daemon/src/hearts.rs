use crate::event::Events;
use crate::heart::{self, SpawnError};
use hf_bus::Outbox;
use hf_exec::ProcessWatch;
use hf_host::Paths;
use hf_host::files::{names_in, with_causes};
use hf_types::{Caller, Command, ModuleName, NodeName};
use hf_wire::bus::DaemonToHeart;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Messages kept for a heart that isn't connected yet.
const PENDING_MAX: usize = 256;

/// The hearts that live on this node.
pub struct Hearts {
    paths: Paths,
    /// What is started as `PROGRAM heart AM ...`.
    program: PathBuf,
    events: Events,
    living: BTreeMap<ModuleName, Living>,
    runs: u64,
}

struct Living {
    run: u64,
    outbox: Option<Outbox>,
    /// It was started by an earlier daemon: what changed since, nobody told it.
    adopted: bool,
    pending: Vec<DaemonToHeart>,
}

impl Hearts {
    /// No heart is known yet. `program`: normally our own ([`heart::own_program`]).
    pub fn new(paths: Paths, program: PathBuf, events: Events) -> Hearts {
        Hearts { paths, program, events, living: BTreeMap::new(), runs: 0 }
    }

    /// Finds every heart that an earlier daemon left running, also of modules that are no longer configured.
    pub fn adopt_all(&mut self) -> Vec<ModuleName> {
        let names = names_in(&self.paths.run()).unwrap_or_else(|error| {
            tracing::error!(error = %with_causes(&error), "living hearts can't be looked for");
            Vec::new()
        });
        let modules: Vec<ModuleName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let modules = modules.into_iter().filter(|module| self.paths.module_run(module).is_dir());
        for module in modules.collect::<Vec<_>>() {
            match heart::find(&self.paths, &module) {
                Ok(Some(watch)) => self.watch(module, watch, true),
                Ok(None) => {}
                Err(error) => tracing::error!(error = %with_causes(&error), %module, "its heart"),
            }
        }
        self.living()
    }

    /// Starts a heart; nothing happens if the module has one.
    pub fn spawn(&mut self, me: &NodeName, module: &ModuleName, first: Command, by: &Caller) -> Result<(), SpawnError> {
        if self.lives(module) {
            return Ok(());
        }
        let watch = heart::spawn(&self.program, &self.paths, me, module, first, by)?;
        self.watch(module.clone(), watch, false);
        Ok(())
    }

    fn watch(&mut self, module: ModuleName, watch: ProcessWatch, adopted: bool) {
        self.runs += 1;
        let socket = self.paths.heart_socket(&module);
        let events = self.events.clone();
        tokio::spawn(heart::supervise(watch, socket, module.clone(), self.runs, events));
        let living = Living { run: self.runs, outbox: None, adopted, pending: Vec::new() };
        self.living.insert(module, living);
    }

    pub fn lives(&self, module: &ModuleName) -> bool {
        self.living.contains_key(module)
    }

    pub fn living(&self) -> Vec<ModuleName> {
        self.living.keys().cloned().collect()
    }

    /// Whether `run` is the module's present heart.
    pub fn is_current(&self, module: &ModuleName, run: u64) -> bool {
        self.living.get(module).is_some_and(|living| living.run == run)
    }

    /// The heart can be talked to: what waited is sent.
    pub fn connected(&mut self, module: &ModuleName, outbox: Outbox) {
        let Some(living) = self.living.get_mut(module) else {
            return;
        };
        living.outbox = Some(outbox);
        if std::mem::take(&mut living.adopted) {
            living.pending.push(DaemonToHeart::Reread { ticket: None });
        }
        for message in std::mem::take(&mut living.pending) {
            self.send(module, &message);
        }
    }

    /// Sends, or keeps for the moment of connection. A heart that doesn't read loses messages and is told so in our log.
    pub fn send(&mut self, module: &ModuleName, message: &DaemonToHeart) {
        let Some(living) = self.living.get_mut(module) else {
            return;
        };
        match &living.outbox {
            Some(outbox) => {
                if let Err(error) = outbox.send(message) {
                    tracing::warn!(error = %with_causes(&error), %module, "message to the heart lost");
                }
            }
            None if living.pending.len() < PENDING_MAX => living.pending.push(message.clone()),
            None => tracing::warn!(%module, "message to the heart lost: it doesn't listen yet"),
        }
    }

    /// Tells every heart.
    pub fn send_all(&mut self, message: &DaemonToHeart) {
        for module in self.living() {
            self.send(&module, message);
        }
    }

    pub fn forget(&mut self, module: &ModuleName) {
        self.living.remove(module);
    }
}

#[cfg(test)]
mod tests;
