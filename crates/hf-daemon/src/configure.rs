//! Going by what is on the disk.

use crate::event::{Event, Loaded};
use crate::lanes::{Lanes, Refused};
use crate::load::{Stamp, load};
use crate::modules::Configured;
use crate::shell::Shell;
use hf_host::cluster::{self, Member};
use hf_host::files::with_causes;
use hf_node::daemon::{DaemonConfig, DaemonInput};
use hf_types::{LanName, ModuleName, NodeName};
use hf_wire::bus::DaemonToHeart;
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
    pub(crate) fn take_over(&mut self, mut loaded: Loaded) -> DaemonConfig {
        if let Some(member) = &mut loaded.member {
            self.keep_key_before(member);
        }
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
            self.hearts.send_all(&DaemonToHeart::Reread { ticket: None });
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

    /// A key that was copied here while hearts run: the other nodes may still use the one before.
    fn keep_key_before(&mut self, member: &mut Member) {
        let before = self.key.replace(member.key.clone()).filter(|before| *before != member.key);
        if let Some(before) = before.filter(|_| member.key_before.is_none() && !self.hearts.living().is_empty()) {
            if let Err(error) = cluster::hand_over(&self.paths, &before) {
                self.tell(&with_causes(&error));
            }
            member.key_before = Some(before);
        }
        self.handing_over = member.key_before.is_some();
        if self.handing_over {
            self.tell(
                "modules run while the cluster's key changes: the key before is good until every node has the new one",
            );
        }
    }

    /// Looked at every second: the key before goes once nobody needs it.
    pub(crate) fn end_hand_over(&mut self) {
        if !self.handing_over || !self.lanes.all_have_the_key() {
            return;
        }
        self.handing_over = false;
        match cluster::end_hand_over(&self.paths) {
            Ok(()) => {
                self.hearts.send_all(&DaemonToHeart::Reread { ticket: None });
                self.tell("every node has the new key of the cluster: the one before is forgotten");
            }
            Err(error) => self.tell(&with_causes(&error)),
        }
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
