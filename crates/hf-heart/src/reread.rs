//! Configuration files that change while the module runs: read away from the loop, then gone by as far as that can be done without a stop.

use crate::event::{Event, Events};
use crate::load::{Loaded, load};
use crate::shell::Shell;
use hf_host::files::with_causes;
use hf_host::{Paths, settings};
use hf_node::heart::{HeartInput, unsound_lanes};
use hf_types::{Event as Log, ModuleName, NodeName, SyncPolicy, Ticket};
use hf_wire::bus::{HeartToDaemon, HeartToRfs};

/// What is read.
#[derive(Clone)]
pub struct Sources {
    paths: Paths,
    module: ModuleName,
    me: NodeName,
    events: Events,
}

impl Sources {
    pub fn new(paths: &Paths, module: &ModuleName, me: &NodeName, events: Events) -> Sources {
        Sources { paths: paths.clone(), module: module.clone(), me: me.clone(), events }
    }

    /// Keeps what `checker on|off` said. The command is carried out whether that succeeds or not.
    pub fn keep_checking(&self, on: bool) {
        let (paths, module) = (self.paths.clone(), self.module.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = settings::keep_checking(&paths, &module, on) {
                tracing::error!(
                    error = with_causes(&error),
                    "checker on|off holds until the module is stopped, and no longer"
                );
            }
        });
    }

    /// What `rfssync` chose has been done.
    pub fn forget_sync_policy(&self) {
        let (paths, module) = (self.paths.clone(), self.module.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = settings::keep_sync_policy(&paths, &module, &SyncPolicy::Default) {
                tracing::error!(error = with_causes(&error), "the next synchronisation compares everything once more");
            }
        });
    }

    /// Reads everything; what was found comes as an event.
    pub fn reread(&self, ticket: Option<Ticket>) {
        let Sources { paths, module, me, events } = self.clone();
        tokio::task::spawn_blocking(move || {
            let loaded = load(&paths, &module, Some(me)).map(Box::new).map_err(|error| with_causes(&error));
            // A heart that leaves no longer listens.
            drop(events.send(Event::Loaded { ticket, loaded }));
        });
    }
}

impl Shell {
    /// Goes by what was read. Whoever waits is answered, else the log says what could not be done.
    pub(crate) fn go_by(&mut self, ticket: Option<Ticket>, loaded: Result<Box<Loaded>, String>) {
        let result = loaded.and_then(|loaded| self.adopt(*loaded, ticket.is_none()));
        match (ticket, result) {
            (Some(ticket), result) => self.tell_daemon(&HeartToDaemon::Answer { ticket, result }),
            (None, Ok(())) => {}
            (None, Err(why)) => {
                let module = self.config.module.clone();
                self.log.write(&Log::Text(format!(
                    "The cluster's configuration changed, and this module can't follow while it runs: {why}. It goes on with what it \
                     had. To change it: 'holdfast stop -m {module}' on both nodes, the secondary first"
                )));
            }
        }
    }

    /// `careful`: nobody looked at whether the module is in a state in which its lanes may change.
    fn adopt(&mut self, loaded: Loaded, careful: bool) -> Result<(), String> {
        let Loaded { keys, applied, mut heart, lanes, .. } = loaded;
        // The wall clock is set now and then, which changes nothing here.
        heart.loops.zero_us = self.config.loops.zero_us;
        let mut why = self.config.needs_a_stop(&heart);
        if careful {
            let after: Vec<_> = lanes.iter().map(|lane| (lane.lan.clone(), lane.ends)).collect();
            why.extend(unsound_lanes(&self.lanes.ends(), &after));
        }
        if keys.insecure && !self.insecure {
            why.push("the cluster's key would go".to_owned());
        }
        if !why.is_empty() {
            return Err(why.join("; "));
        }
        self.insecure = keys.insecure;
        let told = self.lanes.change(lanes, &keys.ring, applied.config.heart.permanent_arp);
        told.into_iter().for_each(|text| self.log.write(&Log::Text(text)));
        self.scripts.configure(&self.sources.paths, &heart.module, applied.config.user.as_ref());
        self.processes.configure(heart.errd.as_ref());
        self.replication.send(&HeartToRfs::Reread);
        if self.config != heart {
            self.config = heart.clone();
            self.inputs.push_back(HeartInput::Configured(Box::new(heart)));
        }
        Ok(())
    }

    /// At the start: where states are shown, the log is read too.
    pub(crate) fn tell_insecure(&mut self) {
        if self.insecure {
            let text = "WARNING: this cluster has no key (insecure-plaintext): whoever is on its networks can read and forge what the nodes say to \
                        each other. 'holdfast cluster genkey' makes a key";
            self.log.write(&Log::Text(text.to_owned()));
        }
    }

    /// At the start: lanes that can't be used yet.
    pub(crate) fn tell_silent_lanes(&mut self) {
        let silent = self.lanes.without_address().into_iter().map(|lan| {
            format!(
                "The heartbeat on {lan} isn't used yet: a node's name there was never looked up. It is used as soon as the name has an address \
                 ('holdfast cluster resolve' looks it up now)"
            )
        });
        for text in silent.collect::<Vec<_>>() {
            self.log.write(&Log::Text(text));
        }
    }
}
