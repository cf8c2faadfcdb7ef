use super::Engine;
use crate::bugs::Bug;
use crate::clock::MS;
use crate::event::OnNode;
use crate::facts::Fact;
use crate::world::World;
use hf_replica::engine::EngineEvent;
use hf_types::Record;

impl World {
    /// One writer, one directory after the other, each whole or not at all (two slots).
    pub(super) fn write_records(&mut self, node: usize, token: u64, records: Vec<Record>) {
        let Some(engine) = self.engine(node) else {
            return;
        };
        engine.records.push_back((token, records));
        if engine.records.len() == 1 {
            self.next_records(node);
        }
    }

    fn next_records(&mut self, node: usize) {
        let (bad, slow) = (self.nodes[node].disk.bad, self.nodes[node].disk.slow);
        let Some(engine) = self.engine(node) else {
            return;
        };
        let Some((token, records)) = engine.records.front().cloned() else {
            return;
        };
        let rfs = engine.pid;
        let early = self.bug == Some(Bug::RecordEarly);
        let mut after = if early { 400 * MS } else { 0 };
        for (dir, record) in records.into_iter().enumerate() {
            let dice = &mut self.dice.disk;
            after += if slow && dice.chance(300) { dice.range(50 * MS, 1500 * MS) } else { dice.range(MS / 2, 8 * MS) };
            if bad && dice.chance(500) {
                self.on_node(node, after, OnNode::RecordsDone { rfs, token, failed: true });
                return;
            }
            let record = Box::new(record);
            if self.bug != Some(Bug::RecordLost) {
                self.on_node(node, after, OnNode::RecordStored { rfs, dir, record });
            }
        }
        let answered = if early { 0 } else { after };
        self.on_node(node, answered, OnNode::RecordsDone { rfs, token, failed: false });
    }

    pub(crate) fn record_stored(&mut self, node: usize, dir: usize, mut record: Record) {
        let Some(place) = self.nodes[node].disk.records.get_mut(dir) else {
            return;
        };
        if let Some(bug) = self.bug {
            bug.record(&mut record, place);
        }
        let old = std::mem::replace(place, record.clone());
        let (old, new) = (Box::new(old), Box::new(record));
        self.fact(Fact::Record { node, dir, old, new });
    }

    pub(crate) fn records_done(&mut self, node: usize, token: u64, failed: bool) {
        self.with(node, |e| {
            e.records.pop_front();
        });
        let event = if failed {
            EngineEvent::RecordsFailed { token, why: "input/output error".to_owned() }
        } else {
            EngineEvent::RecordsWritten { token }
        };
        self.tell_core(node, event);
        self.next_records(node);
    }

    /// A process that dies while a record is being written: the write in the kernel ends, or was not begun.
    pub(crate) fn finish_records_of_the_dead(&mut self, node: usize, engine: &Engine) {
        let Some((_, records)) = engine.records.front() else {
            return;
        };
        if self.dice.disk.chance(500) || !self.nodes[node].powered {
            return;
        }
        let reached = self.dice.disk.below(records.len() as u64 + 1) as usize;
        for (dir, record) in records.iter().take(reached).enumerate() {
            self.record_stored(node, dir, record.clone());
        }
    }
}
