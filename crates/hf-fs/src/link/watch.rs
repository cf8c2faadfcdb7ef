//! Threads that look after the link: sending when a socket was full, heartbeats and silence, serving the gates.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hf_replica::engine::EngineEvent;
use hf_wire::frame::Body;

use super::acks::Mode;
use super::traffic::Meter;
use super::{Link, lock};

const TICK: Duration = Duration::from_millis(100);
/// Heartbeats in the time after which silence means that the other end is gone.
const BEATS: u64 = 5;

impl Link {
    pub(super) fn send_loop(self: &Arc<Link>) {
        while !self.is_over() {
            self.out.drain_when_full(&self.ring, TICK);
        }
    }

    /// Serves who waits at gates that were opened, on a thread where nobody waits for it.
    pub(super) fn gate_loop(self: &Arc<Link>) {
        while !self.is_over() {
            let throttle = lock(&self.throttle);
            let (mut throttle, _) = self
                .throttle_changed
                .wait_timeout_while(throttle, TICK, |throttle| !throttle.serve)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let serve = std::mem::take(&mut throttle.serve);
            drop(throttle);
            if serve {
                self.dirs.iter().for_each(|dir| dir.gate.serve_parked());
            }
            self.close_when_full();
            self.open_when_empty();
        }
    }

    pub(super) fn watch_loop(self: &Arc<Link>) {
        let mut beat_ms = 0;
        let mut reported_ms = None;
        let mut hung = None;
        let mut meter = Meter::new(self);
        let silence_ms = self.options.silence.as_millis() as u64;
        while !self.is_over() {
            std::thread::sleep(TICK);
            self.watch_disk(&mut hung);
            meter.tick(self);
            let now = self.now_ms();
            if !self.out.is_open() {
                continue;
            }
            if now.saturating_sub(beat_ms) >= silence_ms / BEATS {
                beat_ms = now;
                self.out.direct(&self.ring, &Body::Heartbeat);
            }
            let silent = now.saturating_sub(self.heard_ms.load(Ordering::SeqCst));
            if silent > silence_ms {
                tracing::warn!(silent_ms = silent, "nothing heard on the replication link");
                self.out.shutdown();
            }
            self.watch_answers(now, &mut reported_ms);
        }
    }

    /// Reports, once for each time that the other node got stuck.
    fn watch_answers(&self, now: u64, reported_ms: &mut Option<u64>) {
        let progress = self.progress_ms.load(Ordering::SeqCst);
        let (_, oldest) = self.acks.waiting();
        let barrier_ms = oldest.map_or(0, |since| since.elapsed().as_millis() as u64);
        let unsent = self.ring.stream() != 0 && self.ring.used() > 0;
        let unanswered_ms = if unsent { now.saturating_sub(progress) } else { 0 };
        let late = unanswered_ms > self.options.send_timeout.as_millis() as u64
            || barrier_ms > self.options.lock_timeout.as_millis() as u64;
        if !late || self.acks.mode() != Mode::Wait {
            *reported_ms = None;
        } else if *reported_ms != Some(progress) {
            *reported_ms = Some(progress);
            self.report(EngineEvent::Unanswered { for_ms: unanswered_ms.max(barrier_ms) });
        }
    }
}
