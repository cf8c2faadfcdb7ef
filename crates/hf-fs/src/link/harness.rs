//! Two links on loopback in one process, for tests: no FUSE, operations are carried out as the front end would.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use hf_replica::ladder::{Step, Why};
use rustix::fs::RenameFlags;

use super::acks::Mode;
use super::auth::{Authenticate, Limited};
use super::ring::Ring;
use super::sealed::{Open, Protection, RECORD_MAX, Seal};
use super::{DirPipeline, Flow, LaneSource, Link, LinkOptions, Tuning, Wanted};
use crate::backing::{Backing, Change, Inherited, Name, New};
use crate::pipeline::{Attrs, FileId, GateState, Op, Pipeline, Seq, Stamp};
use crate::sync::{self, SyncOptions};
use crate::table::Table;

/// Both ends say a word.
pub struct Word(pub &'static [u8]);

impl Word {
    fn exchange(&self, stream: &mut Limited<'_>) -> Result<(), String> {
        stream.write_all(self.0).map_err(|error| error.to_string())?;
        let mut theirs = vec![0; self.0.len()];
        stream.read_exact(&mut theirs).map_err(|error| error.to_string())?;
        if theirs == self.0 { Ok(()) } else { Err("another word".into()) }
    }
}

impl Authenticate for Word {
    fn initiate(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        self.exchange(stream).map(|()| None)
    }

    fn respond(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        self.exchange(stream).map(|()| None)
    }
}

/// A toy that seals: records with a number, and a byte that is added to each. `damage`: the next record that comes is damaged.
#[derive(Clone, Default)]
pub struct Toy {
    pub damage: Arc<std::sync::atomic::AtomicBool>,
}

struct ToyRecords {
    number: u8,
    damage: Arc<std::sync::atomic::AtomicBool>,
}

impl Toy {
    fn both(&self) -> Result<Option<Protection>, String> {
        let records = || Box::new(ToyRecords { number: 0, damage: self.damage.clone() });
        Ok(Some(Protection { seal: records(), open: records() }))
    }
}

impl Authenticate for Toy {
    fn initiate(&self, _: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        self.both()
    }

    fn respond(&self, _: &mut Limited<'_>) -> Result<Option<Protection>, String> {
        self.both()
    }
}

impl Seal for ToyRecords {
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for plain in plain.chunks(RECORD_MAX) {
            self.number = self.number.wrapping_add(1);
            out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
            out.push(self.number);
            out.extend(plain.iter().map(|byte| byte.wrapping_add(77)));
        }
    }
}

impl Open for ToyRecords {
    fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<Option<(usize, usize)>, String> {
        let Some(head) = sealed.first_chunk::<5>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = sealed.get(5..5 + length) else { return Ok(None) };
        self.number = self.number.wrapping_add(1);
        if head[4] != self.number || self.damage.swap(false, Ordering::SeqCst) {
            return Err("forged".into());
        }
        plain.iter_mut().zip(body).for_each(|(plain, byte)| *plain = byte.wrapping_sub(77));
        Ok(Some((5 + length, length)))
    }
}

pub struct Node {
    pub link: Arc<Link>,
    pub backing: Arc<Backing>,
    pub root: PathBuf,
    pub events: Mutex<mpsc::Receiver<EngineEvent>>,
    pub seen: Mutex<Vec<EngineEvent>>,
    _dir: Option<tempfile::TempDir>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.link.stop();
    }
}

/// An address that no other test of this machine uses: a free port alone may be another one's before it is used.
pub fn free_address() -> SocketAddr {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let own = std::process::id().to_be_bytes();
    let address = std::net::Ipv4Addr::new(127, 64 | (own[2] & 63), own[3], number as u8);
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

pub fn options(local: SocketAddr, peer: SocketAddr, async_second: bool) -> LinkOptions {
    LinkOptions {
        lanes: LaneSource::fixed(local, peer),
        async_second: async_second.into(),
        send_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(100),
        silence: Duration::from_secs(5),
        accepted_durable: Duration::from_millis(50),
        disk: Default::default(),
        tuning: Tuning::new(3, Duration::from_secs(150), true),
        check_bandwidth: None,
    }
}

/// The boot of these tests.
pub const BOOT: &str = "11111111-2222-3333-4444-555555555555";

/// A node that was stopped in good order.
pub struct Stopped {
    pub root: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

impl Stopped {
    pub fn manifest(&self) -> PathBuf {
        self.root.with_extension("hold").join("manifest")
    }

    /// A start, as the engine makes it: another table, another ring.
    pub fn start(mut self, options: LinkOptions, range: u16, ring: usize) -> Node {
        let table = Arc::new(Table::create(range).unwrap());
        let backing = Arc::new(Backing::open(&self.root, &self.root.with_extension("hold"), table).unwrap());
        let ring = Ring::create(ring).unwrap();
        ring.set_common(crate::manifest::take_all(std::slice::from_ref(&backing), BOOT, false));
        let mut node = Node::on(backing, &self.root, options, ring, Word(b"open sesame"));
        node._dir = self._dir.take();
        node
    }
}

impl Node {
    pub fn new(options: LinkOptions, range: u16, ring: usize) -> Node {
        Node::proving(options, range, ring, Word(b"open sesame"))
    }

    pub fn proving(options: LinkOptions, range: u16, ring: usize, word: impl Authenticate) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        std::fs::create_dir(&root).unwrap();
        let mut node = Node::at(&root, options, range, Ring::create(ring).unwrap(), word);
        node._dir = Some(dir);
        node
    }

    pub fn at(root: &Path, options: LinkOptions, range: u16, ring: Ring, word: impl Authenticate) -> Node {
        let table = Arc::new(Table::create(range).unwrap());
        let backing = Arc::new(Backing::open(root, &root.with_extension("hold"), table).unwrap());
        Node::on(backing, root, options, ring, word)
    }

    pub fn on(backing: Arc<Backing>, root: &Path, options: LinkOptions, ring: Ring, word: impl Authenticate) -> Node {
        let (sender, events) = mpsc::channel();
        let sender = Mutex::new(sender);
        // The receiver goes only with the node.
        let report = Arc::new(move |event| drop(sender.lock().unwrap().send(event)));
        let link = Link::start(options, ring, vec![backing.clone()], Arc::new(word), report).unwrap();
        Node { link, backing, root: root.to_owned(), events: Mutex::new(events), seen: Mutex::default(), _dir: None }
    }

    /// Waits for an event that `wanted` takes; others are noted.
    pub fn wait<T>(&self, what: &str, wanted: impl Fn(&EngineEvent) -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(60);
        let events = self.events.lock().unwrap();
        loop {
            let event = events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|_| panic!("{what} didn't come; before: {:?}", self.seen.lock().unwrap()));
            if let Some(found) = wanted(&event) {
                return found;
            }
            self.seen.lock().unwrap().push(event);
        }
    }

    /// The same, also if it came while something else was waited for.
    pub fn had<T>(&self, what: &str, wanted: impl Fn(&EngineEvent) -> Option<T>) -> T {
        let had = self.seen.lock().unwrap().iter().find_map(&wanted);
        had.unwrap_or_else(|| self.wait(what, wanted))
    }

    pub fn wait_link(&self) {
        self.wait("LinkUp", |event| matches!(event, EngineEvent::LinkUp).then_some(()));
    }

    /// Another process's turn.
    pub fn replace(&mut self, mut next: Node) {
        next._dir = self._dir.take();
        *self = next;
    }

    /// The step of the ladder that both ends together allow.
    pub fn step_with(&self, other: &Node, wish: hf_types::SyncWish) -> Step {
        hf_replica::ladder::step(wish, self.link.common(), other.link.common())
    }

    /// An orderly stop, as the engine makes it. What is left is the directory.
    pub fn stop(mut self) -> Stopped {
        self.link.set_gate(Mode::Stopped, GateState::Stopped, None);
        self.link.hang_up();
        assert!(self.link.sync_everything());
        if let Some(common) = self.link.settle_marks() {
            crate::manifest::write(&self.backing, &common, BOOT).unwrap();
        }
        Stopped { root: self.root.clone(), _dir: self._dir.take() }
    }

    /// No fault came so far.
    pub fn assert_no_fault(&self) {
        let mut seen = self.seen.lock().unwrap();
        seen.extend(self.events.lock().unwrap().try_iter());
        let bad = seen.iter().find(|event| matches!(event, EngineEvent::Fault(_) | EngineEvent::SyncFailed { .. }));
        assert!(bad.is_none(), "{bad:?}");
    }

    pub fn hands(&self) -> Hands {
        Hands { backing: self.backing.clone(), pipe: DirPipeline::new(self.link.clone(), 0) }
    }

    pub fn primary(&self) {
        self.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Alone));
        self.link.want(Wanted::Connect);
    }

    pub fn secondary(&self) {
        self.link.set_gate(Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following));
        self.link.want(Wanted::Listen);
    }

    /// From a standing link to in step.
    pub fn synchronise(&self) -> hf_replica::engine::SyncCount {
        self.synchronise_by(Step::content(Why::Asked))
    }

    /// The same, and something may be left unread.
    pub fn synchronise_by(&self, step: Step) -> hf_replica::engine::SyncCount {
        self.link.set_gate(Mode::Pass, GateState::Open { epoch: 1 }, Some(Flow::Syncing));
        let walk = sync::start(&self.link, rand_stream(), SyncOptions { bandwidth: None, step }).unwrap();
        let count = self.wait("SyncSent", |event| match event {
            EngineEvent::SyncSent { count, .. } => Some(*count),
            EngineEvent::SyncFailed { why } => panic!("{why}"),
            EngineEvent::Fault(fault) => panic!("{fault}"),
            _ => None,
        });
        walk.join().unwrap();
        self.link.set_gate(Mode::Wait, GateState::Open { epoch: 1 }, Some(Flow::InStep));
        count
    }
}

/// Unlike any before.
pub fn rand_stream() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::SeqCst) << 1 | 1
}

/// A primary and a secondary, connected.
pub fn pair(async_second: bool, ring: usize) -> (Node, Node) {
    let (a, b) = (free_address(), free_address());
    let primary = Node::new(options(a, b, async_second), 1, ring);
    let secondary = Node::new(options(b, a, async_second), 2, ring);
    connect(&primary, &secondary);
    (primary, secondary)
}

pub fn connect(primary: &Node, secondary: &Node) {
    secondary.secondary();
    primary.primary();
    primary.wait_link();
    secondary.wait_link();
}

/// What applications do, as the front end carries it out.
#[derive(Clone)]
pub struct Hands {
    pub backing: Arc<Backing>,
    pub pipe: DirPipeline,
}

pub type Done = std::io::Result<Seq>;

fn refused(refusal: crate::pipeline::Refusal) -> std::io::Error {
    std::io::Error::from_raw_os_error(refusal.errno())
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

impl Hands {
    fn modify(&self, act: impl FnOnce(&dyn Fn(&Op<'_>) -> Done) -> Done) -> Done {
        let gate = self.pipe.gate();
        let admission = loop {
            match gate.admit().map_err(refused)? {
                Some(admission) => break admission,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        act(&|op| self.pipe.append(&admission, op, None).map_err(refused))
    }

    fn stamp(&self, dir: FileId) -> std::io::Result<Stamp> {
        self.backing.stamp(dir)
    }

    pub fn make(&self, parent: FileId, text: &str, new: &New<'_>, attrs: Attrs) -> std::io::Result<FileId> {
        let id = self.backing.table().new_id();
        self.modify(|append| {
            let _names = self.pipe.order().change_names();
            self.backing.make(parent, &name(text), id, new, &Inherited { attrs, acl: false })?;
            let (name, stamp) = (text.as_bytes(), self.stamp(parent)?);
            self.backing.stamp_new(id, stamp)?;
            match *new {
                New::File => append(&Op::Create { parent, name, id, attrs, stamp }),
                New::Directory => append(&Op::Mkdir { parent, name, id, attrs, stamp }),
                New::Symlink(target) => append(&Op::Symlink { parent, name, id, target, attrs, stamp }),
                New::Special { kind, rdev } => append(&Op::Mknod { parent, name, id, kind, rdev, attrs, stamp }),
            }
        })?;
        Ok(id)
    }

    pub fn create(&self, parent: FileId, text: &str) -> std::io::Result<FileId> {
        self.make(parent, text, &New::File, Attrs { mode: 0o644, uid: 0, gid: 0 })
    }

    pub fn mkdir(&self, parent: FileId, text: &str) -> std::io::Result<FileId> {
        self.make(parent, text, &New::Directory, Attrs { mode: 0o755, uid: 0, gid: 0 })
    }

    /// With the time that it left, as the front end tells it.
    pub fn write(&self, id: FileId, offset: u64, data: &[u8]) -> Done {
        self.content(id, &|| self.backing.write(id, offset, data).map(|_| ()), &Op::Write { id, offset, data })
    }

    pub fn truncate(&self, id: FileId, size: u64) -> Done {
        self.content(id, &|| self.backing.truncate(id, size), &Op::Truncate { id, size })
    }

    pub fn allocate(&self, id: FileId, mode: i32, offset: u64, len: u64) -> Done {
        let act = || self.backing.allocate(id, mode, offset, len);
        self.content(id, &act, &Op::Allocate { id, mode, offset, len })
    }

    fn content(&self, id: FileId, act: &dyn Fn() -> std::io::Result<()>, op: &Op<'_>) -> Done {
        self.modify(|append| {
            let _file = self.pipe.order().file(id);
            act()?;
            append(op)?;
            let mtime = Some(self.backing.mtime(id)?);
            append(&Op::SetAttr { id, owner: None, mode: None, atime: None, mtime })
        })
    }

    pub fn set_attr(&self, id: FileId, change: Change) -> Done {
        self.modify(|append| {
            let _file = self.pipe.order().file(id);
            self.backing.set_attr(id, &change)?;
            let Change { owner, mode, atime, mtime } = change;
            append(&Op::SetAttr { id, owner, mode, atime, mtime })
        })
    }

    pub fn set_xattr(&self, id: FileId, key: &str, value: &[u8]) -> Done {
        self.modify(|append| {
            let _file = self.pipe.order().file(id);
            self.backing.set_xattr(id, &CString::new(key).unwrap(), value, 0)?;
            append(&Op::SetXattr { id, name: key.as_bytes(), value })
        })
    }

    pub fn remove_xattr(&self, id: FileId, key: &str) -> Done {
        self.modify(|append| {
            let _file = self.pipe.order().file(id);
            self.backing.remove_xattr(id, &CString::new(key).unwrap())?;
            append(&Op::RemoveXattr { id, name: key.as_bytes() })
        })
    }

    pub fn link(&self, id: FileId, parent: FileId, text: &str) -> Done {
        self.modify(|append| {
            let _names = self.pipe.order().change_names();
            self.backing.link(id, parent, &name(text))?;
            append(&Op::Link { id, parent, name: text.as_bytes(), stamp: self.stamp(parent)? })
        })
    }

    pub fn remove(&self, parent: FileId, text: &str) -> Done {
        self.modify(|append| {
            let _names = self.pipe.order().change_names();
            let found = self.backing.lookup(parent, &name(text))?;
            let (id, text) = (found.id, text.as_bytes());
            if found.is_dir() {
                self.backing.rmdir(parent, &Name::new(text)?, &found)?;
                append(&Op::Rmdir { parent, name: text, id, stamp: self.stamp(parent)? })
            } else {
                self.backing.unlink(parent, &Name::new(text)?, &found)?;
                append(&Op::Unlink { parent, name: text, id, stamp: self.stamp(parent)? })
            }
        })
    }

    pub fn rename(&self, from: (FileId, &str), to: (FileId, &str), exchange: bool) -> Done {
        self.modify(|append| {
            let _names = self.pipe.order().change_names();
            let source = self.backing.lookup(from.0, &name(from.1))?;
            let target = self.backing.lookup_if_there(to.0, &name(to.1))?;
            if target.is_some_and(|target| target.id == source.id) {
                return Err(std::io::Error::other("two names of one file"));
            }
            let flags = if exchange { RenameFlags::EXCHANGE } else { RenameFlags::empty() };
            let (old, new) = (name(from.1), name(to.1));
            self.backing.rename((from.0, &old, &source), (to.0, &new, target.as_ref()), flags)?;
            let stamp = self.stamp(to.0)?;
            for dir in [from.0, to.0] {
                self.backing.set_attr(dir, &Change { mtime: Some(stamp), ..Change::default() })?;
            }
            append(&Op::Rename {
                parent: from.0,
                name: from.1.as_bytes(),
                new_parent: to.0,
                new_name: to.1.as_bytes(),
                id: source.id,
                replaced: target.map(|target| target.id),
                exchange,
                stamp,
            })
        })
    }

    /// fdatasync: returns when it is acknowledged.
    pub fn sync(&self, id: FileId) -> Done {
        let seq = self.modify(|append| append(&Op::Barrier { id }))?;
        self.backing.sync(id, true)?;
        let (sender, answer) = mpsc::sync_channel(1);
        self.pipe.when_durable(seq, Box::new(move |result| sender.send(result).unwrap_or_default()));
        answer.recv_timeout(Duration::from_secs(60)).expect("a barrier is answered").map_err(refused)?;
        Ok(seq)
    }
}

/// Everything of a tree that must be equal.
pub fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut all, mut links) = (BTreeMap::new(), BTreeMap::new());
    describe_into(root, Path::new(""), &mut all, &mut links);
    all
}

fn describe_into(root: &Path, at: &Path, all: &mut BTreeMap<PathBuf, String>, links: &mut BTreeMap<u64, PathBuf>) {
    let path = root.join(at);
    let meta = std::fs::symlink_metadata(&path).unwrap();
    let kind = meta.file_type();
    let first = links.entry(meta.ino()).or_insert_with(|| at.to_owned()).clone();
    let mut text = format!(
        "{:o} {}:{} mtime {}.{:09} rdev {} links {} same as {}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.rdev(),
        if kind.is_dir() { 0 } else { meta.nlink() },
        first.display()
    );
    for (key, value) in xattrs_of(&path) {
        text += &format!(" {key}={value:?}");
    }
    if kind.is_file() {
        text += &format!(" size {} {}", meta.len(), blake3::hash(&std::fs::read(&path).unwrap()));
    } else if kind.is_symlink() {
        text += &format!(" -> {:?}", std::fs::read_link(&path).unwrap());
    } else if kind.is_fifo() {
        text += " fifo";
    }
    all.insert(at.to_owned(), text);
    if kind.is_dir() {
        let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names.iter().for_each(|name| describe_into(root, &at.join(name), all, links));
    }
}

fn xattrs_of(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut buffer = vec![0u8; 1 << 16];
    let len = rustix::fs::llistxattr(path, &mut buffer[..]).unwrap_or(0);
    let names = buffer[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = vec![0u8; 1 << 16];
            let len = rustix::fs::lgetxattr(path, name.as_str(), &mut value[..]).unwrap();
            value.truncate(len);
            (name, value)
        })
        .collect()
}

/// Waits until the secondary has applied everything, then compares.
pub fn assert_equal(primary: &Node, secondary: &Node) {
    let end = Instant::now() + Duration::from_secs(60);
    primary.hands().sync(FileId::ROOT).unwrap();
    while secondary.link.ring.counters().applied.load(Ordering::SeqCst) < primary.link.ring.last() {
        assert!(Instant::now() < end, "the secondary doesn't catch up");
        std::thread::sleep(Duration::from_millis(1));
    }
    primary.assert_no_fault();
    secondary.assert_no_fault();
    let (a, b) = (describe(&primary.root), describe(&secondary.root));
    for (path, text) in &a {
        assert_eq!(b.get(path), Some(text), "{}", path.display());
    }
    assert_eq!(a.len(), b.len(), "{:?}", b.keys().filter(|path| !a.contains_key(*path)).collect::<Vec<_>>());
}
