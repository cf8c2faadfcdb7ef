//! Connections beside the one of the link (`nbremconn`, docs/design/0014-connections-beside.md): they carry nothing but long frames of the stream.
//!
//! The link's own connection says everything in its order; in the place of a frame that goes beside it says which one that is
//! ([`Body::Elsewhere`]), and the receiver waits for it there. So nothing is ever applied out of order, whatever comes first. Whoever loses one
//! of these connections ends the link's own: the next one goes on after the last frame that was applied, with as many beside it as can be made.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hf_wire::frame::{Body, HEADER_LEN, Header, PAYLOAD_MAX, Place};

use super::auth::Limited;
use super::lanes::{LinkLane, connect_any};
use super::ring::Ring;
use super::sealed::{Incoming, Sealing};
use super::{Link, lock};

/// Payloads from this length on go beside.
pub(super) const LONG: usize = 64 << 10;
/// Frames that wait for one connection at most: the one of the link carries what the others have no room for.
const WAITING: usize = 2;
/// What is copied out of the ring in one go.
const CHUNK: usize = 256 << 10;
/// Connections beside that are accepted, and made, at most.
pub(super) const MOST: usize = 63;
const TICK: Duration = Duration::from_millis(50);

/// The sending end of one.
pub(super) struct Sender {
    socket: Arc<TcpStream>,
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// From where to where in the ring.
    frames: VecDeque<(u64, u64)>,
    over: bool,
}

impl Sender {
    fn new(socket: Arc<TcpStream>) -> Sender {
        Sender { socket, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Takes the frame between two positions of the ring, if there is room.
    pub(super) fn offer(&self, from: u64, to: u64) -> bool {
        let mut state = lock(&self.state);
        let takes = !state.over && state.frames.len() < WAITING;
        if takes {
            state.frames.push_back((from, to));
            self.changed.notify_one();
        }
        takes
    }

    /// The position of the ring that is read next; everything before it isn't needed any more.
    pub(super) fn reads_from(&self) -> Option<u64> {
        lock(&self.state).frames.front().map(|(from, _)| *from)
    }

    /// Nothing is read or sent after this returned.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.over = true;
        state.frames.clear();
        drop(state);
        self.changed.notify_one();
        // It may be closed by the other side already; either way it ends.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The next bytes; none when it is over.
    fn next(&self, ring: &Ring, buffer: &mut Vec<u8>) -> Option<()> {
        let state = lock(&self.state);
        let mut state = self
            .changed
            .wait_while(state, |state| state.frames.is_empty() && !state.over)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let (from, to) = state.frames.front_mut().map(|frame| (&mut frame.0, frame.1))?;
        let end = to.min(*from + CHUNK as u64);
        buffer.clear();
        // Under the lock: who frees or drops what is in the ring asks for it first.
        buffer.extend_from_slice(ring.bytes(*from, end));
        *from = end;
        if end == to {
            state.frames.pop_front();
        }
        Some(())
    }

    fn run(&self, link: &Link, mut sealing: Option<Sealing>) {
        let mut buffer = Vec::with_capacity(CHUNK);
        while self.next(&link.ring, &mut buffer).is_some() {
            if let Err(error) = self.send(&buffer, sealing.as_mut()) {
                tracing::debug!(%error, "sending beside the replication link failed");
                break;
            }
            link.out.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        }
        self.end();
    }

    fn send(&self, bytes: &[u8], sealing: Option<&mut Sealing>) -> io::Result<()> {
        let Some(sealing) = sealing else { return (&*self.socket).write_all(bytes) };
        let mut taken = 0;
        while taken < bytes.len() {
            taken += sealing.take(&bytes[taken..]);
            let waiting = sealing.waiting();
            (&*self.socket).write_all(waiting)?;
            let len = waiting.len();
            sealing.sent(len);
        }
        Ok(())
    }
}

/// What came beside, on the receiving end.
#[derive(Default)]
pub struct Beside {
    came: Mutex<Came>,
    changed: Condvar,
}

#[derive(Default)]
struct Came {
    /// Of the link's present connection; 0: none that may have others beside it.
    token: u64,
    sockets: Vec<Arc<TcpStream>>,
    frames: HashMap<u64, (Header, Vec<u8>)>,
    lost: bool,
}

impl Beside {
    /// Another connection of the link begins; those beside the one before end. 0: it gets none.
    pub(super) fn begin(&self, token: u64) {
        let before = std::mem::replace(&mut *lock(&self.came), Came { token, ..Came::default() });
        for socket in before.sockets {
            // As above.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.came).sockets.len()
    }

    #[cfg(test)]
    pub(super) fn lose_one(&self) {
        let socket = lock(&self.came).sockets.pop().expect("one that can be lost");
        socket.shutdown(Shutdown::Both).unwrap();
    }

    fn join(&self, token: u64, socket: &Arc<TcpStream>) -> bool {
        let mut came = lock(&self.came);
        let welcome = token != 0 && came.token == token && came.sockets.len() < MOST;
        if welcome {
            came.sockets.push(socket.clone());
        }
        welcome
    }

    fn put(&self, token: u64, header: Header, payload: &[u8]) {
        let mut came = lock(&self.came);
        if came.token == token {
            came.frames.insert(header.place().seq, (header, payload.to_vec()));
            self.changed.notify_all();
        }
    }

    fn lose(&self, token: u64) -> bool {
        let mut came = lock(&self.came);
        came.lost |= came.token == token;
        self.changed.notify_all();
        came.token == token
    }

    fn take(&self, seq: u64) -> Result<Option<(Header, Vec<u8>)>, String> {
        let came = lock(&self.came);
        let (mut came, _) = self
            .changed
            .wait_timeout_while(came, TICK, |came| !came.frames.contains_key(&seq) && !came.lost)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match came.frames.remove(&seq) {
            Some(frame) => Ok(Some(frame)),
            None if came.lost => Err("a connection beside the replication link broke".into()),
            None => Ok(None),
        }
    }
}

impl Link {
    /// Makes the connections that are to be beside `main`, one after the other: the other end lets only a few prove themselves at once.
    pub(super) fn connect_beside(self: &Arc<Link>, main: &Arc<TcpStream>, token: u64) {
        let more = (self.options.tuning.connections() as usize - 1).min(MOST);
        if more == 0 || token == 0 {
            return;
        }
        let (link, main) = (self.clone(), main.clone());
        let connecting = std::thread::Builder::new().name("hf-beside".into()).spawn(move || {
            for _ in 0..more {
                if let Err(error) = link.connect_one(&main, token) {
                    tracing::warn!(%error, "fewer connections beside the replication link than asked for (nbremconn)");
                    return;
                }
            }
        });
        if let Err(error) = connecting {
            tracing::warn!(%error, "no thread for the connections beside the replication link");
        }
    }

    pub(super) fn connect_one(self: &Arc<Link>, main: &Arc<TcpStream>, token: u64) -> io::Result<()> {
        let local = SocketAddr::new(main.local_addr()?.ip(), 0);
        let (socket, _) = connect_any(&[LinkLane { name: String::new(), local, peer: main.peer_addr()? }])?;
        let mut limited = Limited::new(&socket);
        let protection = self.auth.initiate(&mut limited).map_err(io::Error::other)?;
        let mut seal = protection.map(|both| both.seal);
        let word = Body::Beside { token }.encode().to_vec(Place::default());
        limited.write_all(&match seal.as_deref_mut() {
            Some(seal) => Sealing::message(seal, &word),
            None => word,
        })?;
        self.prepare(&socket)?;
        let sender = Arc::new(Sender::new(Arc::new(socket)));
        if !self.out.add_beside(main, &sender) {
            return Ok(());
        }
        let link = self.clone();
        let run = move || {
            sender.run(&link, seal.map(Sealing::new));
            link.out.lost_beside(&sender);
        };
        std::thread::Builder::new().name("hf-beside".into()).spawn(run).map(drop)
    }

    /// Receives what comes over a connection beside the link's, until either ends.
    pub(super) fn receive_beside(&self, socket: &Arc<TcpStream>, mut bytes: Incoming, token: u64) {
        if self.prepare(socket).is_err() || !self.beside.join(token, socket) {
            tracing::debug!("a connection beside one that is over");
            return;
        }
        let why = self.frames_beside(socket, &mut bytes, token);
        if self.beside.lose(token) {
            tracing::debug!(why, "a connection beside the replication link ended");
            self.out.shutdown();
        }
    }

    fn frames_beside(&self, socket: &TcpStream, bytes: &mut Incoming, token: u64) -> String {
        let mut buffer = vec![0; 2 * (PAYLOAD_MAX + HEADER_LEN)];
        let (mut begin, mut end) = (0, 0);
        loop {
            match bytes.receive(socket, &mut buffer[end..]) {
                Ok(0) => return "the other side closed it".into(),
                Ok(n) => {
                    self.statistics.received.fetch_add(n as u64, Ordering::Relaxed);
                    end += n;
                }
                Err(why) => return why,
            }
            self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
            loop {
                let header = match Header::decode(&buffer[begin..end]) {
                    Ok(Some(header)) if begin + header.frame_len() <= end => header,
                    Ok(_) => break,
                    Err(error) => return error.to_string(),
                };
                self.beside.put(token, header, &buffer[begin + HEADER_LEN..begin + header.frame_len()]);
                begin += header.frame_len();
            }
            buffer.copy_within(begin..end, 0);
            (begin, end) = (0, end - begin);
        }
    }

    /// The frame `seq` of the stream, which comes beside.
    pub(super) fn frame_beside(&self, seq: u64) -> Result<(Header, Vec<u8>), String> {
        loop {
            if self.cut.load(Ordering::SeqCst) {
                return Err("hung up".into());
            }
            if self.out.is_shut() {
                return Err("the connection was ended".into());
            }
            if let Some(frame) = self.beside.take(seq)? {
                return Ok(frame);
            }
        }
    }
}
