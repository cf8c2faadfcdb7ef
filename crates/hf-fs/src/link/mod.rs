//! The link between the two copies: a TCP connection (over one of several networks: [`lanes`]), unacknowledged frames kept in memory that outlives this process.
//!
//! A write's way: [`pipe`] (under the front end's lock) puts a frame into the [`ring`], [`out`] sends it from there; on the other node
//! [`receive`] applies it in order, [`durable`] syncs for barriers, and the acknowledgement comes back through [`receive`]
//! into [`acks`], which completes who waits. No thread stands between an application and the socket. Long frames may travel [`beside`] it.
//!
//! # Going on after a break
//!
//! A *stream* begins with a synchronisation and has a random number. Its frames are numbered without gaps. Each node keeps, in
//! memory that the keeper holds, the frames that weren't acknowledged, and how far it applied the other's stream. Both say so in
//! [`Hello`](hf_wire::frame::Hello); the sender goes on with the next frame if it still has it. If not (a node was rebooted, the
//! break was too long) nothing of the stream is sent until a synchronisation begins another: the core is told by `applied: 0`.
//! A synchronisation itself isn't resumed there: another one begins, which needn't read what the broken one found or made equal and nobody
//! changed since ([`common`]).
//!
//! # What is never done here
//!
//! Nothing is decided: a silent or broken link is reported, and whether to go on alone is the core's matter. An operation that
//! fails on this copy is reported on both nodes and never skipped.

pub mod acks;
mod again;
pub mod auth;
mod beside;
mod common;
mod connect;
mod disk;
mod durable;
mod encode;
mod lanes;
pub mod out;
pub mod pipe;
mod receive;
pub mod ring;
pub mod sealed;
mod traffic;
mod tuning;
mod watch;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use hf_replica::ladder::Common;
use hf_types::RfsFault;
use hf_wire::frame::Body;

use crate::backing::Backing;
use crate::pipeline::{Completion, Gate, GateState, Op, Order};
use crate::sync::{Bound, Checks, Pool, Replies};
use acks::{Acks, Mode};
use out::Out;
use ring::{Full, Ring};

pub use auth::{Authenticate, Limited};
pub use disk::DiskCheck;
pub use durable::ACCEPTED;
pub use lanes::{LaneSource, LinkLane};
pub use pipe::DirPipeline;
pub use tuning::Tuning;

/// `async="second"` or not; it may change while the link lives.
#[derive(Clone, Debug, Default)]
pub struct AsyncSecond(Arc<AtomicBool>);

impl AsyncSecond {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// From the next barrier on.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }
}

impl From<bool> for AsyncSecond {
    fn from(on: bool) -> AsyncSecond {
        AsyncSecond(Arc::new(AtomicBool::new(on)))
    }
}

/// What the link is told once.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The networks between the nodes, the one that is meant for replication first.
    pub lanes: LaneSource,
    /// `async="second"`: a barrier is acknowledged when received; else when durable.
    pub async_second: AsyncSecond,
    /// How long operations may stay unacknowledged before it is reported.
    pub send_timeout: Duration,
    /// The same for barriers.
    pub lock_timeout: Duration,
    /// How long nothing at all may be heard before the connection is given up.
    pub silence: Duration,
    /// How often what was accepted here and not synced by a barrier is made durable.
    pub accepted_durable: Duration,
    /// How this node's disk is looked after.
    pub disk: DiskCheck,
    /// How synchronisations work.
    pub tuning: Tuning,
    /// How many bytes a second a verification reads at most; none: as fast as it goes.
    pub check_bandwidth: Option<u64>,
}

/// Takes what the core is to know; called from many threads, must not block.
pub type Events = Arc<dyn Fn(EngineEvent) + Send + Sync>;

/// Told of each operation that was applied here: the directory's index, and the operation.
pub type Applied = Box<dyn Fn(u16, &Op<'_>) + Send + Sync>;

/// What becomes of operations that succeeded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Flow {
    /// This is the secondary: there are none.
    Following,
    /// Numbered only.
    Alone,
    /// Sent as far as the other copy knows the file.
    Syncing,
    /// Sent.
    InStep,
}

/// What the link is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Listen,
    Connect,
    Exit,
}

/// One replicated directory.
pub struct Directory {
    pub backing: Arc<Backing>,
    pub gate: Gate,
    pub order: Order,
}

/// Numbers for people and tests.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Connections that didn't prove themselves, or came from elsewhere.
    pub strangers: AtomicU64,
    /// Connections that stood.
    pub connections: AtomicU64,
    /// Of the end that connects: which lane was taken last, counted from 0.
    pub lane: AtomicU64,
    /// Frames of the stream applied here.
    pub applied: AtomicU64,
    /// Bytes of frames: of applications' changes, of a synchronisation, received.
    pub replicated: AtomicU64,
    pub reintegrated: AtomicU64,
    pub received: AtomicU64,
    /// How often this node's disk was found hanging.
    pub hung: AtomicU64,
}

#[derive(Default)]
struct Throttle {
    /// What the core wants; `None` before it said anything.
    core: Option<GateState>,
    /// The ring has too little room.
    full: bool,
    /// Gates were changed: who waits there is to be served.
    serve: bool,
}

/// See the module.
pub struct Link {
    pub options: LinkOptions,
    pub ring: Ring,
    pub out: Out,
    pub beside: beside::Beside,
    pub acks: Acks,
    pub dirs: Vec<Directory>,
    pub bound: Bound,
    pub replies: Replies,
    pub checks: Checks,
    pub(crate) pool: Pool,
    pub statistics: Statistics,
    events: Events,
    auth: Arc<dyn Authenticate>,
    wanted: Mutex<Wanted>,
    /// Why what the other node speaks was not understood, if that was told.
    refused: Mutex<Option<String>>,
    wanted_changed: Condvar,
    throttle: Mutex<Throttle>,
    throttle_changed: Condvar,
    durable: durable::Queue,
    pub(crate) digests: Mutex<Option<std::sync::mpsc::Sender<crate::sync::DigestJob>>>,
    pub(crate) digest_jobs: Mutex<Option<std::sync::mpsc::Receiver<crate::sync::DigestJob>>>,
    /// Milliseconds since `began` when the other node was heard last, and when an acknowledgement came last.
    heard_ms: AtomicU64,
    progress_ms: AtomicU64,
    began: Instant,
    exit: AtomicBool,
    /// How many connections came and proved themselves.
    arrived: AtomicU64,
    /// The other node can go on with our stream on this connection.
    resumable: AtomicBool,
    peer_common: Mutex<Option<Common>>,
    /// This node's disk gave an error or no answer.
    disk_failed: AtomicBool,
    /// Held while frames are handled; `cut` ends that before the next frame.
    applying: Mutex<()>,
    cut: AtomicBool,
    /// Operations that met the local disk's failure while the other copy is good (P11): dropped, they are answered EIO.
    failed: Mutex<Vec<Completion>>,
    applied: OnceLock<Applied>,
    synchronises: OnceLock<Box<dyn Fn() + Send + Sync>>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

impl Link {
    /// Starts the link's threads. It neither listens nor connects yet; gates are closed, acknowledgements held.
    pub fn start(
        options: LinkOptions,
        ring: Ring,
        backings: Vec<Arc<Backing>>,
        auth: Arc<dyn Authenticate>,
        events: Events,
    ) -> std::io::Result<Arc<Link>> {
        let dirs = backings
            .into_iter()
            .map(|backing| Directory { backing, gate: Gate::new(GateState::Closed), order: Order::default() })
            .collect::<Vec<_>>();
        let acks = Acks::default();
        let (digest_sender, digest_jobs) = std::sync::mpsc::channel();
        let counters = ring.counters();
        acks.advance(counters.received.load(Ordering::SeqCst), counters.fulfilled.load(Ordering::SeqCst));
        let link = Arc::new(Link {
            bound: Bound::new(dirs.len()),
            replies: Replies::default(),
            checks: Checks::default(),
            pool: Pool::default(),
            options,
            ring,
            out: Out::default(),
            beside: beside::Beside::default(),
            acks,
            dirs,
            statistics: Statistics::default(),
            events,
            auth,
            wanted: Mutex::new(Wanted::Nothing),
            refused: Mutex::default(),
            wanted_changed: Condvar::new(),
            throttle: Mutex::default(),
            throttle_changed: Condvar::new(),
            durable: durable::Queue::default(),
            digests: Mutex::new(Some(digest_sender)),
            digest_jobs: Mutex::new(Some(digest_jobs)),
            heard_ms: AtomicU64::new(0),
            progress_ms: AtomicU64::new(0),
            began: Instant::now(),
            exit: AtomicBool::new(false),
            arrived: AtomicU64::new(0),
            resumable: AtomicBool::new(false),
            peer_common: Mutex::default(),
            disk_failed: AtomicBool::new(false),
            applying: Mutex::new(()),
            cut: AtomicBool::new(false),
            failed: Mutex::default(),
            applied: OnceLock::new(),
            synchronises: OnceLock::new(),
            threads: Mutex::default(),
        });
        if link.flow() != Flow::Following {
            link.distrust();
        }
        if link.flow() == Flow::InStep {
            // The successor of a primary in step: the other copy knows everything.
            link.bound.complete();
        }
        link.spawn("hf-link", Link::connections)?;
        link.spawn("hf-send", Link::send_loop)?;
        link.spawn("hf-watch", Link::watch_loop)?;
        link.spawn("hf-gate", Link::gate_loop)?;
        link.spawn("hf-sync", Link::barrier_loop)?;
        link.spawn("hf-durable", Link::durable_loop)?;
        link.spawn("hf-digest", Link::digest_loop)?;
        link.add_readers()?;
        link.spawn("hf-probe", Link::probe_loop)?;
        Ok(link)
    }

    pub(crate) fn spawn(self: &Arc<Link>, name: &str, run: fn(&Arc<Link>)) -> std::io::Result<()> {
        let link = self.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&link))?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Ends the connection and all threads.
    pub fn stop(&self) {
        self.exit.store(true, Ordering::SeqCst);
        self.want(Wanted::Exit);
        lock(&self.digests).take();
        self.durable.wake();
        self.wake_gates();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the replication link panicked");
            }
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.exit.load(Ordering::SeqCst)
    }

    /// Tells the core.
    pub fn report(&self, event: EngineEvent) {
        (self.events)(event);
    }

    /// Listen, connect, or neither. Idempotent.
    pub fn want(&self, wanted: Wanted) {
        let mut now = lock(&self.wanted);
        if *now == wanted {
            return;
        }
        *now = wanted;
        drop(now);
        self.wanted_changed.notify_all();
        if wanted == Wanted::Exit {
            self.out.shutdown();
        }
    }

    /// Ends listening, connecting, and the connection: nothing that comes is handled after this returned.
    pub fn hang_up(&self) {
        self.want(Wanted::Nothing);
        self.cut.store(true, Ordering::SeqCst);
        self.out.shutdown();
        drop(lock(&self.applying));
    }

    /// Who is told of each applied operation; once.
    pub fn on_applied(&self, applied: Applied) {
        // A second one would be a mistake of the engine; the first stays.
        let _ = self.applied.set(applied);
    }

    /// Who is told that a synchronisation begins, on either end; once. Must not block.
    pub fn on_synchronisation(&self, told: impl Fn() + Send + Sync + 'static) {
        // As above.
        let _ = self.synchronises.set(Box::new(told));
    }

    pub(crate) fn synchronisation_begins(&self) {
        if let Some(told) = self.synchronises.get() {
            told();
        }
    }

    /// What becomes of operations.
    pub fn flow(&self) -> Flow {
        match self.ring.counters().flow.load(Ordering::SeqCst) {
            0 => Flow::Following,
            1 => Flow::Alone,
            2 => Flow::Syncing,
            _ => Flow::InStep,
        }
    }

    /// Sets what is acknowledged, what is admitted and what becomes of it, in the order that leaves no gap: first nothing is
    /// acknowledged, then nothing admitted and nothing inside, then the new state holds.
    pub fn set_gate(&self, mode: Mode, gate: GateState, flow: Option<Flow>) {
        if self.acks.mode() != mode {
            self.acks.set_mode(Mode::Hold);
        }
        let mut throttle = lock(&self.throttle);
        if throttle.core != Some(gate) {
            self.put_gates(GateState::Closed);
            for dir in &self.dirs {
                if !dir.gate.drain(Duration::from_secs(1)) {
                    tracing::warn!("a modification is still being carried out while the gate changes");
                }
            }
        }
        if let Some(flow) = flow {
            self.change_flow(flow);
        }
        throttle.core = Some(gate);
        // A ring that is full stays so: only the other copy (or giving it up) makes room.
        throttle.full = matches!(gate, GateState::Open { .. }) && self.ring.free() < self.reserve();
        self.put_gates(if throttle.full { GateState::Closed } else { gate });
        drop(throttle);
        self.acks.set_mode(mode);
        self.wake_gates();
    }

    fn change_flow(&self, flow: Flow) {
        match flow {
            Flow::Alone => {
                // The other copy doesn't follow any more; what it missed is found by comparing.
                self.bound.close();
                self.leave_stream(0, self.common());
                self.ring.counters().applied_stream.store(0, Ordering::SeqCst);
            }
            // After a swap: both are equal, and the roles are turned round.
            Flow::InStep if self.ring.stream() == 0 || self.flow() == Flow::Following => self.begin_equal(),
            Flow::Following if self.flow() != Flow::Following => self.follow_from_now_on(),
            Flow::InStep | Flow::Syncing | Flow::Following => {}
        }
        self.ring.counters().flow.store(flow as u64, Ordering::SeqCst);
    }

    /// A stream that begins with a synchronisation: on top of what both have `in_common`, or of nothing.
    pub(crate) fn begin_stream(&self, stream: u64, in_common: Option<u64>) {
        self.synchronisation_begins();
        self.bound.close();
        self.replies.clear();
        let common = self.common().filter(|common| in_common == Some(common.stream));
        self.leave_stream(stream, common);
        if common.is_none() {
            self.distrust();
        }
        self.ring.counters().sending_sync.store(1, Ordering::SeqCst);
        let begin = match common {
            Some(Common { stream: common, .. }) => Body::BeginOn { stream, common },
            None => Body::Begin { stream, of: 0, at: 0 },
        };
        self.append(0, &begin, None);
        self.bound.open();
    }

    /// The synchronisation sent everything: under the locks of all names.
    pub(crate) fn complete_stream(&self) {
        self.bound.complete();
        self.ring.counters().sending_sync.store(0, Ordering::SeqCst);
    }

    /// A stream between equal copies: the other node must have issued exactly what this one applied. If this one applied nothing (its stream
    /// broke, or none ever came), there is nothing to be equal to: no stream begins, and the copies must be compared.
    fn begin_equal(&self) {
        let counters = self.ring.counters();
        let of = counters.applied_stream.swap(0, Ordering::SeqCst);
        let at = counters.applied.load(Ordering::SeqCst);
        if of == 0 {
            self.leave_stream(0, self.common());
            tracing::warn!("this copy followed no stream to its end: the other one must be compared with it");
            return self.report(EngineEvent::Fault(RfsFault::LinkDown));
        }
        // Unlike any other: the first was drawn at random.
        let stream = (of ^ at.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        self.bound.complete();
        let common = Common { stream: of, at, sender: false };
        self.leave_stream_for(stream, Some(common), Some(Flow::InStep));
        self.append(0, &Body::Begin { stream, of, at }, None);
    }

    fn keep_failed(&self, answer: Completion) {
        lock(&self.failed).push(answer);
    }

    fn put_gates(&self, state: GateState) {
        for dir in &self.dirs {
            dir.gate.put(state);
        }
    }

    /// Room in the ring below which nobody is admitted any more: what is inside must fit.
    pub(crate) fn reserve(&self) -> usize {
        self.ring.capacity() / 4
    }

    /// Called by those inside the gate: must not wait for who waits until they are out. The next append, or the gate's thread, tries again.
    fn close_when_full(&self) {
        if self.ring.free() >= self.reserve() {
            return;
        }
        let Ok(mut throttle) = self.throttle.try_lock() else { return };
        if matches!(throttle.core, Some(GateState::Open { .. })) && !throttle.full {
            throttle.full = true;
            self.put_gates(GateState::Closed);
        }
    }

    fn open_when_empty(&self) {
        if self.ring.free() < self.ring.capacity() / 2 {
            return;
        }
        let mut throttle = lock(&self.throttle);
        if throttle.full {
            throttle.full = false;
            if let Some(state) = throttle.core {
                self.put_gates(state);
            }
            drop(throttle);
            self.wake_gates();
        }
    }

    fn wake_gates(&self) {
        lock(&self.throttle).serve = true;
        self.throttle_changed.notify_all();
    }

    /// Appends a frame of the stream and sends it. `None`: there was no room, and the stream is over.
    pub(crate) fn append(&self, dir: u16, body: &Body<'_>, mark: Option<&AtomicU64>) -> Option<u64> {
        self.append_of(&self.statistics.replicated, dir, body, mark)
    }

    /// The same for what a synchronisation has to say.
    pub(crate) fn append_of_sync(&self, dir: u16, body: &Body<'_>) -> Option<u64> {
        self.append_of(&self.statistics.reintegrated, dir, body, None)
    }

    fn append_of(&self, bytes: &AtomicU64, dir: u16, body: &Body<'_>, mark: Option<&AtomicU64>) -> Option<u64> {
        let frame = body.encode();
        match self.ring.append(&frame, dir, body.is_fence(), mark) {
            Ok(seq) => {
                bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
                self.out.kick(&self.ring);
                self.close_when_full();
                Some(seq)
            }
            Err(Full) => {
                self.overflow();
                None
            }
        }
    }

    /// Should not happen (the gate closes before); if it does, the other copy can't follow any more.
    fn overflow(&self) {
        self.acks.set_mode(Mode::Hold);
        self.leave_stream(0, self.common());
        tracing::error!("no room for another unacknowledged operation: the other copy must be compared");
        self.report(EngineEvent::Fault(RfsFault::Stalled));
    }

    /// A message of the core, in the order of the stream.
    pub fn send_control(&self, json: &[u8]) {
        self.out.control(&self.ring, json);
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// A number unlike any other: a stream's, a connection's. Never 0.
pub(crate) fn random() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes) | 1)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod beside_tests;
#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod tests;
