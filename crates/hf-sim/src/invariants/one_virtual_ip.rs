use super::Invariant;
use crate::facts::{Fact, View};

/// One address, one node.
pub struct OneVirtualIp;

impl Invariant for OneVirtualIp {
    fn name(&self) -> &'static str {
        "one_virtual_ip"
    }

    fn sentence(&self) -> &'static str {
        "At most one node has the virtual address, except while an isolation hides a living node from the other."
    }

    fn source(&self) -> &'static str {
        "docs/internals/processes.md; reference 004, 13.5.4.2"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        let Fact::Vip { node, set: true } = *fact else {
            return Ok(());
        };
        let isolated = view.hidden[0] || view.hidden[1] || view.ledger.episode().isolated;
        if view.ledger.nodes[1 - node].vip && !isolated {
            return Err(format!("node{} sets the virtual address while node{} has it", node + 1, 2 - node));
        }
        Ok(())
    }
}
