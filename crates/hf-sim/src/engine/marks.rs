//! What a synchronisation may leave unread: marks and manifests by the rules of docs/design/0011, and the product's ladder over them.

use crate::bugs::Bug;
use crate::world::World;
use hf_replica::engine::{EngineEvent, Gate, PeerMessage};
use hf_replica::ladder::{Common, step};
use hf_types::{Epoch, SyncWish};

/// A copy has so many files; an operation is about one of them.
const FILES: u64 = 8;

/// Every file.
const ALL: u8 = u8::MAX;

/// The file that an operation is about, as a bit.
pub fn file_of(op: u64) -> u8 {
    1 << (op % FILES)
}

/// Which files haven't left the state in common, and which state that is.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// 0: nothing is known.
    stream: u64,
    /// Numbers of that stream's operations are about this permission.
    epoch: Epoch,
    sender: bool,
    /// The stream goes on; else its end here is `at`.
    live: bool,
    at: u64,
    files: u8,
}

impl Marks {
    pub fn is_live(&self) -> bool {
        self.live
    }
}

/// What an orderly stop leaves on the disk.
#[derive(Clone, Debug)]
pub struct Manifest {
    boot_id: String,
    marks: Marks,
    /// What each file was.
    files: Vec<Vec<u64>>,
}

fn files(ops: &[u64]) -> Vec<Vec<u64>> {
    let of = |n: u64| ops.iter().copied().filter(|op| op % FILES == n).collect();
    (0..FILES).map(of).collect()
}

impl World {
    /// The marks as they count at this moment: of a stream that goes on, what wasn't confirmed is open.
    fn marks_now(&self, node: usize) -> Marks {
        let mount = &self.nodes[node].mount;
        let mut marks = mount.marks.clone();
        if !marks.live {
            return marks;
        }
        if !marks.sender {
            marks.at = if mount.applied.0 == marks.epoch { mount.applied.1 } else { marks.at };
        } else if mount.out.epoch == marks.epoch {
            marks.at = mount.out.received;
            let open = mount.out.ring.iter().filter(|(seq, _)| *seq > mount.out.received);
            open.for_each(|(_, op)| marks.files &= !file_of(*op));
        }
        marks
    }

    fn common(&self, node: usize) -> Option<Common> {
        let marks = self.marks_now(node);
        (marks.stream != 0).then_some(Common { stream: marks.stream, at: marks.at, sender: marks.sender })
    }

    /// Before the stream's counters are begun anew.
    pub(super) fn leave_stream(&mut self, node: usize) {
        let marks = Marks { live: false, ..self.marks_now(node) };
        self.nodes[node].mount.marks = marks;
    }

    /// A swap: the stream goes the other way from here, and both have all that was in the old one.
    pub(super) fn turn_stream(&mut self, node: usize, epoch: Epoch, sender: bool) {
        let before = self.marks_now(node);
        if before.stream == 0 || !before.live || before.sender == sender {
            self.leave_stream(node);
            return;
        }
        let stream = (before.stream ^ epoch.0.rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let files = before.files;
        self.nodes[node].mount.marks = Marks { stream, epoch, sender, live: true, at: 0, files };
    }

    /// An operation was carried out and not sent.
    pub(super) fn unmark(&mut self, node: usize, op: u64) {
        if self.bug != Some(Bug::MarkKept) {
            self.nodes[node].mount.marks.files &= !file_of(op);
        }
    }

    pub(super) fn forget_marks(&mut self, node: usize) {
        self.nodes[node].mount.marks = Marks::default();
    }

    /// Rfs died, and its successor has what the keeper remembers: a primary's is not enough.
    pub(crate) fn succeed(&mut self, node: usize) {
        if self.nodes[node].mount.serves {
            self.forget_marks(node);
        }
    }

    /// The last zone is on its way, or was applied: both copies are equal, all of it.
    pub(super) fn mark_all(&mut self, node: usize, stream: u64, epoch: Epoch, sender: bool) {
        self.nodes[node].mount.marks = Marks { stream, epoch, sender, live: true, at: 0, files: ALL };
    }

    /// The step of the ladder that a synchronisation of the other copy takes, and the files that needn't be read.
    pub(super) fn unread(&mut self, node: usize, wish: SyncWish) -> u8 {
        let step = step(wish, self.common(node), self.common(1 - node));
        let known = step.common.map_or(0, |_| self.marks_now(node).files & self.marks_now(1 - node).files);
        self.stats.syncs[usize::from(known != 0)] += 1;
        self.note(Some(node), || format!("data plane: {step}; {} files are not read", known.count_ones()));
        self.tell_core(node, EngineEvent::SyncStep(step));
        self.forget_marks(node);
        known
    }

    /// The directory is uncovered: what is known is written beside it.
    pub(super) fn write_manifest(&mut self, node: usize) {
        self.leave_stream(node);
        let state = &mut self.nodes[node];
        let marks = std::mem::take(&mut state.mount.marks);
        let files = files(state.disk.data.ops());
        state.disk.manifest = Some(Manifest { boot_id: state.boot_id.clone(), marks, files });
    }

    /// Read, and removed before anything can change.
    pub(super) fn read_manifest(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let Some(manifest) = state.disk.manifest.take().filter(|manifest| manifest.boot_id == state.boot_id) else {
            return;
        };
        let now = files(state.disk.data.ops());
        let mut marks = manifest.marks;
        for (n, (before, now)) in manifest.files.iter().zip(&now).enumerate() {
            if before != now {
                marks.files &= !(1 << n);
            }
        }
        state.mount.marks = marks;
    }

    /// What the copy is after the last zone: of files that were not read its own.
    pub(super) fn merged(&mut self, node: usize, ops: &[u64], known: u8) -> Vec<u64> {
        let own = self.nodes[node].disk.data.ops();
        let mut kept: Vec<u64> = own.iter().copied().filter(|op| file_of(*op) & known != 0).collect();
        kept.sort_unstable();
        let here = |op: &u64| file_of(*op) & known == 0 || kept.binary_search(op).is_ok();
        let mut merged: Vec<u64> = ops.iter().copied().filter(here).collect();
        let mut sent = ops.to_vec();
        sent.sort_unstable();
        merged.extend(kept.iter().filter(|op| sent.binary_search(op).is_err()));
        if merged != ops && self.bug != Some(Bug::OperationSkipped) {
            let lacks: Vec<&u64> = ops.iter().filter(|op| !merged.contains(op)).collect();
            let has: Vec<&u64> = merged.iter().filter(|op| !ops.contains(op)).collect();
            let what = format!(
                "after a synchronisation node{} lacks operations {lacks:?} and has {has:?} that the other one hasn't",
                node + 1
            );
            self.violate("unread_is_equal", what);
        }
        merged
    }

    /// Somebody changes a file of a copy that nobody serves.
    pub(crate) fn change_by_hand(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if !state.powered
            || state.rfs.is_some()
            || state.mount.mounted
            || state.mount.kept
            || state.disk.data.is_mixed()
        {
            return;
        }
        let op = self.next_op;
        self.next_op += 1;
        let data = &mut self.nodes[node].disk.data;
        data.append(op);
        let mark = data.mark();
        data.synced(mark);
        self.note(Some(node), || format!("operation {op} is done by hand"));
    }
}

/// A gate that makes this node the one whose operations travel.
pub fn serves(gate: Gate) -> bool {
    matches!(gate, Gate::Alone { .. } | Gate::InStep { .. } | Gate::Syncing { .. })
}

/// The message with which a primary becomes a receiver.
pub fn hands_over(message: &PeerMessage) -> Option<Epoch> {
    match message {
        PeerMessage::Handover { epoch, .. } => Some(*epoch),
        _ => None,
    }
}
