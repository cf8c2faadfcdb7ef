use super::Invariant;
use crate::clock::MS;
use crate::facts::{Fact, View};
use hf_types::{Epoch, GrantReason};

/// A stall of ours is not the other one's death.
#[derive(Default)]
pub struct SilenceIsReal {
    /// The last permission of each node: it is repeated to a successor of its rfs.
    granted: [Option<Epoch>; 2],
}

impl Invariant for SilenceIsReal {
    fn name(&self) -> &'static str {
        "silence_is_real"
    }

    fn sentence(&self) -> &'static str {
        "A heart that lives, and of which a heartbeat reached this machine less than a time-out ago, is never taken for dead: not by a node, \
         a heart or an rfs that stood still, nor by any other."
    }

    fn source(&self) -> &'static str {
        "docs/internals/mirror.md, Meeting of two primaries; guide P4"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match *fact {
            Fact::Granted { node, epoch, why, .. } => {
                let repeated = self.granted[node].replace(epoch) == Some(epoch);
                let lives = view.heart[1 - node] && view.powered[1 - node] && !view.frozen[1 - node];
                let heard = view.heard_at[node].is_some_and(|at| view.at - at + 5 * MS < view.timeout);
                if why == GrantReason::Silence && !repeated && lives && heard {
                    return Err(format!("node{} takes node{} for silent, whose heartbeats arrive", node + 1, 2 - node));
                }
            }
            Fact::PowerCut { node } => self.granted[node] = None,
            _ => {}
        }
        Ok(())
    }
}
