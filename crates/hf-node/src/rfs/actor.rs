use super::{RfsConfig, RfsEffect, RfsInput};
use hf_replica::engine::Gate;
use hf_types::{Instant, Record};
use hf_wire::bus::RfsRole;
use serde::Serialize;

/// Replication of one module on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfsActor {
    config: RfsConfig,
    status: RfsStatus,
}

/// What an rfs is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RfsStatus {
    pub role: RfsRole,
    pub gate: Gate,
    /// As they are durably.
    pub records: Vec<Record>,
    pub link_up: bool,
    pub in_step: bool,
}

impl RfsActor {
    /// An rfs that was not started yet: [`RfsInput::Started`] must come first.
    pub fn new(config: RfsConfig) -> RfsActor {
        RfsActor {
            config,
            status: RfsStatus {
                role: RfsRole::Idle,
                gate: Gate::Closed,
                records: Vec::new(),
                link_up: false,
                in_step: false,
            },
        }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, _now: Instant, _input: RfsInput) -> Vec<RfsEffect> {
        Vec::new()
    }

    /// When [`RfsInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// Role, gate, records.
    pub fn status(&self) -> RfsStatus {
        self.status.clone()
    }
}
