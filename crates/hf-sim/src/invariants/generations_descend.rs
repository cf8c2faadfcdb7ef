use super::Invariant;
use crate::facts::{Fact, View, acknowledges};
use hf_types::{GenerationId, Record};

/// Who descends from whom is known.
#[derive(Default)]
pub struct GenerationsDescend {
    /// A synchronisation makes this copy into another one.
    overwritten: [bool; 2],
}

impl Invariant for GenerationsDescend {
    fn name(&self) -> &'static str {
        "generations_descend"
    }

    fn sentence(&self) -> &'static str {
        "A copy's next generation names the one before in its history, unless a synchronisation made it into the other \
         copy; a record's epoch never falls."
    }

    fn source(&self) -> &'static str {
        "guide P7; docs/internals/mirror.md, Records"
    }

    fn see(&mut self, fact: &Fact, _view: &View<'_>) -> Result<(), String> {
        match fact {
            Fact::SyncBegins { node } => self.overwritten[*node] = true,
            Fact::Gate { node, gate } if acknowledges(*gate).is_some() => self.overwritten[*node] = false,
            Fact::Record { node, dir, old, new } => return self.record(*node, *dir, old, new),
            _ => {}
        }
        Ok(())
    }
}

impl GenerationsDescend {
    fn record(&self, node: usize, dir: usize, old: &Record, new: &Record) -> Result<(), String> {
        let descends = new.generation == old.generation
            || old.generation == GenerationId(0)
            || new.history.contains(&old.generation);
        if !descends && !self.overwritten[node] {
            return Err(format!("directory {dir} of node{} went from {old:?} to {new:?}", node + 1));
        }
        if new.epoch < old.epoch {
            return Err(format!(
                "directory {dir} of node{} went back from epoch {} to {}",
                node + 1,
                old.epoch,
                new.epoch
            ));
        }
        Ok(())
    }
}
