use super::Invariant;
use crate::facts::{Fact, View};
use hf_replica::{Relation, compare, summary};
use hf_types::GenerationId;
use std::collections::BTreeSet;

/// What only the loser of a split brain has is put by first.
#[derive(Default)]
pub struct DivergedCopyIsKept {
    kept: [BTreeSet<GenerationId>; 2],
}

impl Invariant for DivergedCopyIsKept {
    fn name(&self) -> &'static str {
        "diverged_copy_is_kept"
    }

    fn sentence(&self) -> &'static str {
        "A whole copy of which neither it nor the other one descends from the other is overwritten only after it was kept."
    }

    fn source(&self) -> &'static str {
        "guide P7; docs/design/0008"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Kept { node, generation } => {
                self.kept[*node].insert(*generation);
            }
            // What was put by is on that disk, too.
            Fact::RolledBack { node } => self.kept[*node].clear(),
            // The first record that says "half": the others still say what the copy is.
            Fact::Record { node, dir: 0, old, new } if old.consistent && !new.consistent => {
                let whole = view.records[*node].iter().skip(1).all(|record| record.consistent);
                let copies = [*node, 1 - *node].map(|n| summary(view.records[n], ""));
                if let ([Some(mine), Some(theirs)], true) = (copies, whole && view.powered[1 - *node])
                    && compare(&mine, &theirs) == Relation::Diverged
                    && !self.kept[*node].contains(&mine.generation)
                {
                    return Err(format!(
                        "node{} overwrites its copy {:?}, which was not kept",
                        node + 1,
                        mine.generation
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
