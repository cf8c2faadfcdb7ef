use super::Invariant;
use crate::facts::{Fact, View, acknowledges};
use hf_types::{GrantReason, Record, Standing, UpToDate};
use hf_wire::bus::RfsRole;

/// Who is not up to date does not become primary.
#[derive(Default)]
pub struct NotUpToDateNeverPrimary {
    /// What the records said when the role was given, if that was not enough.
    flaw: [Option<String>; 2],
    primary: [bool; 2],
}

impl Invariant for NotUpToDateNeverPrimary {
    fn name(&self) -> &'static str {
        "not_up_to_date_never_primary"
    }

    fn sentence(&self) -> &'static str {
        "A copy whose record is not up to date, or not consistent, never becomes primary by itself (an administrator may \
         say prim or primforce), and nobody ever serves a copy that is half overwritten."
    }

    fn source(&self) -> &'static str {
        "guide P5"
    }

    fn see(&mut self, fact: &Fact, view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::Role { node, role } => {
                let primary = matches!(role, RfsRole::Primary { .. });
                if primary && !self.primary[*node] && !resigned_together(*node, view) {
                    self.flaw[*node] = flaw(view.records[*node], view.boot_id[*node]);
                }
                if !primary {
                    self.flaw[*node] = None;
                }
                self.primary[*node] = primary;
                Ok(())
            }
            Fact::Granted { node, why: GrantReason::Administrator, .. } => {
                self.flaw[*node] = None;
                Ok(())
            }
            Fact::PowerCut { node } => {
                self.primary[*node] = false;
                Ok(())
            }
            Fact::Gate { node, gate } if acknowledges(*gate).is_some() => self.serves(*node, view),
            _ => Ok(()),
        }
    }
}

impl NotUpToDateNeverPrimary {
    fn serves(&mut self, node: usize, view: &View<'_>) -> Result<(), String> {
        let ordered = matches!(view.ledger.nodes[node].grant, Some((_, GrantReason::Administrator)));
        if view.data[node].is_mixed() && !ordered {
            return Err(format!("node{} serves a copy that is half overwritten", node + 1));
        }
        match self.flaw[node].take() {
            Some(flaw) if !ordered => Err(format!("node{} became primary by itself though {flaw}", node + 1)),
            _ => Ok(()),
        }
    }
}

/// Both copies were stopped in the same generation at the same moment: the other one says "outdated", neither went on, and
/// both are whole (the content is checked apart from that). A disk that was put back since doesn't say any more what the other node heard of it.
fn resigned_together(node: usize, view: &View<'_>) -> bool {
    let resigned = |record: &Record| record.standing == Standing::Outdated { since: record.generation };
    if view.ledger.nodes[1 - node].rolled_back {
        return view.records[node].iter().all(|mine| resigned(mine) && mine.consistent);
    }
    let mut pairs = view.records[node].iter().zip(view.records[1 - node]);
    pairs.all(|(mine, theirs)| {
        mine.generation == theirs.generation && resigned(theirs) && mine.consistent && theirs.consistent
    })
}

fn flaw(records: &[Record], boot_id: &str) -> Option<String> {
    records.iter().find_map(|record| {
        let up_to_date = match &record.up_to_date {
            UpToDate::No => false,
            UpToDate::Yes => true,
            UpToDate::WhileBooted(id) => id == boot_id,
        };
        (!up_to_date || !record.consistent).then(|| format!("its record was {record:?} (boot {boot_id})"))
    })
}
