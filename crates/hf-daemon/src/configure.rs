//! Going by what is on the disk.

use crate::event::{Event, Loaded};
use crate::lanes::{Lanes, Refused};
use crate::load::{Stamp, load};
use crate::modules::Configured;
use crate::shell::Shell;
use hf_host::cluster::Member;
use hf_node::daemon::{DaemonConfig, DaemonInput};
use hf_types::{LanName, ModuleName, NodeName};
use std::collections::BTreeMap;
use std::time::Duration;

/// A standstill shorter than this is not worth a word, whatever the time-outs.
pub const STALL_MIN: Duration = Duration::from_millis(300);
/// Reference 004, 12.1.3, while no cluster is configured.
const PULSE: Duration = Duration::from_millis(700);

impl Shell {
    /// Goes by a configuration from the disk.
    pub(crate) fn apply(&mut self, loaded: Loaded) {
        let config = self.take_over(loaded);
        self.feed(DaemonInput::Reconfigured(config));
    }

    /// Opens what the configuration asks for; what the actor is to decide by.
    pub(crate) fn take_over(&mut self, loaded: Loaded) -> DaemonConfig {
        for problem in &loaded.problems {
            self.tell(problem);
        }
        self.modules = loaded.modules.into_iter().collect();
        self.names_missing = loaded.member.as_ref().is_some_and(|member| !member.cluster.is_resolved());
        // The addresses too: names may stand for others than before.
        let applied = loaded.member.as_ref().map(|member| (member.signature.clone(), member.cluster.clone()));
        if applied != self.applied {
            let before = std::mem::replace(&mut self.lanes, Lanes::none());
            self.told = Refused::default();
            if let Some(member) = &loaded.member {
                let (lanes, problems) = Lanes::open(member, &self.datagrams.0, before);
                self.lanes = lanes;
                problems.iter().for_each(|problem| self.tell(problem));
            }
            self.applied = applied;
        }
        if let Some(member) = &loaded.member {
            self.me = member.me.clone();
        }
        let member = loaded.member.as_ref();
        let config = config(&self.me, member, &self.modules, self.lanes.names());
        let silence = config.pulse * config.mlost_count.min(config.slost_count);
        self.stall_limit = (silence / 3).max(STALL_MIN);
        config
    }

    /// Reads the disk again, away from the loop.
    pub(crate) fn reload(&mut self) {
        self.stamp = Stamp::of(&self.paths);
        let (paths, given, events) = (self.paths.clone(), self.given.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let loaded = Box::new(load(&paths, given));
            // The loop only goes away with the whole daemon.
            let _gone = events.blocking_send(Event::Loaded { loaded, done: None });
        });
    }
}

/// What the actor decides by.
pub fn config(
    me: &NodeName,
    member: Option<&Member>,
    modules: &BTreeMap<ModuleName, Configured>,
    lans: Vec<LanName>,
) -> DaemonConfig {
    let modules = modules.iter().map(|(module, configured)| configured.installed(module)).collect();
    let Some(member) = member else {
        return DaemonConfig {
            me: me.clone(),
            nodes: vec![me.clone()],
            lans,
            pulse: PULSE,
            mlost_count: 5,
            slost_count: 5,
            signature: String::new(),
            applied_us: 0,
            locked: false,
            modules,
        };
    };
    let cluster = &member.cluster;
    let nodes = cluster.node_names().into_iter();
    DaemonConfig {
        me: me.clone(),
        nodes: nodes.filter_map(|name| name.parse().ok()).collect(), // checked when it was read
        lans,
        pulse: Duration::from_millis(cluster.pulse_ms),
        mlost_count: cluster.mlost_count,
        slost_count: cluster.slost_count,
        signature: member.signature.clone(),
        applied_us: member.applied_us,
        locked: member.locked,
        modules,
    }
}
