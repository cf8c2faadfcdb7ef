//! Making things durable: barriers of the other node (`async="none"`), in groups and never in the applier's way; and everything,
//! regularly. On the primary that is what applications wrote and didn't sync themselves.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use hf_types::{RfsFault, Seq};
use hf_wire::frame::Body;

use super::{Flow, Link, lock};
use crate::pipeline::FileId;

/// How often a copy that follows is made durable.
const FOLLOWER: Duration = Duration::from_secs(1);
/// The primary's own: accepted writes are durable within 5 s (P1), of which syncing may take one.
pub const ACCEPTED: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(100);

/// Barriers that wait for their sync.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Vec<(u64, u16, FileId)>>,
    changed: Condvar,
}

impl Queue {
    pub(super) fn push(&self, seq: u64, dir: u16, id: FileId) {
        lock(&self.waiting).push((seq, dir, id));
        self.changed.notify_one();
    }

    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }
}

impl Link {
    /// One group after the other: whatever came while a group was synced is the next.
    pub(super) fn barrier_loop(self: &Arc<Link>) {
        while !self.is_over() {
            let waiting = lock(&self.durable.waiting);
            let (mut waiting, _) = self
                .durable
                .changed
                .wait_timeout_while(waiting, Duration::from_millis(500), |waiting| {
                    waiting.is_empty() && !self.is_over()
                })
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let group = std::mem::take(&mut *waiting);
            drop(waiting);
            if let Some((newest, ..)) = group.last() {
                self.fulfil(*newest, &group);
            }
        }
    }

    fn fulfil(&self, newest: u64, group: &[(u64, u16, FileId)]) {
        let files: HashSet<_> = group.iter().map(|(_, dir, id)| (*dir, *id)).collect();
        for (dir, id) in files {
            if let Err(error) = self.sync_file(dir, id) {
                self.local_fault("fdatasync", &error);
                return;
            }
        }
        self.ring.counters().own_fulfilled.fetch_max(newest, Ordering::SeqCst);
        self.out.acknowledge(&self.ring);
    }

    fn sync_file(&self, dir: u16, id: FileId) -> io::Result<()> {
        let backing = &self.dirs[usize::from(dir)].backing;
        match backing.sync(id, true) {
            // It lost its last name meanwhile: only the names are left to be made durable.
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => backing.sync_names(),
            other => other,
        }
    }

    /// What nobody waits for: the durable watermark of a copy that follows, and what was accepted here.
    pub(super) fn durable_loop(self: &Arc<Link>) {
        let accepted = self.options.accepted_durable;
        let (mut followed, mut accepted_at) = (Instant::now(), Instant::now());
        while !self.is_over() {
            std::thread::sleep(TICK.min(accepted));
            let now = Instant::now();
            if now - followed >= FOLLOWER {
                followed = now;
                self.advance_watermark();
            }
            if now - accepted_at >= accepted {
                accepted_at = now;
                if !self.is_following() {
                    self.sync_accepted();
                }
            }
        }
    }

    /// A copy that fell out isn't one: what is left of its stream counts as accepted here.
    fn is_following(&self) -> bool {
        self.flow() == Flow::Following && self.ring.counters().applied_stream.load(Ordering::SeqCst) != 0
    }

    /// The durable watermark, apart from acknowledgements. Never again after a sync of this stream failed.
    fn advance_watermark(&self) {
        let counters = self.ring.counters();
        let stream = counters.applied_stream.load(Ordering::SeqCst);
        let applied = counters.applied.load(Ordering::SeqCst);
        if stream == 0 || counters.own_durable.load(Ordering::SeqCst) >= applied || !self.sync_everything() {
            return;
        }
        if counters.applied_stream.load(Ordering::SeqCst) != stream {
            return;
        }
        counters.own_durable.fetch_max(applied, Ordering::SeqCst);
        // Also barriers that a process of ours took and died before it synced for them.
        counters.own_fulfilled.fetch_max(applied, Ordering::SeqCst);
        self.out.acknowledge(&self.ring);
    }

    /// Makes durable what applications changed here and didn't sync (P1). An error is reported as any failure of this disk (P11); what failed isn't tried again.
    pub(super) fn sync_accepted(&self) {
        for dir in &self.dirs {
            if let Err(error) = dir.backing.sync_changed() {
                self.local_fault("making accepted data durable", &error);
            }
        }
    }

    /// False (and a fault was reported) when this disk failed.
    pub(crate) fn sync_everything(&self) -> bool {
        for dir in &self.dirs {
            if let Err(error) = dir.backing.sync_all() {
                self.local_fault("syncfs", &error);
                return false;
            }
        }
        true
    }

    /// With a good copy on the other node nothing is acknowledged here any more, and it takes over (P11). Is there one?
    pub(super) fn stop_acknowledging(&self) -> bool {
        self.acks.hold_if_waiting()
    }

    /// This node's disk failed under something that nobody asked for just now.
    pub(crate) fn local_fault(&self, call: &str, error: &io::Error) {
        self.stop_acknowledging();
        if self.is_following() {
            // The primary shall not find out by a silence, and shall know why.
            let seq = self.ring.counters().applied.load(Ordering::SeqCst);
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            self.out.direct(&self.ring, &Body::Fault { seq, errno, text: &format!("{call}: {error}") });
        }
        self.break_received();
        self.distrust_disk();
        self.report(EngineEvent::Fault(RfsFault::LocalDisk(format!("{call}: {error}"))));
    }

    pub(super) fn note_watermark(&self, durable: u64) {
        let before = self.ring.counters().peer_durable.fetch_max(durable, Ordering::SeqCst);
        if durable > before {
            self.report(EngineEvent::Watermark { seq: Seq(durable) });
        }
    }
}
