use super::Invariant;
use crate::facts::{Fact, View};
use hf_replica::engine::Gate;
use hf_types::GrantReason;

/// What a `<splitbrain>` checker is for.
pub struct WitnessPartsNobody;

impl Invariant for WitnessPartsNobody {
    fn name(&self) -> &'static str {
        "witness_parts_nobody"
    }

    fn sentence(&self) -> &'static str {
        "With a witness that only one node reaches while the network lies between them, both never acknowledge alone at once, unless an \
         administrator started one or a disk was put back to an earlier day."
    }

    fn source(&self) -> &'static str {
        "reference 004, 13.17; guide P4"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        let Fact::Acked { node, op, .. } = *fact else {
            return Ok(());
        };
        let nodes = &view.ledger.nodes;
        let by_hand = |seen: &crate::ledger::Seen| {
            seen.rolled_back || seen.grant.is_some_and(|(_, why)| why == GrantReason::Administrator)
        };
        let alone = |node: usize| matches!(nodes[node].gate, Gate::Alone { .. }) && view.powered[node];
        if view.witnessed && alone(0) && alone(1) && !nodes.iter().any(by_hand) {
            return Err(format!("node{} acknowledged operation {op} alone, and the other node may, too", node + 1));
        }
        Ok(())
    }
}
