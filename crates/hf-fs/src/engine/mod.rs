//! The data plane of one module: what the core orders ([`EngineCommand`]) is carried out, what happens is reported
//! ([`EngineEvent`]).
//!
//! All replicated directories of the module share one link, one sequence and one gate. [`Engine::command`] returns at once, except for a change
//! of the gate, which has taken effect then. Records are written by a thread of their own, in the order of the commands; mounting,
//! unmounting and synchronising by another; each drain waits in its own.

mod stage;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hf_config::NotReplicated;
use hf_replica::engine::{EngineCommand, EngineEvent, Gate, PeerMessage};
use hf_replica::ladder;
use hf_types::{Epoch, GenerationId, Record, RfsFault, Seq, SyncWish};
use hf_wire::frame::Body;

use crate::front::Role;
use crate::link::acks::{Mode, Need};
use crate::link::{
    ACCEPTED, Authenticate, DiskCheck, Events, Flow, LaneSource, Link, LinkOptions, Tuning, Wanted, lock, random,
};
use crate::manifest;
use crate::pipeline::{FileId, GateState};
use crate::record::{RecordError, RecordFile};
use crate::sync::{self, SyncOptions};

pub use crate::link::AsyncSecond;
pub use stage::{FuseStage, Shown, Stage};

/// Frames that the other node hasn't acknowledged are kept in so many bytes.
const RING_BYTES: usize = 64 << 20;

/// One replicated directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// What applications use.
    pub dir: PathBuf,
    /// Where the data is.
    pub backing: PathBuf,
    /// `mountover`: while it is replicated the data has the name of `backing`; else it keeps its own.
    pub renamed: bool,
    /// `<tocheck>`: what must be there before it is replicated, relative.
    pub to_check: Vec<PathBuf>,
    /// `<notreplicated>`: what of it is this node's own.
    pub left_out: Vec<NotReplicated>,
}

impl Directory {
    /// Where its record is: beside the data, on the same file system.
    pub fn control(&self) -> PathBuf {
        let mut path = self.backing.clone().into_os_string();
        path.push(".hold");
        path.into()
    }

    /// What is missing of what must be there. The data is still where applications use it if it was never replicated.
    fn missing(&self) -> Option<&Path> {
        let is_there =
            |path: &PathBuf| [&self.backing, &self.dir].iter().any(|root| root.join(path).symlink_metadata().is_ok());
        self.to_check.iter().find(|path| !is_there(path)).map(PathBuf::as_path)
    }
}

/// What the engine is told once.
#[derive(Clone)]
pub struct EngineConfig {
    /// In the order of the configuration, the same on both nodes.
    pub directories: Vec<Directory>,
    /// The keeper's socket.
    pub keeper: PathBuf,
    /// `acl="on"`.
    pub acl: bool,
    /// The networks that can carry the replication, best first.
    pub lanes: LaneSource,
    /// First of the pair in cluster.xml: the nodes' new file ids differ by this.
    pub first: bool,
    /// `async="second"`.
    pub async_second: AsyncSecond,
    pub send_timeout: Duration,
    pub lock_timeout: Duration,
    /// After so long without a sign of life a connection is given up.
    pub silence: Duration,
    pub disk: DiskCheck,
    /// How synchronisations work.
    pub tuning: Tuning,
    /// `reiallowedbw`, in KB (1000 bytes) a second.
    pub bandwidth_kb_s: Option<u64>,
    /// Random: goes into records that are made now.
    pub identity: u64,
    pub boot_id: String,
    pub authenticate: Arc<dyn Authenticate>,
}

/// Why the engine can't start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("no thread can be started")]
    Thread(#[source] std::io::Error),
}

/// See the module.
pub struct Engine {
    inner: Arc<Inner>,
    records: Option<mpsc::Sender<(u64, Vec<Record>)>>,
    work: Option<mpsc::Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

/// The engine's link for those who only look.
#[derive(Clone)]
pub struct Linked(Arc<Inner>);

impl Linked {
    /// None while the directories are not open.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.0.link()
    }

    /// The last moment at which both copies of every directory are durably known to have been equal: seconds since 1970 UTC, by this
    /// node's clock.
    pub fn in_step_until_s(&self) -> Option<i64> {
        *lock(&self.0.synced_s)
    }
}

enum Work {
    Mount,
    Unmount,
    Role(Role),
    Sync(SyncWish),
}

struct Inner {
    config: EngineConfig,
    events: Events,
    state: Mutex<State>,
    stage: Mutex<Box<dyn Stage>>,
    /// See [`Linked::in_step_until_s`].
    synced_s: Mutex<Option<i64>>,
    /// This copy was never synchronised: nothing can be missing in it.
    new: bool,
}

struct State {
    gate: Gate,
    plane: Option<Plane>,
}

/// What there is while the directories are open.
#[derive(Clone)]
struct Plane {
    link: Arc<Link>,
    shown: Arc<dyn Shown>,
}

impl Engine {
    /// Reads the records; [`EngineEvent::Started`] is the first event.
    pub fn start(config: EngineConfig, events: Events) -> Result<Engine, EngineError> {
        let stage = FuseStage::new(&config);
        Engine::with_stage(config, Box::new(stage), events)
    }

    /// The same with another way to show the directories to applications.
    pub fn with_stage(config: EngineConfig, stage: Box<dyn Stage>, events: Events) -> Result<Engine, EngineError> {
        let files = open_records(&config)?;
        let started = EngineEvent::Started {
            records: files.iter().map(|file| file.current().clone()).collect(),
            boot_id: config.boot_id.clone(),
            takeover: stage.is_takeover(),
        };
        let new = files.iter().all(|file| file.current().generation == GenerationId(0));
        let state = Mutex::new(State { gate: Gate::Closed, plane: None });
        let synced = synced_s(files.iter().map(RecordFile::current));
        let inner =
            Arc::new(Inner { config, events, state, stage: Mutex::new(stage), synced_s: Mutex::new(synced), new });
        inner.report(started);
        let (records, to_write) = mpsc::channel();
        let (work, to_do) = mpsc::channel();
        let threads = vec![
            spawn("hf-records", inner.clone(), move |inner| inner.write_records(files, &to_write))?,
            spawn("hf-engine", inner.clone(), move |inner| inner.work(&to_do))?,
        ];
        Ok(Engine { inner, records: Some(records), work: Some(work), threads })
    }

    /// See the module.
    pub fn command(&self, command: EngineCommand) {
        let inner = &self.inner;
        match command {
            EngineCommand::Mount => self.later(Work::Mount),
            EngineCommand::Unmount => self.later(Work::Unmount),
            EngineCommand::SetGate(gate) => {
                if let Some(role) = inner.set_gate(gate) {
                    self.later(Work::Role(role));
                }
            }
            EngineCommand::Listen => inner.with_link(|link| link.want(Wanted::Listen)),
            EngineCommand::Connect => inner.with_link(|link| link.want(Wanted::Connect)),
            EngineCommand::Hangup => inner.with_link(|link| link.hang_up()),
            EngineCommand::Send(message) => inner.with_link(|link| send(link, message)),
            EngineCommand::StartSync(wish) => self.later(Work::Sync(wish)),
            EngineCommand::StopSync => inner.with_link(|link| link.bound.fail("it was stopped")),
            EngineCommand::Drain => inner.drain(),
            EngineCommand::KeepCopy { generation } => inner.keep_copy(generation),
            EngineCommand::WriteRecords { token, records } => {
                if let Some(queue) = &self.records {
                    // The thread ends only with this engine.
                    let _ = queue.send((token, records));
                }
            }
        }
    }

    /// The link, while the directories are open.
    pub fn link(&self) -> Option<Arc<Link>> {
        self.inner.link()
    }

    /// The same for who isn't the loop.
    pub fn linked(&self) -> Linked {
        Linked(self.inner.clone())
    }

    fn later(&self, work: Work) {
        if let Some(queue) = &self.work {
            // As above.
            let _ = queue.send(work);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.records.take();
        self.work.take();
        if let Some(link) = self.inner.link() {
            link.stop();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the engine panicked");
            }
        }
    }
}

fn spawn(
    name: &str,
    inner: Arc<Inner>,
    run: impl FnOnce(&Inner) + Send + 'static,
) -> Result<JoinHandle<()>, EngineError> {
    std::thread::Builder::new().name(name.into()).spawn(move || run(&inner)).map_err(EngineError::Thread)
}

/// A directory that never was makes it none.
fn synced_s<'a>(records: impl Iterator<Item = &'a Record>) -> Option<i64> {
    records.map(|record| record.synced_s).min().flatten()
}

fn open_records(config: &EngineConfig) -> Result<Vec<RecordFile>, RecordError> {
    let open = |(n, dir): (usize, &Directory)| RecordFile::open(&dir.control(), config.identity.wrapping_add(n as u64));
    config.directories.iter().enumerate().map(open).collect()
}

fn send(link: &Link, mut message: PeerMessage) {
    if let PeerMessage::Hello { applied, common, .. } = &mut message {
        *common = link.common();
        // Not 0: the record allows to go on; the position is known here.
        if *applied != Seq(0) {
            *applied = Seq(link.ring.counters().applied.load(Ordering::SeqCst));
        }
    }
    if let PeerMessage::SyncEnd { seq, .. } | PeerMessage::Handover { seq, .. } = &mut message {
        *seq = Seq(link.ring.last());
    }
    // Messages are plain data, whose JSON can't fail.
    let json = serde_json::to_vec(&message).expect("plain data becomes JSON");
    link.send_control(&json);
}

impl Inner {
    fn report(&self, event: EngineEvent) {
        (self.events)(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn link(&self) -> Option<Arc<Link>> {
        self.state().plane.as_ref().map(|plane| plane.link.clone())
    }

    fn with_link(&self, act: impl FnOnce(&Arc<Link>)) {
        if let Some(link) = self.link() {
            act(&link);
        }
    }

    /// Takes effect here; what follows from it for the kernel's caches is told.
    fn set_gate(&self, gate: Gate) -> Option<Role> {
        let mut state = self.state();
        state.gate = gate;
        let plane = state.plane.clone()?;
        self.apply_gate(&plane, gate);
        (gate == Gate::ReadOnly).then_some(Role::Secondary)
    }

    fn apply_gate(&self, plane: &Plane, gate: Gate) {
        let link = &plane.link;
        let open = |epoch: Epoch| GateState::Open { epoch: epoch.0 };
        let (mode, state, flow) = match gate {
            Gate::Closed => (Mode::Hold, GateState::Closed, None),
            Gate::ReadOnly => (Mode::ReadOnly, GateState::ReadOnly, Some(Flow::Following)),
            Gate::Released => (Mode::Stopped, GateState::Stopped, None),
            Gate::Alone { epoch } => (Mode::Pass, open(epoch), Some(Flow::Alone)),
            Gate::InStep { epoch } => (Mode::Wait, open(epoch), Some(Flow::InStep)),
            Gate::Syncing { epoch } => (Mode::Pass, open(epoch), Some(Flow::Syncing)),
        };
        if let GateState::Open { epoch } = state {
            for dir in &link.dirs {
                dir.backing.table().set_range(range(epoch, self.config.first));
            }
            plane.shown.set_role(Role::Primary);
        }
        link.set_gate(mode, state, flow);
    }

    fn write_records(&self, mut files: Vec<RecordFile>, to_write: &mpsc::Receiver<(u64, Vec<Record>)>) {
        while let Ok((token, records)) = to_write.recv() {
            let done = if records.len() == files.len() {
                files.iter_mut().zip(&records).try_for_each(|(file, record)| file.write(record))
            } else {
                tracing::error!("there are {} records for {} directories", records.len(), files.len());
                continue;
            };
            self.report(match done {
                Ok(()) => {
                    *lock(&self.synced_s) = synced_s(records.iter());
                    EngineEvent::RecordsWritten { token }
                }
                Err(error) => EngineEvent::RecordsFailed { token, why: with_causes(&error) },
            });
        }
    }

    fn work(&self, to_do: &mpsc::Receiver<Work>) {
        let mut walk: Option<JoinHandle<()>> = None;
        while let Ok(work) = to_do.recv() {
            match work {
                Work::Mount => self.mount(),
                Work::Unmount => self.unmount(&mut walk),
                Work::Role(role) => {
                    let plane = self.state().plane.clone();
                    plane.iter().for_each(|plane| plane.shown.set_role(role));
                }
                Work::Sync(wish) => self.synchronise(&mut walk, wish),
            }
        }
        self.end_walk(&mut walk);
    }

    fn end_walk(&self, walk: &mut Option<JoinHandle<()>>) {
        let Some(walk) = walk.take() else { return };
        self.with_link(|link| link.bound.fail("another one begins"));
        if walk.join().is_err() {
            tracing::error!("the synchronisation panicked");
        }
    }

    fn synchronise(&self, walk: &mut Option<JoinHandle<()>>, wish: SyncWish) {
        if walk.as_ref().is_some_and(|walk| !walk.is_finished()) {
            self.end_walk(walk);
        }
        let Some(link) = self.link() else { return };
        let step = ladder::step(wish, link.common(), link.peer_common());
        self.report(EngineEvent::SyncStep(step));
        let options = SyncOptions { bandwidth: self.config.bandwidth_kb_s.map(|kb| kb * 1000), step };
        match random().and_then(|stream| sync::start(&link, stream, options)) {
            Ok(thread) => *walk = Some(thread),
            Err(error) => self.report(EngineEvent::SyncFailed { why: error.to_string() }),
        }
    }

    fn mount(&self) {
        if self.link().is_some() {
            self.report(EngineEvent::Mounted);
            return;
        }
        let mut stage = lock(&self.stage);
        match self.open(&mut **stage) {
            Ok(plane) => {
                drop(stage);
                let mut state = self.state();
                self.apply_gate(&plane, state.gate);
                state.plane = Some(plane);
                drop(state);
                self.report(EngineEvent::Mounted);
            }
            Err(why) => {
                let why = match stage.close() {
                    Ok(()) => format!("{why}; everything is as it was"),
                    Err(left) => format!("{why}; left behind: {left}"),
                };
                self.report(EngineEvent::MountFailed { why });
            }
        }
    }

    fn open(&self, stage: &mut dyn Stage) -> Result<Plane, String> {
        let gate = self.state().gate;
        let role = if gate == Gate::ReadOnly { Role::Secondary } else { Role::Primary };
        let range = match gate {
            Gate::Alone { epoch } | Gate::InStep { epoch } | Gate::Syncing { epoch } => {
                range(epoch.0, self.config.first)
            }
            Gate::Closed | Gate::ReadOnly | Gate::Released => range(0, self.config.first),
        };
        self.check_content(role, stage.is_takeover())?;
        let takeover = stage.is_takeover();
        let backings = stage.open(role, range)?;
        let ring = stage.ring(RING_BYTES)?;
        let common = manifest::take_all(&backings, &self.config.boot_id, takeover);
        if !takeover {
            ring.set_common(common);
        }
        let config = &self.config;
        let options = LinkOptions {
            lanes: config.lanes.clone(),
            async_second: config.async_second.clone(),
            send_timeout: config.send_timeout,
            lock_timeout: config.lock_timeout,
            silence: config.silence.min(config.send_timeout),
            accepted_durable: ACCEPTED,
            disk: config.disk,
            tuning: config.tuning.clone(),
            check_bandwidth: config.bandwidth_kb_s.map(|kb| kb * 1000),
        };
        let link = Link::start(options, ring, backings, config.authenticate.clone(), self.events.clone())
            .map_err(|error| format!("the replication link can't be started: {error}"))?;
        match stage.serve(&link) {
            Ok(shown) => Ok(Plane { link, shown }),
            Err(why) => {
                link.stop();
                Err(why)
            }
        }
    }

    /// Reference 004, 13.6.3: no replication from a directory whose disk isn't mounted. A directory that a dead rfs served can't be looked into, and was
    /// looked into by that one.
    fn check_content(&self, role: Role, takeover: bool) -> Result<(), String> {
        if takeover || (self.new && role == Role::Secondary) {
            return Ok(());
        }
        let missing = self.config.directories.iter().find_map(|dir| Some((dir, dir.missing()?)));
        missing.map_or(Ok(()), |(dir, path)| {
            Err(format!("{} (tocheck) is missing in {}: is its disk mounted?", path.display(), dir.dir.display()))
        })
    }

    fn unmount(&self, walk: &mut Option<JoinHandle<()>>) {
        self.end_walk(walk);
        let plane = self.state().plane.take();
        let mut failed = Vec::new();
        if let Some(Plane { link, shown }) = &plane {
            if matches!(link.acks.mode(), Mode::Pass | Mode::Wait) {
                failed.extend(shown.write_back().err());
            }
            link.set_gate(Mode::Stopped, GateState::Stopped, None);
            link.hang_up();
            if failed.is_empty() && !link.spares_disk() && link.sync_everything() {
                // As long as nobody else can change anything: the paths are still covered.
                self.write_manifests(link);
            }
        }
        failed.extend(lock(&self.stage).close().err());
        if let Some(Plane { link, .. }) = plane {
            if !link.sync_everything() {
                failed.push("what was written could not be made durable".into());
            }
            link.stop();
        }
        self.report(if failed.is_empty() {
            EngineEvent::Unmounted
        } else {
            EngineEvent::MountFailed { why: failed.join("; ") }
        });
    }

    /// Without one the next start knows less, and compares more.
    fn write_manifests(&self, link: &Link) {
        let Some(common) = link.settle_marks() else { return };
        for dir in &link.dirs {
            if let Err(error) = manifest::write(&dir.backing, &common, &self.config.boot_id) {
                tracing::warn!("no manifest is left: {}", with_causes(&error));
            }
        }
    }

    /// In a thread of its own: it may take long.
    fn keep_copy(self: &Arc<Inner>, generation: GenerationId) {
        let inner = self.clone();
        let run = move || {
            let done = inner.link().ok_or_else(|| "the directories are not open".to_owned()).and_then(|link| {
                let keep = |dir: &crate::link::Directory| sync::keep(&dir.backing, generation);
                let kept: Result<Vec<sync::Kept>, _> = link.dirs.iter().map(keep).collect();
                kept.map_err(|error| with_causes(&error))
            });
            inner.report(match done {
                Ok(kept) => EngineEvent::CopyKept { generation, files: kept.iter().map(|kept| kept.files).sum() },
                Err(why) => EngineEvent::CopyNotKept { generation, why },
            });
        };
        if let Err(error) = std::thread::Builder::new().name("hf-keep".into()).spawn(run) {
            self.report(EngineEvent::CopyNotKept { generation, why: format!("no thread can be started: {error}") });
        }
    }

    /// Each drain has a thread of its own: it may wait long.
    fn drain(self: &Arc<Inner>) {
        let plane = self.state().plane.clone();
        let Some(plane) = plane else {
            self.report(EngineEvent::Drained { seq: Seq(0) });
            return;
        };
        let inner = self.clone();
        let drain = std::thread::Builder::new().name("hf-drain".into()).spawn(move || inner.wait_until_drained(&plane));
        if let Err(error) = drain {
            tracing::error!(%error, "no thread to drain");
        }
    }

    fn wait_until_drained(&self, Plane { link, shown }: &Plane) {
        if !matches!(link.acks.mode(), Mode::Pass | Mode::Wait | Mode::Hold) || link.flow() == Flow::Following {
            if link.sync_everything() {
                let applied = link.ring.counters().applied.load(Ordering::SeqCst);
                self.report(EngineEvent::Drained { seq: Seq(applied) });
            }
            return;
        }
        if link.acks.mode() != Mode::Hold
            && let Err(why) = shown.write_back()
        {
            self.report(EngineEvent::Fault(RfsFault::LocalDisk(why)));
            return;
        }
        let seq = match link.flow() {
            Flow::InStep => link.append(0, &Body::Barrier { id: FileId::ROOT.0 }, None),
            _ => Some(link.ring.last()),
        };
        let Some(seq) = seq.filter(|_| link.sync_everything()) else { return };
        let events = self.events.clone();
        let done = move |answer: Result<(), _>| {
            if answer.is_ok() {
                events(EngineEvent::Drained { seq: Seq(seq) });
            }
        };
        link.acks.when(seq, Need::Fulfilled, Box::new(done));
    }
}

/// New ids are never those of another node or an earlier epoch that are still in use.
fn range(epoch: u64, first: bool) -> u16 {
    ((epoch << 1 | u64::from(first)) & 0xffff) as u16
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
