//! What the other copy knows already, and what of an operation it therefore gets. See the module above for why.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard};

use hf_wire::frame::{Body, Entry, Stamp};

use crate::backing::Backing;
use crate::link::lock;
use crate::pipeline::{FileId, Op};

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Nothing is sent.
    Off,
    /// As far as it is known.
    Syncing,
    /// Everything.
    Complete,
}

#[derive(Default)]
struct Known {
    listed: HashSet<u64>,
    known: HashSet<u64>,
    to_list: VecDeque<u64>,
    to_compare: VecDeque<(u64, u32)>,
}

/// See the module.
pub struct Bound {
    state: AtomicU8,
    dirs: Vec<Mutex<Known>>,
    failed: Mutex<Option<String>>,
}

/// One difference in a listed directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    parent: u64,
    name: Vec<u8>,
    id: u64,
    /// `None`: detach. Else kind, device and target of what is attached.
    attach: Option<(u32, u64, Vec<u8>)>,
    stamp: Stamp,
}

impl Step {
    /// The frame that says it.
    pub fn body(&self) -> Body<'_> {
        let (parent, name, id, stamp) = (self.parent, self.name.as_slice(), self.id, self.stamp);
        match &self.attach {
            None => Body::Detach { parent, name, id, stamp },
            Some((kind, rdev, target)) => {
                Body::Attach { parent, entry: Entry { name, id, kind: *kind, rdev: *rdev, target }, stamp }
            }
        }
    }
}

/// What of an operation is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    Nothing,
    Operation,
    Steps(Vec<Step>),
}

impl Bound {
    /// Nothing is known in any of so many directories.
    pub fn new(dirs: usize) -> Bound {
        let dirs = (0..dirs).map(|_| Mutex::default()).collect();
        Bound { state: AtomicU8::new(State::Off as u8), dirs, failed: Mutex::new(None) }
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::SeqCst) {
            0 => State::Off,
            1 => State::Syncing,
            _ => State::Complete,
        }
    }

    fn dir(&self, dir: u16) -> MutexGuard<'_, Known> {
        lock(&self.dirs[usize::from(dir)])
    }

    /// A synchronisation begins: the roots are known.
    pub fn open(&self) {
        for dir in &self.dirs {
            let root = FileId::ROOT.0;
            *lock(dir) = Known {
                known: HashSet::from([root]),
                to_list: VecDeque::from([root]),
                to_compare: VecDeque::from([(root, libc::S_IFDIR)]),
                listed: HashSet::new(),
            };
        }
        *lock(&self.failed) = None;
        self.state.store(State::Syncing as u8, Ordering::SeqCst);
    }

    /// Nothing is sent from now on; a synchronisation that runs ends.
    pub fn close(&self) {
        if self.state() == State::Syncing {
            self.fail("the link to the other copy was closed");
        }
        self.state.store(State::Off as u8, Ordering::SeqCst);
        self.dirs.iter().for_each(|dir| *lock(dir) = Known::default());
    }

    /// Everything is sent from now on.
    pub fn complete(&self) {
        self.state.store(State::Complete as u8, Ordering::SeqCst);
        self.dirs.iter().for_each(|dir| *lock(dir) = Known::default());
    }

    /// Does a synchronisation run?
    pub fn is_syncing(&self) -> bool {
        self.state() == State::Syncing
    }

    /// The synchronisation can't go on; the first reason counts.
    pub fn fail(&self, why: &str) {
        lock(&self.failed).get_or_insert_with(|| why.to_owned());
    }

    /// Why it can't go on, if so.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failed).clone()
    }

    /// A directory whose listing is to be sent.
    pub fn next_to_list(&self, dir: u16) -> Option<u64> {
        let mut known = self.dir(dir);
        while let Some(id) = known.to_list.pop_front() {
            if !known.listed.contains(&id) {
                return Some(id);
            }
        }
        None
    }

    /// The listing of `id` was appended, with these files (id, kind, size) in it. Under the names' lock. Says how many
    /// regular files of how many bytes were not known before.
    pub fn listed(&self, dir: u16, id: u64, entries: &[(u64, u32, u64)]) -> (u64, u64) {
        let mut known = self.dir(dir);
        known.listed.insert(id);
        let mut new = (0, 0);
        for (id, kind, size) in entries {
            if known.learn(*id, *kind) && *kind == libc::S_IFREG {
                new = (new.0 + 1, new.1 + size);
            }
        }
        new
    }

    /// The directory went away before it was listed.
    pub fn vanished(&self, dir: u16, id: u64) {
        self.dir(dir).listed.insert(id);
    }

    /// A file whose content and attributes are to be compared, with its kind.
    pub fn next_to_compare(&self, dir: u16) -> Option<(u64, u32)> {
        self.dir(dir).to_compare.pop_front()
    }

    /// Is nothing left to be done?
    pub fn is_done(&self) -> bool {
        self.dirs.iter().all(|dir| {
            let known = lock(dir);
            known.to_compare.is_empty() && known.to_list.iter().all(|id| known.listed.contains(id))
        })
    }

    /// What of `op` is to be sent. Under the lock of the operation.
    pub fn plan(&self, dir: u16, op: &Op<'_>, backing: &Backing) -> io::Result<Plan> {
        match self.state() {
            State::Off => return Ok(Plan::Nothing),
            State::Complete => return Ok(Plan::Operation),
            State::Syncing => {}
        }
        let mut known = self.dir(dir);
        let whole = |sent: bool| if sent { Plan::Operation } else { Plan::Nothing };
        if let Op::Create { parent, id, .. } = *op
            && !known.has(parent)
        {
            // Known before, if at all, as a file that was left out meanwhile and comes back: the other copy has none.
            known.known.remove(&id.0);
        }
        Ok(match *op {
            Op::Create { parent, .. }
            | Op::Mkdir { parent, .. }
            | Op::Symlink { parent, .. }
            | Op::Mknod { parent, .. }
            | Op::Unlink { parent, .. } => whole(known.has(parent)),
            Op::Link { id, parent, name, stamp } => match (known.has(parent), known.known.contains(&id.0)) {
                (false, _) => Plan::Nothing,
                (true, true) => Plan::Operation,
                (true, false) => Plan::Steps(vec![attach(backing, parent, name, id, stamp)?]),
            },
            Op::Rmdir { parent, name, id, stamp } => match (known.has(parent), known.has(id)) {
                (false, _) => Plan::Nothing,
                (true, true) => Plan::Operation,
                (true, false) => Plan::Steps(vec![detach(parent, name, id, stamp)]),
            },
            Op::Rename { .. } => known.plan_rename(op, backing)?,
            _ => whole(known.known.contains(&op.id().0)),
        })
    }

    /// The plan was carried out. Under the lock of the operation.
    pub fn sent(&self, dir: u16, op: &Op<'_>, plan: &Plan) {
        if self.state() != State::Syncing {
            return;
        }
        let mut known = self.dir(dir);
        match (plan, op) {
            (Plan::Operation, Op::Mkdir { id, .. }) => {
                known.known.insert(id.0);
                known.listed.insert(id.0);
            }
            (Plan::Operation, Op::Create { id, .. } | Op::Symlink { id, .. } | Op::Mknod { id, .. }) => {
                known.known.insert(id.0);
            }
            (Plan::Steps(steps), _) => {
                for step in steps {
                    if let Some((kind, ..)) = step.attach {
                        known.learn(step.id, kind);
                    }
                }
            }
            _ => {}
        }
    }
}

impl Known {
    fn has(&self, dir: FileId) -> bool {
        self.listed.contains(&dir.0)
    }

    /// False when it was known.
    fn learn(&mut self, id: u64, kind: u32) -> bool {
        let new = self.known.insert(id);
        if new {
            self.to_compare.push_back((id, kind));
        }
        if new && kind == libc::S_IFDIR {
            self.to_list.push_back(id);
        }
        new
    }

    fn plan_rename(&self, op: &Op<'_>, backing: &Backing) -> io::Result<Plan> {
        let Op::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp } = *op else {
            return Ok(Plan::Operation);
        };
        let (from, to) = (self.has(parent), self.has(new_parent));
        // A directory that was empty here may be full there as long as it isn't listed.
        let full = !exchange && replaced.is_some_and(|id| is_dir(backing, id) && !self.has(id));
        if from && to && !full {
            return Ok(Plan::Operation);
        }
        let mut steps = Vec::new();
        if from && !exchange {
            steps.push(detach(parent, name, id, stamp));
        }
        if let (true, true, Some(other)) = (from, exchange, replaced) {
            steps.push(attach(backing, parent, name, other, stamp)?);
        }
        if to {
            steps.push(attach(backing, new_parent, new_name, id, stamp)?);
        }
        Ok(if steps.is_empty() { Plan::Nothing } else { Plan::Steps(steps) })
    }
}

/// A replaced directory is gone from the table by now; then it may have been one.
fn is_dir(backing: &Backing, id: FileId) -> bool {
    backing.table().get(id).is_none_or(|known| known.kind == libc::S_IFDIR)
}

fn detach(parent: FileId, name: &[u8], id: FileId, stamp: crate::pipeline::Stamp) -> Step {
    let stamp = Stamp { sec: stamp.sec, nsec: stamp.nsec };
    Step { parent: parent.0, name: name.to_vec(), id: id.0, attach: None, stamp }
}

fn attach(
    backing: &Backing,
    parent: FileId,
    name: &[u8],
    id: FileId,
    stamp: crate::pipeline::Stamp,
) -> io::Result<Step> {
    let stat = backing.stat(id)?;
    let kind = stat.st_mode & libc::S_IFMT;
    let target = if kind == libc::S_IFLNK { backing.read_link(id)? } else { Vec::new() };
    let rdev = if matches!(kind, libc::S_IFBLK | libc::S_IFCHR) { stat.st_rdev } else { 0 };
    let attach = Some((kind, rdev, target));
    Ok(Step { attach, ..detach(parent, name, id, stamp) })
}
