use super::{HeartConfig, HeartEffect, HeartInput};
use hf_types::{Colour, Instant, ModuleState};
use hf_wire::bus::ModuleStatus;
use serde::Serialize;

/// The heart of one module on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeartActor {
    config: HeartConfig,
    state: ModuleState,
    colour: Colour,
}

impl HeartActor {
    /// A heart that was not started yet: [`HeartInput::Started`] must come first.
    pub fn new(config: HeartConfig) -> HeartActor {
        HeartActor { config, state: ModuleState::Stop, colour: Colour::Red }
    }

    /// Takes one input and says what is to be done, in this order.
    pub fn handle(&mut self, _now: Instant, _input: HeartInput) -> Vec<HeartEffect> {
        Vec::new()
    }

    /// When [`HeartInput::Timer`] is due next, and for what.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// The module as this node sees it (`id` is 0: the daemon knows it).
    pub fn status(&self) -> ModuleStatus {
        ModuleStatus {
            node: self.config.me.clone(),
            module: self.config.module.clone(),
            id: 0,
            state: self.state,
            colour: self.colour,
            resources: Vec::new(),
            why: None,
            sync: None,
        }
    }
}
