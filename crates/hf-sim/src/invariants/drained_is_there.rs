use super::Invariant;
use crate::facts::{Fact, View, acknowledges};
use hf_types::GrantReason;

/// A stop or a swap takes everything along, also what nobody waited for.
#[derive(Default)]
pub struct DrainedIsThere {
    /// What a primary in step held when it was said to be drained.
    drained: [Option<Vec<u64>>; 2],
}

impl Invariant for DrainedIsThere {
    fn name(&self) -> &'static str {
        "drained_is_there"
    }

    fn sentence(&self) -> &'static str {
        "What a primary in step had accepted when it drained for a stop or a swap, acknowledged or not, is in the copy that goes on. \
         Excepted: disks of an earlier day, and what an administrator gave up with prim."
    }

    fn source(&self) -> &'static str {
        "guide P2; docs/internals/mirror.md, Stop, swap"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match *fact {
            Fact::Drained { node } => self.drained[node] = Some(view.data[node].ops().to_vec()),
            Fact::RolledBack { .. } | Fact::Granted { why: GrantReason::Administrator, .. } => {
                self.drained = [None, None];
            }
            Fact::Gate { node, gate } if acknowledges(gate).is_some() => {
                // It goes on itself: the stop, or the swap, was not carried out.
                self.drained[node] = None;
                let Some(drained) = self.drained[1 - node].take() else {
                    return Ok(());
                };
                let here = view.data[node].ops();
                let missing = drained.iter().filter(|op| here.binary_search(op).is_err() && !here.contains(op)).count();
                if missing > 0 && !view.ledger.split() {
                    return Err(format!(
                        "node{} goes on without {missing} of {} operations that node{} had when it drained",
                        node + 1,
                        drained.len(),
                        2 - node
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
