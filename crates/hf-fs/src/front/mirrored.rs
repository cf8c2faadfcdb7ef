//! A front end without a kernel, whose operations are repeated in a second directory at once: for tests.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hf_config::Exclusions;

use super::{Front, ResultMemory, Role};
use crate::backing::Backing;
use crate::pipeline::{
    Admission, Completion, DiskFault, Gate, GateState, LocalPipeline, Op, Order, Pipeline, Refusal, Seq,
};
use crate::table::Table;

/// Repeats everything in a second directory.
pub struct Mirroring {
    local: LocalPipeline,
    mirror: Arc<Backing>,
}

impl Pipeline for Mirroring {
    fn gate(&self) -> &Gate {
        self.local.gate()
    }
    fn order(&self) -> &Order {
        self.local.order()
    }
    fn append(&self, admission: &Admission<'_>, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal> {
        let seq = self.local.append(admission, op, mark)?;
        self.mirror.apply(op).unwrap_or_else(|error| panic!("{error}: {}", error.source));
        Ok(seq)
    }
    fn note(&self, admission: &Admission<'_>, mark: Option<&AtomicU64>) -> Result<(), Refusal> {
        self.local.note(admission, mark)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.local.has_room(bytes)
    }

    fn compare_again(&self, why: &str) {
        self.local.compare_again(why);
    }

    fn last(&self) -> Seq {
        self.local.last()
    }
    fn when_received(&self, seq: Seq, done: Completion) {
        self.local.when_received(seq, done);
    }
    fn when_durable(&self, seq: Seq, done: Completion) {
        self.local.when_durable(seq, done);
    }
    fn disk_fault(&self, fault: DiskFault, answer: Completion) {
        self.local.disk_fault(fault, answer);
    }
}

pub struct Node {
    pub dir: tempfile::TempDir,
    ids: OwnedFd,
    results: OwnedFd,
    counter: OwnedFd,
    pub mirror: Arc<Backing>,
    left_out: Exclusions,
    /// Access control lists are part of the copy.
    pub lists: bool,
}

impl Node {
    pub fn new() -> Node {
        Node::leaving_out(&Exclusions::default())
    }

    /// Both copies leave this out.
    pub fn leaving_out(left_out: &Exclusions) -> Node {
        let dir = tempfile::tempdir().unwrap();
        for name in ["data", "mirror"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let table = Table::create(1).unwrap();
        let ids = table.file().try_clone_to_owned().unwrap();
        let mirror = open(dir.path().join("mirror"), Table::create(2).unwrap(), left_out);
        let counter = rustix::fs::memfd_create(c"counter", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        Node {
            dir,
            ids,
            results: ResultMemory::file().unwrap(),
            counter,
            mirror,
            left_out: left_out.clone(),
            lists: true,
        }
    }

    /// One server's life.
    pub fn front(&self) -> Arc<Front> {
        let table = Table::attach(self.ids.try_clone().unwrap(), 1).unwrap();
        let backing = open(self.dir.path().join("data"), table, &self.left_out);
        let backing = if self.lists { backing } else { Arc::new(Arc::into_inner(backing).unwrap().without_lists()) };
        let local = LocalPipeline::kept(self.counter.try_clone().unwrap(), GateState::Open { epoch: 1 }).unwrap();
        let pipeline = Arc::new(Mirroring { local, mirror: self.mirror.clone() });
        let memory = ResultMemory::attach(self.results.as_fd()).unwrap();
        Front::new(backing, pipeline, memory, Role::Primary)
    }

    pub fn names(&self, of: &str) -> Vec<String> {
        let root = self.dir.path().join(of);
        let mut all = Vec::new();
        let mut todo = vec![root.clone()];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = std::fs::symlink_metadata(&path).unwrap();
                use std::os::unix::fs::MetadataExt;
                let name = path.strip_prefix(&root).unwrap().display();
                all.push(format!("{name} {:o} {} {} {}", meta.mode(), meta.uid(), meta.nlink(), meta.mtime_nsec()));
                if meta.is_dir() {
                    todo.push(path);
                }
            }
        }
        all.sort();
        all
    }
}

fn open(root: PathBuf, table: Table, left_out: &Exclusions) -> Arc<Backing> {
    let control = root.with_extension("hold");
    Arc::new(Backing::open(&root, &control, Arc::new(table)).unwrap().leaving_out(left_out.clone()))
}
