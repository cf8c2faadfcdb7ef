use super::Invariant;
use crate::facts::{Fact, View, acknowledges};
use hf_types::{Epoch, ModuleState};

/// A node that stood still does not go on as if nothing had happened.
#[derive(Default)]
pub struct ThawedNeverAlone {
    /// The node thawed while the other one served, and this has been so since.
    watched: [bool; 2],
    /// What the other one served under when the node stopped.
    before: [Option<Epoch>; 2],
    /// It was ALONE when it stopped (the split is older than the freeze), or its module was stopped (what starts it afterwards is
    /// another matter).
    exempt: [bool; 2],
}

impl Invariant for ThawedNeverAlone {
    fn name(&self) -> &'static str {
        "thawed_never_alone"
    }

    fn sentence(&self) -> &'static str {
        "A node that was frozen while the other took over never reaches ALONE as long as the other one serves and can be heard."
    }

    fn source(&self) -> &'static str {
        "docs/internals/mirror.md, Meeting of two primaries; guide P7"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match *fact {
            Fact::Thawed { node, .. } => {
                let theirs = acknowledges(view.ledger.nodes[1 - node].gate);
                // The other one got its permission meanwhile.
                self.watched[node] = theirs > self.before[node] && !view.hidden[node] && !self.exempt[node];
            }
            Fact::Gate { node, gate } if acknowledges(gate).is_none() => self.watched[1 - node] = false,
            Fact::PowerCut { .. } => self.watched = [false, false],
            Fact::Frozen { node } => {
                self.exempt[node] = matches!(view.ledger.nodes[node].state, ModuleState::Alone | ModuleState::Stop);
                self.before[node] = acknowledges(view.ledger.nodes[1 - node].gate);
                self.watched[1 - node] = false;
            }
            Fact::State { node, state, .. } => return self.state(node, state, view),
            _ => {}
        }
        Ok(())
    }
}

impl ThawedNeverAlone {
    fn state(&mut self, node: usize, state: ModuleState, view: &View<'_>) -> Result<(), String> {
        if !self.watched[node] || view.hidden[node] || view.hidden[1 - node] || view.ledger.split() {
            self.watched[node] = false;
            return Ok(());
        }
        match state {
            ModuleState::Alone => Err(format!(
                "node{} was frozen, node{} took over and serves, and node{0} reaches ALONE",
                node + 1,
                2 - node
            )),
            // It yielded; or an administrator took it into his hands.
            ModuleState::Second | ModuleState::Stop => {
                self.watched[node] = false;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
