//! What a daemon can tell of modules and nodes.

use super::actor::DaemonActor;
use super::supervised::Supervised;
use hf_types::{Colour, ModuleName, ModuleState, NodeName};
use hf_wire::bus::{ClusterModule, ModuleStatus, NodeConfinfo};
use hf_wire::membership::MemberModule;
use serde::Serialize;

/// What a daemon knows of every module on every node, and of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DaemonStatus {
    pub modules: Vec<ModuleStatus>,
    pub nodes: Vec<NodeConfinfo>,
}

impl DaemonActor {
    /// Whether what was published last is still so. Asked after every input: the modules' resources aren't copied for it.
    pub(super) fn is_published(&self) -> bool {
        let known = self.published.modules.iter();
        let own = self.modules.iter().map(|(name, module)| Told::Own(name, module));
        let others = self.others().map(Told::Other);
        let same = known.zip(own.chain(others)).all(|(known, told)| match told {
            Told::Own(name, module) => module.is_shown_by(&self.config.me, name, known),
            Told::Other(status) => *known == status,
        });
        let all = self.modules.len() + self.others().count() == self.published.modules.len();
        same && all && self.published.nodes == self.node_statuses()
    }

    pub(super) fn module_statuses(&self) -> Vec<ModuleStatus> {
        let own = self.modules.iter().map(|(name, module)| module.as_status(&self.config.me, name));
        own.chain(self.others()).collect()
    }

    fn others(&self) -> impl Iterator<Item = ModuleStatus> {
        self.nodes.iter().flat_map(|(node, view)| {
            let modules = view.last().map(|last| last.modules.as_slice()).unwrap_or_default();
            modules.iter().map(move |member| {
                let (state, colour) = if view.heard() {
                    (member.peer.state, member.colour)
                } else {
                    (ModuleState::Unknown, Colour::Grey)
                };
                status_of(node, &member.module, member.id, state, colour)
            })
        })
    }

    /// Which modules are configured on which node, and how (`cluster state`).
    pub fn cluster_modules(&self) -> Vec<ClusterModule> {
        let line = |node: &NodeName, heard, member: &MemberModule| ClusterModule {
            node: node.clone(),
            module: member.module.clone(),
            mode: "mirror".to_owned(),
            id: member.id,
            applied_s: member.applied_s,
            signature: member.signature.clone(),
            heard,
        };
        let own = self.modules.iter().map(|(name, module)| line(&self.config.me, true, &module.as_member(name)));
        let others = self.nodes.iter().flat_map(|(node, view)| {
            let modules = view.last().map(|last| last.modules.as_slice()).unwrap_or_default();
            modules.iter().map(move |member| line(node, view.heard(), member))
        });
        let mut all: Vec<ClusterModule> = own.chain(others).collect();
        let order = |node: &NodeName| self.config.nodes.iter().position(|other| other == node);
        all.sort_by_key(|line| (line.module.clone(), order(&line.node)));
        all
    }

    pub(super) fn node_statuses(&self) -> Vec<NodeConfinfo> {
        let own = NodeConfinfo {
            node: self.config.me.clone(),
            signature: self.config.signature.clone(),
            applied_us: self.config.applied_us,
            locked: self.config.locked,
            heard: true,
        };
        let others = self.nodes.iter().map(|(node, view)| {
            let last = view.last().filter(|_| view.heard());
            NodeConfinfo {
                node: node.clone(),
                signature: last.map(|last| last.signature.clone()).unwrap_or_default(),
                applied_us: last.map_or(0, |last| last.applied_us),
                locked: last.is_some_and(|last| last.locked),
                heard: view.heard(),
            }
        });
        let mut all: Vec<NodeConfinfo> = std::iter::once(own).chain(others).collect();
        // In the order of cluster.xml, so that every node shows the same list.
        all.sort_by_key(|info| self.config.nodes.iter().position(|node| *node == info.node));
        all
    }
}

/// Whom a line of the modules is about.
enum Told<'a> {
    Own(&'a ModuleName, &'a Supervised),
    Other(ModuleStatus),
}

/// A module of which no more than state and colour is known.
pub(super) fn status_of(
    node: &NodeName,
    module: &ModuleName,
    id: u32,
    state: ModuleState,
    colour: Colour,
) -> ModuleStatus {
    let (node, module) = (node.clone(), module.clone());
    ModuleStatus { node, module, id, state, colour, resources: Vec::new(), why: None, sync: None }
}
