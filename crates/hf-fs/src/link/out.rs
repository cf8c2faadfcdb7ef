//! The sending half of a connection.
//!
//! Nobody waits for the network here: who has something to send tries the lock; the one who gets it sends for everybody, straight
//! from the ring, without blocking. When the socket is full the sending thread goes on once there is room.
//!
//! Three kinds of bytes meet only between whole frames: an acknowledgement (always the newest), frames of the connection, and the
//! stream. Control messages keep their place in the stream: they go out when everything appended before them has.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use hf_wire::frame::{Ack, Body, Place};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::SendFlags;

use super::Flow;
use super::beside::{LONG, Sender};
use super::ring::Ring;
use super::sealed::Sealing;

/// See the module.
#[derive(Default)]
pub struct Out {
    state: Mutex<State>,
    wanted: AtomicBool,
    ack_wanted: AtomicBool,
    full: Mutex<bool>,
    full_changed: Condvar,
    /// The connection was ended.
    shut: AtomicBool,
    /// Bytes sent since the process began, for measuring.
    pub bytes: AtomicU64,
    /// System calls for them.
    pub calls: AtomicU64,
}

#[derive(Default)]
struct State {
    socket: Option<Arc<TcpStream>>,
    /// Which one it is of those that came; 0: this end made it.
    number: u64,
    /// None: nothing is sealed.
    sealing: Option<Sealing>,
    /// The other node goes on with this stream: send it.
    streaming: bool,
    /// Everything before this position of the ring was sent.
    sent: u64,
    /// A frame ends here, and up to here the ring must be sent before anything else.
    commit: u64,
    partial: Option<(Vec<u8>, usize)>,
    direct: VecDeque<Vec<u8>>,
    /// With the position of the ring that must be reached before.
    control: VecDeque<(u64, Vec<u8>)>,
    full: bool,
    /// Connections that carry long frames.
    beside: Vec<Arc<Sender>>,
}

impl State {
    /// What the ring must keep: everything from here on may be read.
    fn reads_from(&self) -> u64 {
        self.beside.iter().filter_map(|sender| sender.reads_from()).fold(self.sent, u64::min)
    }

    fn end_beside(&mut self) {
        self.beside.drain(..).for_each(|sender| sender.end());
    }
}

enum Sent {
    Everything,
    SocketFull,
}

impl Out {
    /// A connection stands. `resume` says the position from which the other node goes on with our stream, none if it doesn't: asked for
    /// under the lock under which streams begin ([`Out::restart`]), so that none begins between the answer and the connection. Returns it.
    pub(super) fn open(
        &self,
        (socket, number): (Arc<TcpStream>, u64),
        sealing: Option<Sealing>,
        resume: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let mut state = self.lock();
        let resume = resume();
        let at = resume.unwrap_or(0);
        let streaming = resume.is_some();
        state.end_beside();
        self.shut.store(false, Ordering::SeqCst);
        *state = State { socket: Some(socket), number, sealing, streaming, sent: at, commit: at, ..State::default() };
        resume
    }

    /// The connection is gone; what wasn't sent of its own frames is dropped.
    pub fn close(&self) {
        let mut state = self.lock();
        state.end_beside();
        *state = State::default();
    }

    /// Another connection carries long frames beside `main`; false if that isn't the present one any more.
    pub(super) fn add_beside(&self, main: &Arc<TcpStream>, sender: &Arc<Sender>) -> bool {
        let mut state = self.lock();
        let present = state.socket.as_ref().is_some_and(|socket| Arc::ptr_eq(socket, main));
        if present {
            state.beside.push(sender.clone());
        }
        present
    }

    /// What it was to carry is missing there: this connection ends, too.
    pub(super) fn lost_beside(&self, sender: &Arc<Sender>) {
        let is_ours = self.lock().beside.iter().any(|other| Arc::ptr_eq(other, sender));
        if is_ours {
            self.shutdown();
        }
    }

    #[cfg(test)]
    pub(super) fn lose_one(&self) {
        let sender = self.lock().beside.last().cloned();
        sender.expect("one that can be lost").end();
    }

    /// How many connections there are beside this one.
    pub fn beside(&self) -> usize {
        self.lock().beside.len()
    }

    /// Ends the connection; its receiver notices and calls [`Out::close`].
    pub fn shutdown(&self) {
        self.end(&self.lock());
    }

    /// The same, if it came before this one.
    pub(super) fn shutdown_before(&self, number: u64) {
        let state = self.lock();
        if state.number < number {
            self.end(&state);
        }
    }

    fn end(&self, state: &State) {
        self.shut.store(true, Ordering::SeqCst);
        if let Some(socket) = &state.socket {
            // It may be closed by the other side already; either way it ends.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Was the present connection ended, though its receiver may not have noticed yet?
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    /// Is there a connection?
    pub fn is_open(&self) -> bool {
        self.lock().socket.is_some()
    }

    /// Up to where the ring was sent on this connection.
    pub fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// Begins another stream on this connection (if there is one), or on the next one; what the ring held is dropped: says which files that
    /// was about. `flow` holds from then on, if it is given: a connection that is made meanwhile sees neither without the other.
    pub fn restart(&self, ring: &Ring, stream: u64, flow: Option<Flow>) -> HashSet<(u16, u64)> {
        let mut state = self.lock();
        if state.beside.iter().any(|sender| sender.reads_from().is_some()) {
            // What was to come beside is dropped with the rest: the next connection begins the other stream.
            state.end_beside();
            if let Some(socket) = &state.socket {
                // As in `shutdown`.
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        if state.streaming && state.sent < state.commit {
            // The other node has half a frame.
            debug_assert!(state.partial.is_none());
            state.partial = Some((ring.bytes(state.sent, state.commit).to_vec(), 0));
        }
        let dropped = ring.restart(stream);
        if let Some(flow) = flow {
            ring.counters().flow.store(flow as u64, Ordering::SeqCst);
        }
        state.streaming = state.socket.is_some() && stream != 0;
        state.sent = ring.head();
        state.commit = state.sent;
        dropped
    }

    /// Frees what the other node received.
    pub fn release(&self, ring: &Ring, seq: u64) {
        let state = self.lock();
        if state.streaming {
            ring.release(seq, state.reads_from());
        }
    }

    /// Queues a frame of the connection; dropped if there is none.
    pub fn direct(&self, ring: &Ring, body: &Body<'_>) {
        let mut state = self.lock();
        if state.socket.is_some() {
            state.direct.push_back(body.encode().to_vec(Place::default()));
        }
        drop(state);
        self.kick(ring);
    }

    /// Queues a message of the core, after everything appended so far; dropped if there is no connection.
    pub fn control(&self, ring: &Ring, json: &[u8]) {
        let mut state = self.lock();
        if state.socket.is_some() {
            let position = if state.streaming { ring.head() } else { 0 };
            state.control.push_back((position, Body::Control { json }.encode().to_vec(Place::default())));
        }
        drop(state);
        self.kick(ring);
    }

    /// Sends the newest acknowledgement.
    pub fn acknowledge(&self, ring: &Ring) {
        self.ack_wanted.store(true, Ordering::SeqCst);
        self.kick(ring);
    }

    /// Sends what there is to send, unless somebody else is doing so: that one looks again.
    pub fn kick(&self, ring: &Ring) {
        self.wanted.store(true, Ordering::SeqCst);
        while self.wanted.load(Ordering::SeqCst) {
            let Ok(mut state) = self.state.try_lock() else { return };
            self.wanted.store(false, Ordering::SeqCst);
            if state.full {
                return;
            }
            self.push_or_hand_over(&mut state, ring);
        }
    }

    /// For the sending thread: waits until a socket was full (at most `limit`), then until it has room, then goes on.
    pub fn drain_when_full(&self, ring: &Ring, limit: Duration) {
        let guard = self.full.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (mut guard, _) = self
            .full_changed
            .wait_timeout_while(guard, limit, |full| !*full)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if !std::mem::take(&mut *guard) {
            return;
        }
        drop(guard);
        let socket = self.lock().socket.clone();
        if let Some(socket) = socket {
            wait_for_room(&socket);
        }
        let mut state = self.lock();
        state.full = false;
        self.push_or_hand_over(&mut state, ring);
        drop(state);
        self.kick(ring);
    }

    fn push_or_hand_over(&self, state: &mut State, ring: &Ring) {
        match self.push(state, ring) {
            Ok(Sent::Everything) => {}
            Ok(Sent::SocketFull) => {
                state.full = true;
                *self.full.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
                self.full_changed.notify_one();
            }
            Err(error) => {
                tracing::debug!(%error, "sending on the replication link failed");
                if let Some(socket) = &state.socket {
                    // The receiver notices and reports; an error here means that it is closed already.
                    let _ = socket.shutdown(std::net::Shutdown::Both);
                }
            }
        }
    }

    fn push(&self, state: &mut State, ring: &Ring) -> io::Result<Sent> {
        let Some(socket) = state.socket.clone() else { return Ok(Sent::Everything) };
        loop {
            if let Some(sealing) = &mut state.sealing
                && !self.flush(&socket, sealing)?
            {
                return Ok(Sent::SocketFull);
            }
            if let Some((bytes, done)) = &mut state.partial {
                match self.give(&socket, &mut state.sealing, &bytes[*done..])? {
                    None => return Ok(Sent::SocketFull),
                    Some(n) => *done += n,
                }
                if *done == bytes.len() {
                    state.partial = None;
                }
                continue;
            }
            if state.sent < state.commit {
                match self.give(&socket, &mut state.sealing, ring.bytes(state.sent, state.commit))? {
                    None => return Ok(Sent::SocketFull),
                    Some(n) => state.sent += n as u64,
                }
                continue;
            }
            if !self.next(state, ring) {
                return Ok(Sent::Everything);
            }
        }
    }

    /// Between frames: chooses what comes next. False when there is nothing.
    fn next(&self, state: &mut State, ring: &Ring) -> bool {
        if self.ack_wanted.swap(false, Ordering::SeqCst) {
            state.partial = Some((Body::Ack(newest(ring)).encode().to_vec(Place::default()), 0));
        } else if let Some(frame) = state.direct.pop_front() {
            state.partial = Some((frame, 0));
        } else if state.control.front().is_some_and(|(position, _)| *position <= state.sent || !state.streaming) {
            state.partial = state.control.pop_front().map(|(_, frame)| (frame, 0));
        } else if state.streaming {
            let head = ring.head();
            let limit = state.control.front().map_or(head, |(position, _)| head.min(*position));
            return Self::next_of_stream(state, ring, limit);
        } else {
            return false;
        }
        true
    }

    /// Frames up to `limit`: short ones here, a long one beside if somebody has room for it.
    fn next_of_stream(state: &mut State, ring: &Ring, limit: u64) -> bool {
        state.commit = limit;
        if !state.beside.is_empty()
            && let Some((from, seq, len)) = ring.first_long(state.sent, limit, LONG)
        {
            state.commit = from;
            if from == state.sent {
                state.commit = from + len;
                if state.beside.iter().any(|sender| sender.offer(from, from + len)) {
                    state.sent = state.commit;
                    state.partial = Some((Body::Elsewhere { seq }.encode().to_vec(Place::default()), 0));
                    return true;
                }
            }
        }
        state.sent < state.commit
    }

    /// Sends the beginning of `bytes`, or seals it for [`Out::flush`]; how much. None: the socket is full.
    fn give(&self, socket: &TcpStream, sealing: &mut Option<Sealing>, bytes: &[u8]) -> io::Result<Option<usize>> {
        match sealing {
            None => self.send(socket, bytes),
            Some(sealing) => Ok(Some(sealing.take(bytes))),
        }
    }

    /// Sends what is sealed; false if the socket is full before the end.
    fn flush(&self, socket: &TcpStream, sealing: &mut Sealing) -> io::Result<bool> {
        while !sealing.waiting().is_empty() {
            match self.send(socket, sealing.waiting())? {
                None => return Ok(false),
                Some(bytes) => sealing.sent(bytes),
            }
        }
        Ok(true)
    }

    fn send(&self, socket: &TcpStream, bytes: &[u8]) -> io::Result<Option<usize>> {
        loop {
            self.calls.fetch_add(1, Ordering::Relaxed);
            match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => {
                    self.bytes.fetch_add(n as u64, Ordering::Relaxed);
                    return Ok(Some(n));
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn newest(ring: &Ring) -> Ack {
    let counters = ring.counters();
    // Durable and fulfilled first: each is at most what is read after it.
    let durable = counters.own_durable.load(Ordering::SeqCst);
    let fulfilled = counters.own_fulfilled.load(Ordering::SeqCst);
    let received = counters.applied.load(Ordering::SeqCst);
    Ack { stream: counters.applied_stream.load(Ordering::SeqCst), received, fulfilled, durable }
}

fn wait_for_room(socket: &TcpStream) {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
    // An error or nothing for a second: the sender tries, and fails or waits again.
    let _ = rustix::event::poll(&mut fds, Some(&limit));
    let _ = socket.as_fd();
}
