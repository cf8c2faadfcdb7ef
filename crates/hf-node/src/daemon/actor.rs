use super::{DaemonConfig, DaemonEffect, DaemonInput};
use hf_types::Instant;
use hf_wire::bus::{ModuleStatus, NodeConfinfo};
use serde::Serialize;

/// The daemon of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DaemonActor {
    config: DaemonConfig,
    status: DaemonStatus,
}

/// What a daemon knows of every module on every node, and of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DaemonStatus {
    pub modules: Vec<ModuleStatus>,
    pub nodes: Vec<NodeConfinfo>,
}

impl DaemonActor {
    /// A daemon that was not started yet: [`DaemonInput::Started`] must come first.
    pub fn new(config: DaemonConfig) -> DaemonActor {
        DaemonActor { config, status: DaemonStatus::default() }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, _now: Instant, _input: DaemonInput) -> Vec<DaemonEffect> {
        Vec::new()
    }

    /// When [`DaemonInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// Modules and nodes, as [`DaemonEffect::Publish`] says them at every change.
    pub fn status(&self) -> DaemonStatus {
        self.status.clone()
    }
}
