use super::Invariant;
use crate::facts::{Fact, View, acknowledges};

/// Nothing that a client was promised is missing on a node that serves.
pub struct NoAcknowledgedOperationLost;

impl Invariant for NoAcknowledgedOperationLost {
    fn name(&self) -> &'static str {
        "no_acknowledged_operation_lost"
    }

    fn sentence(&self) -> &'static str {
        "A node that begins to acknowledge has every acknowledged operation, and so have both at rest. Excepted: what was \
         acknowledged alone during an isolation in which both nodes went on (documented), what an administrator gave up with \
         prim, what was on a disk that was rolled back; and what a node acknowledged alone only because such a disk says that the other \
         copy is outdated, when the other one went on by its own word and the two had not met."
    }

    fn source(&self) -> &'static str {
        "guide P1, P4, P7"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Gate { node, gate } if acknowledges(*gate).is_some() => complete(*node, view),
            Fact::AtRest => complete(0, view).and_then(|()| complete(1, view)),
            _ => Ok(()),
        }
    }
}

fn complete(node: usize, view: &View<'_>) -> Result<(), String> {
    let missing = view.ledger.missing_in(view.data[node].ops());
    let Some(first) = missing.first() else {
        return Ok(());
    };
    Err(format!(
        "node{} lacks {} acknowledged operations, the first is {}, acknowledged by node{} at {} ms under epoch {}{}",
        node + 1,
        missing.len(),
        first.op,
        first.node + 1,
        first.at / crate::clock::MS,
        first.epoch,
        if first.alone { ", alone" } else { ", in step" }
    ))
}
