use super::Invariant;
use crate::clock::{MS, Time};
use crate::facts::{Fact, View};

/// A kernel that was frozen before it carried out an order does so within this time after the thaw.
const LEFT_OVER: Time = 10 * MS;
/// And the heart takes the address away again within this time.
const TAKEN_BACK: Time = 50 * MS;

/// One address, one node.
#[derive(Default)]
pub struct OneVirtualIp {
    thawed: [Option<Time>; 2],
    /// Since when the address is on both, by an order from before a standstill.
    both_since: Option<Time>,
}

impl Invariant for OneVirtualIp {
    fn name(&self) -> &'static str {
        "one_virtual_ip"
    }

    fn sentence(&self) -> &'static str {
        "At most one node has the virtual address, except while an isolation hides a living node from the other; a node that was frozen between \
         the order to set it and the kernel's doing so takes it back at once."
    }

    fn source(&self) -> &'static str {
        "docs/internals/processes.md; reference 004, 13.5.4.2"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        let isolated = view.hidden[0] || view.hidden[1] || view.ledger.episode().isolated;
        let both = view.ledger.nodes.iter().all(|node| node.vip) && !isolated;
        self.both_since = self.both_since.filter(|_| both);
        if self.both_since.is_some_and(|since| view.at > since + TAKEN_BACK) {
            return Err("both nodes keep the virtual address after a standstill".to_owned());
        }
        match *fact {
            Fact::Thawed { node, .. } => self.thawed[node] = Some(view.at),
            Fact::Vip { node, set: true } if view.ledger.nodes[1 - node].vip && !isolated => {
                if self.thawed[node].is_none_or(|at| view.at > at + LEFT_OVER) {
                    return Err(format!("node{} sets the virtual address while node{} has it", node + 1, 2 - node));
                }
                self.both_since = Some(view.at);
            }
            _ => {}
        }
        Ok(())
    }
}
