use super::Invariant;
use crate::facts::{Fact, View};
use crate::node::Node;
use hf_types::{Record, UpToDate};

/// Faults end, and so does their effect. (Checked by the run itself; here is what it may find at rest.)
pub struct ReachesPrimSecond;

impl Invariant for ReachesPrimSecond {
    fn name(&self) -> &'static str {
        "reaches_prim_second"
    }

    fn sentence(&self) -> &'static str {
        "After the faults stop both nodes reach PRIM and SECOND by themselves, with equal copies. Excepted: copies of which \
         neither descends from the other, or of which the newer one is not up to date, wait for an administrator."
    }

    fn source(&self) -> &'static str {
        "docs/internals/mirror.md, Start"
    }

    fn see(&mut self, _fact: &Fact, _view: &View<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// What both disks hold at rest must be the same.
///
/// # Errors
/// What differs.
pub fn equal_at_rest(nodes: &[Node; 2]) -> Result<(), String> {
    let [a, b] = [&nodes[0].disk.data, &nodes[1].disk.data];
    if a.is_mixed() || b.is_mixed() {
        return Err("a copy is half overwritten at rest".to_owned());
    }
    if a.ops() == b.ops() {
        return Ok(());
    }
    let same = a.ops().iter().zip(b.ops()).take_while(|(x, y)| x == y).count();
    Err(format!(
        "at rest node1 holds {} operations, node2 {}, and only the first {same} are equal",
        a.ops().len(),
        b.ops().len()
    ))
}

/// Whether the table of mirror.md leaves the decision to an administrator when both nodes wait and hear each other.
///
/// # Errors
/// Which node should have become primary by itself.
pub fn must_decide(nodes: &[Node; 2]) -> Result<(), String> {
    if nodes.iter().any(|n| n.heart.is_none() || !n.powered) {
        return Ok(());
    }
    let answers = [wins(&nodes[0], &nodes[1]), wins(&nodes[1], &nodes[0])];
    match answers {
        [false, false] => Ok(()),
        [first, _] => Err(format!(
            "both nodes wait though node{} could be primary: {:?} against {:?}",
            if first { 1 } else { 2 },
            nodes[0].disk.records,
            nodes[1].disk.records
        )),
    }
}

fn wins(mine: &Node, theirs: &Node) -> bool {
    let pairs = mine.disk.records.iter().zip(&theirs.disk.records);
    pairs
        .clone()
        .all(|(a, b)| good(a, &mine.boot_id) && (a.generation == b.generation || a.history.contains(&b.generation)))
}

fn good(record: &Record, boot_id: &str) -> bool {
    let up_to_date = match &record.up_to_date {
        UpToDate::No => false,
        UpToDate::Yes => true,
        UpToDate::WhileBooted(id) => id == boot_id,
    };
    up_to_date && record.consistent
}
