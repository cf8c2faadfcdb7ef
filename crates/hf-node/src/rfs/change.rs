use hf_replica::engine::SyncCount;
use hf_replica::grant::Grant;
use hf_replica::records;
use hf_types::{Epoch, GenerationId, Record, Seq, UpToDate};
use serde::Serialize;
use std::collections::VecDeque;

/// A change of the records that is on its way to the disk, with what is to be done once it is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) enum Change {
    Alone(Grant),
    PeerResigned,
    Connected {
        epoch: Epoch,
        count: SyncCount,
    },
    Half {
        epoch: Epoch,
    },
    InStep {
        epoch: Epoch,
        generation: GenerationId,
        history: Vec<GenerationId>,
        count: SyncCount,
    },
    Outdated {
        since: GenerationId,
    },
    HandedOver {
        epoch: Epoch,
    },
    TakenOver {
        epoch: Epoch,
    },
    Stopped {
        orderly: bool,
    },
    /// In step at this moment.
    Noted,
}

impl Change {
    fn applied_to(&self, record: &Record, mark: &UpToDate) -> Record {
        match self {
            Change::Alone(grant) => records::alone(record, grant),
            Change::PeerResigned => records::peer_resigned(record),
            Change::Connected { epoch, .. } => records::connected_primary(record, *epoch),
            Change::Half { epoch } => records::half(record, *epoch),
            Change::InStep { epoch, generation, history, .. } => {
                records::in_step(record, *epoch, *generation, history, mark.clone())
            }
            Change::Outdated { since } => records::outdated(record, *since),
            Change::HandedOver { epoch } => records::handed_over(record, *epoch, mark.clone()),
            Change::TakenOver { epoch } => records::taken_over(record, *epoch),
            Change::Stopped { orderly } => records::stopped(record, *orderly),
            Change::Noted => record.clone(),
        }
    }
}

/// The changes of the records, one after the other: each is computed from what is durable then.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Writes {
    token: u64,
    under_way: Option<(u64, Vec<Record>, Change)>,
    waiting: VecDeque<Change>,
}

impl Writes {
    /// Whether what is durable is what was last decided.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, change: Change) {
        self.waiting.push_back(change);
    }

    /// The next write, if none is under way.
    /// `synced_s`: when the copy was in step last, if it was in this process's time.
    pub(super) fn next(
        &mut self,
        durable: &[Record],
        mark: &UpToDate,
        peer_seq: Seq,
        synced_s: Option<i64>,
    ) -> Option<(u64, Vec<Record>)> {
        if self.under_way.is_some() {
            return None;
        }
        let change = self.waiting.pop_front()?;
        let next = |record: &Record| {
            let next = change.applied_to(record, mark);
            Record { peer_seq, synced_s: synced_s.or(next.synced_s), ..next }
        };
        let records: Vec<Record> = durable.iter().map(next).collect();
        self.token += 1;
        self.under_way = Some((self.token, records.clone(), change));
        Some((self.token, records))
    }

    /// The write with this token is durable.
    pub(super) fn written(&mut self, token: u64) -> Option<(Vec<Record>, Change)> {
        let (under_way, records, change) = self.under_way.take()?;
        if under_way == token {
            return Some((records, change));
        }
        self.under_way = Some((under_way, records, change));
        None
    }

    /// It failed, and so will the others: none of them is tried.
    pub(super) fn failed(&mut self, token: u64) -> bool {
        if !matches!(&self.under_way, Some((under_way, ..)) if *under_way == token) {
            return false;
        }
        self.under_way = None;
        self.waiting.clear();
        true
    }
}
