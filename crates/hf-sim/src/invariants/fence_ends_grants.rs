use super::Invariant;
use crate::facts::{Fact, View};
use hf_types::{Epoch, GrantReason};

/// What was fenced stays silent.
#[derive(Default)]
pub struct FenceEndsGrants {
    /// The newest epoch that rfs was told to end.
    fenced: [Option<Epoch>; 2],
    /// The daemon was told that rfs is fenced, and no role was given since.
    silent: [bool; 2],
}

impl Invariant for FenceEndsGrants {
    fn name(&self) -> &'static str {
        "fence_ends_grants"
    }

    fn sentence(&self) -> &'static str {
        "After rfs took a fence on an epoch it acknowledges nothing under it or an earlier one; after the daemon was told \
         that rfs is fenced it acknowledges nothing until a heart gives it a role again."
    }

    fn source(&self) -> &'static str {
        "docs/internals/mirror.md, Grant and Death of ours; docs/internals/processes.md"
    }

    fn see(&mut self, fact: &Fact, _view: &View<'_>) -> Result<(), String> {
        match *fact {
            Fact::Fenced { node, epoch } => self.fenced[node] = self.fenced[node].max(Some(epoch)),
            Fact::RfsFenced { node } => self.silent[node] = true,
            // Numbers that only another disk knew are used again.
            Fact::RolledBack { .. } | Fact::Granted { why: GrantReason::Administrator, .. } => {
                self.fenced = [None, None];
            }
            Fact::Role { node, .. } => self.silent[node] = false,
            Fact::PowerCut { node } => self.silent[node] = false,
            Fact::Acked { node, epoch, op } => {
                if self.silent[node] {
                    return Err(format!(
                        "node{} acknowledged operation {op} after its rfs was said to be fenced",
                        node + 1
                    ));
                }
                if self.fenced[node] >= Some(epoch) {
                    return Err(format!(
                        "node{} acknowledged operation {op} under epoch {epoch}, which was fenced",
                        node + 1
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
