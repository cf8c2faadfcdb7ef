use super::Invariant;
use crate::facts::{Fact, View};
use hf_types::{Epoch, GrantReason};
use std::collections::BTreeMap;

/// No two nodes acknowledge under the same grant, and no node under an older one than the other already has used.
#[derive(Default)]
pub struct OneAcknowledges {
    /// Who acknowledged under an epoch.
    by: BTreeMap<Epoch, usize>,
    /// The newest epoch under which a node acknowledged.
    newest: [Epoch; 2],
}

impl Invariant for OneAcknowledges {
    fn name(&self) -> &'static str {
        "one_acknowledges"
    }

    fn sentence(&self) -> &'static str {
        "Two nodes never acknowledge under the same grant; outside an isolation without a quorum witness they never \
         acknowledge at once: not under an older grant than the other has used, unless the other copy has the operation."
    }

    fn source(&self) -> &'static str {
        "guide P4; docs/internals/mirror.md, Grant"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match fact {
            // Disks forgot epochs, and so do we; and an administrator's copy may never have known them.
            Fact::RolledBack { .. } | Fact::Granted { why: GrantReason::Administrator, .. } => {
                *self = OneAcknowledges::default();
            }
            _ => {}
        }
        let Fact::Acked { node, epoch, op } = *fact else {
            return Ok(());
        };
        let other = 1 - node;
        self.newest[node] = self.newest[node].max(epoch);
        let first = *self.by.entry(epoch).or_insert(node);
        // Numbers that only a disk of a later day knew are used again by one of an earlier day.
        let forgotten = view.ledger.nodes.iter().any(|node| node.rolled_back);
        if view.ledger.split() || forgotten {
            return Ok(());
        }
        if first != node {
            return Err(format!(
                "node{} acknowledged operation {op} under epoch {epoch}, under which node{} acknowledged before",
                node + 1,
                first + 1
            ));
        }
        if self.newest[other] > epoch && !view.data[other].ops().contains(&op) {
            return Err(format!(
                "node{} acknowledged operation {op} under epoch {epoch}, node{} has acknowledged under epoch {} and has no such operation",
                node + 1,
                other + 1,
                self.newest[other]
            ));
        }
        Ok(())
    }
}
