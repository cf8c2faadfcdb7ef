//! Making connections: listening, connecting, proving, saying hello.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use hf_wire::frame::{Body, FrameError, HEADER_LEN, Header, Hello, Place};
use rustix::net::sockopt;

use super::auth::Limited;
use super::lanes::{LinkLane, Listeners, connect_any};
use super::sealed::{Incoming, Protection, Seal, Sealing};
use super::{Link, Wanted, lock, random};

/// How long between two attempts.
const RETRY: Duration = Duration::from_millis(100);
/// So long after another wish the other node is about to follow it too (the turn of a swap), and is tried more often.
const FRESH: Duration = Duration::from_millis(500);
const FRESH_RETRY: Duration = Duration::from_millis(10);
/// How many connections may be proving themselves at once; when another comes, the oldest goes.
const HALF_OPEN: usize = 4;

/// How long a connection stays on a worse lane before the better ones are tried again.
const RETURN: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 10_000 });
/// A connection that lasted so long was good.
const LASTED: Duration = Duration::from_secs(600);
/// [`RETURN`] is doubled at most so often.
const DOUBLED: u32 = 6;

/// How patiently the better lanes are tried again: one that connects and then doesn't carry is returned to ever more rarely.
#[derive(Default)]
struct Returning {
    disappointed: u32,
}

impl Returning {
    fn wait(&self) -> Duration {
        RETURN * 2u32.pow(self.disappointed)
    }

    fn served(&mut self, lane: usize, lasted: Duration) {
        if lasted >= LASTED {
            self.disappointed = 0;
        } else if lane == 0 {
            self.disappointed = (self.disappointed + 1).min(DOUBLED);
        }
    }
}

/// Connections that prove themselves, and the one that has.
#[derive(Default)]
struct Arrivals {
    proving: VecDeque<Arc<TcpStream>>,
    proven: Option<Begun>,
}

/// A connection whose ends have proven themselves.
struct Begun {
    stream: TcpStream,
    seal: Option<Box<dyn Seal>>,
    bytes: Incoming,
    /// What the other end said, if it was read already.
    hello: Option<Hello>,
    /// Which one it is of those that came; 0: this end made it.
    number: u64,
}

impl Begun {
    fn new(stream: TcpStream, protection: Option<Protection>) -> Begun {
        let (seal, open) = protection.map(|both| (both.seal, both.open)).unzip();
        Begun { stream, seal, bytes: Incoming::new(open), hello: None, number: 0 }
    }
}

/// What a connection begins with.
enum First {
    Hello(Hello),
    Beside(u64),
}

impl Link {
    /// The thread that owns the connection.
    pub(super) fn connections(self: &Arc<Link>) {
        let mut returning = Returning::default();
        let mut last = (Wanted::Nothing, Instant::now());
        loop {
            let wanted = self.wait_for_wish();
            if wanted != last.0 {
                last = (wanted, Instant::now());
            }
            match wanted {
                Wanted::Exit => return,
                Wanted::Listen => self.listen(),
                _ => self.serve_connected(&mut returning),
            }
            let time = if last.1.elapsed() < FRESH { FRESH_RETRY } else { RETRY };
            pause_while(&self.wanted, &self.wanted_changed, wanted, time);
        }
    }

    fn wait_for_wish(&self) -> Wanted {
        let guard = lock(&self.wanted);
        *self
            .wanted_changed
            .wait_while(guard, |wanted| *wanted == Wanted::Nothing)
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_wanted(&self, wanted: Wanted) -> bool {
        *lock(&self.wanted) == wanted
    }

    /// Connects, and serves that connection. One that isn't on the best lane is given up for a better one as soon as that works again.
    fn serve_connected(self: &Arc<Link>, returning: &mut Returning) {
        let mut next = match self.connect(&self.options.lanes.lanes()) {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::debug!(%error, "the other node can't be reached for replication");
                return;
            }
        };
        while let Some((proven, lane)) = next.take() {
            let (began, over) = (Instant::now(), AtomicBool::new(false));
            let wait = returning.wait();
            next = std::thread::scope(|scope| {
                let better = (lane > 0).then(|| scope.spawn(|| self.find_better(lane, wait, &over)));
                self.serve(proven, Wanted::Connect);
                over.store(true, Ordering::SeqCst);
                better.and_then(|better| better.join().ok().flatten())
            });
            returning.served(lane, began.elapsed());
        }
    }

    fn connect(self: &Arc<Link>, lanes: &[LinkLane]) -> io::Result<(Begun, usize)> {
        let (stream, lane) = connect_any(lanes)?;
        let protection = self.auth.initiate(&mut Limited::new(&stream)).map_err(|why| {
            self.statistics.strangers.fetch_add(1, Ordering::Relaxed);
            io::Error::other(why)
        })?;
        self.statistics.lane.store(lane as u64, Ordering::Relaxed);
        tracing::info!(lan = lanes[lane].name, "replication goes over this network");
        Ok((Begun::new(stream, protection), lane))
    }

    /// Tries the lanes before `lane` until one works, then ends the present connection. Not while copies are compared: that would begin anew.
    fn find_better(self: &Arc<Link>, lane: usize, wait: Duration, over: &AtomicBool) -> Option<(Begun, usize)> {
        let mut tried = Instant::now();
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(RETRY);
            if tried.elapsed() < wait || self.bound.is_syncing() || !self.out.is_open() {
                continue;
            }
            tried = Instant::now();
            let lanes = self.options.lanes.lanes();
            let Ok(found) = self.connect(lanes.get(..lane).unwrap_or(&lanes)) else { continue };
            // Seen too late: the present connection ended by itself, and another one is on its way.
            if over.load(Ordering::SeqCst) {
                return None;
            }
            self.out.shutdown();
            return Some(found);
        }
        None
    }

    /// Listens as long as it is wanted; a proven connection is served here, a newer one replaces it (the old one is dead then).
    fn listen(self: &Arc<Link>) {
        let (mut listeners, bell) = match Listeners::new(self.options.lanes.clone()) {
            Ok(both) => both,
            Err(error) => return tracing::warn!(%error, "can't listen for the other node"),
        };
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| self.accept(&mut listeners, &arrivals, &over));
            // A wish of a moment ("nothing", then "listen" again) may be seen by one of the two only: they end together, and all of it begins
            // again.
            while self.is_wanted(Wanted::Listen) && !accepting.is_finished() {
                let proven = lock(&arrivals).proven.take();
                match proven {
                    Some(proven) => self.serve(proven, Wanted::Listen),
                    None => std::thread::sleep(Duration::from_millis(2)),
                }
            }
            over.store(true, Ordering::SeqCst);
            bell.ring();
            if accepting.join().is_err() {
                tracing::error!("the thread that accepts replication connections panicked");
            }
        });
    }

    fn accept(self: &Arc<Link>, listeners: &mut Listeners, arrivals: &Arc<Mutex<Arrivals>>, over: &AtomicBool) {
        while self.is_wanted(Wanted::Listen) && !over.load(Ordering::SeqCst) {
            match listeners.accept() {
                Some((stream, Ok(()))) => self.prove(stream, arrivals),
                Some((_, Err(from))) => {
                    self.statistics.strangers.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%from, "a stranger on the replication port");
                }
                None => {}
            }
        }
    }

    fn prove(self: &Arc<Link>, stream: TcpStream, arrivals: &Arc<Mutex<Arrivals>>) {
        let stream = Arc::new(stream);
        {
            let mut list = lock(arrivals);
            if list.proving.len() >= HALF_OPEN
                && let Some(oldest) = list.proving.pop_front()
            {
                // It may have ended by itself.
                let _ = oldest.shutdown(Shutdown::Both);
            }
            list.proving.push_back(stream.clone());
        }
        let (link, arrivals) = (self.clone(), arrivals.clone());
        let proof = std::thread::Builder::new().name("hf-prove".into()).spawn(move || {
            let mut limited = Limited::new(&stream);
            let first = link.auth.respond(&mut limited).map(|protection| {
                let (seal, open) = protection.map(|both| (both.seal, both.open)).unzip();
                let mut bytes = Incoming::new(open);
                let first = read_first(&mut limited, &mut bytes);
                (seal, bytes, first)
            });
            let mut list = lock(&arrivals);
            list.proving.retain(|other| !Arc::ptr_eq(other, &stream));
            match first {
                Ok((seal, bytes, Ok(First::Hello(hello)))) => {
                    let number = link.arrived.fetch_add(1, Ordering::SeqCst) + 1;
                    let begun = |stream| Begun { stream, seal, bytes, hello: Some(hello), number };
                    list.proven = Arc::into_inner(stream).map(begun);
                    drop(list);
                    // Not this one, which may be served by now.
                    link.out.shutdown_before(number);
                }
                Ok((_, bytes, Ok(First::Beside(token)))) => {
                    drop(list);
                    link.receive_beside(&stream, bytes, token);
                }
                Ok((_, _, Err(error))) => {
                    drop(list);
                    link.failed_at_first(&error);
                }
                Err(why) => {
                    link.statistics.strangers.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%why, "a connection to the replication port didn't prove itself");
                }
            }
        });
        if let Err(error) = proof {
            tracing::warn!(%error, "no thread for a connection to the replication port");
        }
    }

    /// A connection from hello to its end. One that was made for another wish than there is now is none: the roles were turned round in
    /// between, and what was agreed on it before would be about the other direction.
    fn serve(self: &Arc<Link>, begun: Begun, made_for: Wanted) {
        let Begun { stream, mut seal, mut bytes, hello, number } = begun;
        let stream = Arc::new(stream);
        // Only the end that listens lets others beside it. Without a random number (0) there are none, and the link works without them.
        let token = if made_for == Wanted::Listen { random().unwrap_or_default() } else { 0 };
        self.beside.begin(token);
        let peer = match self.set_up(&stream, seal.as_deref_mut(), &mut bytes, hello, token) {
            Ok(peer) => peer,
            Err(error) => return self.failed_at_first(&error),
        };
        lock(&self.refused).take();
        self.statistics.connections.fetch_add(1, Ordering::Relaxed);
        self.heard_ms.store(self.now_ms(), Ordering::SeqCst);
        self.progress_ms.store(self.now_ms(), Ordering::SeqCst);
        self.set_peer_common(None);
        let resume = {
            // Not between the two steps of hanging up.
            let wanted = lock(&self.wanted);
            if *wanted != made_for {
                return;
            }
            self.cut.store(false, Ordering::SeqCst);
            self.out.open((stream.clone(), number), seal.map(Sealing::new), || self.resume_at(&peer))
        };
        self.resumable.store(resume.is_some(), Ordering::SeqCst);
        if number != 0 && self.arrived.load(Ordering::SeqCst) != number {
            // A newer one came before this one could be ended.
            self.out.shutdown();
        }
        if resume.is_some() && peer.applied_stream == self.ring.stream() {
            self.acks.advance(peer.applied, 0);
        }
        self.report(EngineEvent::LinkUp);
        self.connect_beside(&stream, peer.beside);
        if self.options.async_second.get() {
            let counters = self.ring.counters();
            counters.own_fulfilled.fetch_max(counters.applied.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        self.out.acknowledge(&self.ring);
        let why = self.receive(&stream, bytes);
        self.out.close();
        self.beside.begin(0);
        self.replies.hang_up();
        self.end_checks();
        if self.bound.is_syncing() {
            self.bound.close();
            self.leave_stream(0, self.common());
        }
        self.report(EngineEvent::LinkDown { why });
    }

    fn failed_at_first(&self, error: &io::Error) {
        tracing::warn!(%error, "the replication connection failed at its beginning");
        self.tell_refused(error);
    }

    /// Connections are tried again all the time; what the other node speaks stays the same until somebody installs something.
    fn tell_refused(&self, error: &io::Error) {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<FrameError>());
        if !matches!(cause, Some(FrameError::Version(_))) {
            return;
        }
        let why = error.to_string();
        let mut told = lock(&self.refused);
        if told.as_ref() != Some(&why) {
            *told = Some(why.clone());
            drop(told);
            self.report(EngineEvent::LinkRefused { why });
        }
    }

    fn set_up(
        &self,
        stream: &TcpStream,
        seal: Option<&mut (dyn Seal + 'static)>,
        bytes: &mut Incoming,
        said: Option<Hello>,
        beside: u64,
    ) -> io::Result<Hello> {
        let counters = self.ring.counters();
        let hello = Hello {
            stream: self.ring.stream(),
            last: self.ring.last(),
            applied_stream: counters.applied_stream.load(Ordering::SeqCst),
            applied: counters.applied.load(Ordering::SeqCst),
            beside,
        };
        let mut limited = Limited::new(stream);
        let hello = Body::Hello(hello).encode().to_vec(Place::default());
        limited.write_all(&match seal {
            Some(seal) => Sealing::message(seal, &hello),
            None => hello,
        })?;
        let peer = match said.map_or_else(|| read_first(&mut limited, bytes), |hello| Ok(First::Hello(hello)))? {
            First::Hello(hello) => hello,
            First::Beside(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "instead of a hello: a connection beside none"));
            }
        };
        self.prepare(stream)?;
        Ok(peer)
    }

    /// As long as it stands.
    pub(super) fn prepare(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        sockopt::set_tcp_user_timeout(stream, self.options.send_timeout.as_millis().min(u32::MAX as u128) as u32)?;
        sockopt::set_socket_keepalive(stream, true)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)
    }

    /// From where our stream goes on, `None` if it can't. What the other node applied is received by that.
    fn resume_at(&self, peer: &Hello) -> Option<u64> {
        if self.flow() == super::Flow::Following {
            return None;
        }
        if peer.applied_stream == 0 || peer.applied_stream != self.ring.stream() {
            return self.ring.untouched();
        }
        let position = self.ring.position_after(peer.applied)?;
        self.ring.release(peer.applied, position);
        self.ring.counters().received.fetch_max(peer.applied, Ordering::SeqCst);
        Some(position)
    }
}

/// Before `served` is tried again; another wish is followed at once.
fn pause_while(wanted: &Mutex<Wanted>, changed: &Condvar, served: Wanted, time: Duration) {
    // Only a pause: whether it was ended early doesn't matter.
    let _ = changed.wait_timeout_while(lock(wanted), time, |wanted| *wanted == served);
}

fn read_first(stream: &mut Limited<'_>, bytes: &mut Incoming) -> io::Result<First> {
    let bad = |error: FrameError| io::Error::new(io::ErrorKind::InvalidData, error);
    let sealed = bytes.first(stream)?;
    // Sealed, it comes as one record.
    let mut sealed = sealed.as_deref();
    let stream: &mut dyn Read = match &mut sealed {
        Some(record) => record,
        None => stream,
    };
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head)?;
    let header = Header::decode(&head).map_err(bad)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut payload = vec![0; header.payload_len()];
    stream.read_exact(&mut payload)?;
    match Body::decode(&header, &payload).map_err(bad)? {
        Body::Hello(hello) => Ok(First::Hello(hello)),
        Body::Beside { token } => Ok(First::Beside(token)),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("instead of a hello: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_changed_meanwhile_is_followed_at_once() {
        let (wanted, changed) = (Mutex::new(Wanted::Connect), Condvar::new());
        let (began, hour) = (Instant::now(), Duration::from_secs(3600));
        // It listened until just now.
        pause_while(&wanted, &changed, Wanted::Listen, hour);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *lock(&wanted) = Wanted::Exit;
                changed.notify_all();
            });
            pause_while(&wanted, &changed, Wanted::Connect, hour);
        });
        assert!(began.elapsed() < hour);
        pause_while(&wanted, &changed, Wanted::Exit, Duration::from_millis(1));
    }
}
