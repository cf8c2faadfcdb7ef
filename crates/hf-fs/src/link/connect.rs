//! Making connections: listening, connecting, proving, saying hello.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hf_replica::engine::EngineEvent;
use hf_wire::frame::{Body, HEADER_LEN, Header, Hello, Place};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::auth::Limited;
use super::{Link, Wanted, lock};

/// How long between two attempts.
const RETRY: Duration = Duration::from_millis(100);
/// How many connections may be proving themselves at once; when another comes, the oldest goes.
const HALF_OPEN: usize = 4;

/// Connections that prove themselves, and the one that has.
#[derive(Default)]
struct Arrivals {
    proving: VecDeque<Arc<TcpStream>>,
    proven: Option<TcpStream>,
}

impl Link {
    /// The thread that owns the connection.
    pub(super) fn connections(self: &Arc<Link>) {
        loop {
            let wanted = self.wait_for_wish();
            match wanted {
                Wanted::Exit => return,
                Wanted::Listen => self.listen(),
                _ => match self.connect() {
                    Ok(stream) => self.serve(stream),
                    Err(error) => tracing::debug!(%error, "the other node can't be reached for replication"),
                },
            }
            self.pause();
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

    fn pause(&self) {
        let guard = lock(&self.wanted);
        let before = *guard;
        // Only a pause: whether it was ended early doesn't matter.
        let _ = self.wanted_changed.wait_timeout_while(guard, RETRY, |wanted| *wanted == before);
    }

    fn connect(self: &Arc<Link>) -> io::Result<TcpStream> {
        let stream = connect_from(self.options.local, self.options.peer)?;
        self.auth.initiate(&mut Limited::new(&stream)).map_err(|why| {
            self.statistics.strangers.fetch_add(1, Ordering::Relaxed);
            io::Error::other(why)
        })?;
        Ok(stream)
    }

    /// Listens as long as it is wanted; a proven connection is served here, a newer one replaces it (the old one is dead then).
    fn listen(self: &Arc<Link>) {
        let listener = match listen_on(self.options.local) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, address = %self.options.local, "can't listen for the other node");
                return;
            }
        };
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| self.accept(&listener, &arrivals, &over));
            // A wish of a moment ("nothing", then "listen" again) may be seen by one of the two only: they end together, and all of it begins
            // again.
            while self.is_wanted(Wanted::Listen) && !accepting.is_finished() {
                let proven = lock(&arrivals).proven.take();
                match proven {
                    Some(stream) => self.serve(stream),
                    None => std::thread::sleep(Duration::from_millis(2)),
                }
            }
            over.store(true, Ordering::SeqCst);
            if accepting.join().is_err() {
                tracing::error!("the thread that accepts replication connections panicked");
            }
        });
    }

    fn accept(self: &Arc<Link>, listener: &TcpListener, arrivals: &Arc<Mutex<Arrivals>>, over: &AtomicBool) {
        while self.is_wanted(Wanted::Listen) && !over.load(Ordering::SeqCst) {
            if !wait_readable(listener) {
                continue;
            }
            match listener.accept() {
                Ok((stream, from)) if from.ip() == self.options.peer.ip() => self.prove(stream, arrivals),
                Ok((_, from)) => {
                    self.statistics.strangers.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%from, "a stranger on the replication port");
                }
                Err(error) => tracing::debug!(%error, "accept"),
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
            let done = link.auth.respond(&mut Limited::new(&stream));
            let mut list = lock(&arrivals);
            list.proving.retain(|other| !Arc::ptr_eq(other, &stream));
            match done {
                Ok(()) => {
                    list.proven = Arc::into_inner(stream);
                    drop(list);
                    link.out.shutdown();
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

    /// A connection from hello to its end.
    fn serve(self: &Arc<Link>, stream: TcpStream) {
        let stream = Arc::new(stream);
        let peer = match self.set_up(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "the replication connection failed at its beginning");
                return;
            }
        };
        let resume = self.resume_at(&peer);
        self.statistics.connections.fetch_add(1, Ordering::Relaxed);
        self.heard_ms.store(self.now_ms(), Ordering::SeqCst);
        self.progress_ms.store(self.now_ms(), Ordering::SeqCst);
        self.resumable.store(resume.is_some(), Ordering::SeqCst);
        {
            // Not between the two steps of hanging up.
            let wanted = lock(&self.wanted);
            if !matches!(*wanted, Wanted::Listen | Wanted::Connect) {
                return;
            }
            self.cut.store(false, Ordering::SeqCst);
            self.out.open(stream.clone(), resume);
        }
        self.report(EngineEvent::LinkUp);
        if self.options.async_second {
            let counters = self.ring.counters();
            counters.own_fulfilled.fetch_max(counters.applied.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        self.out.acknowledge(&self.ring);
        let why = self.receive(&stream);
        self.out.close();
        self.replies.hang_up();
        if self.bound.is_syncing() {
            self.bound.close();
            self.out.restart(&self.ring, 0);
        }
        self.report(EngineEvent::LinkDown { why });
    }

    fn set_up(&self, stream: &TcpStream) -> io::Result<Hello> {
        stream.set_nodelay(true)?;
        sockopt::set_tcp_user_timeout(stream, self.options.send_timeout.as_millis().min(u32::MAX as u128) as u32)?;
        sockopt::set_socket_keepalive(stream, true)?;
        let counters = self.ring.counters();
        let hello = Hello {
            stream: self.ring.stream(),
            last: self.ring.last(),
            applied_stream: counters.applied_stream.load(Ordering::SeqCst),
            applied: counters.applied.load(Ordering::SeqCst),
        };
        let mut limited = Limited::new(stream);
        limited.write_all(&Body::Hello(hello).encode().to_vec(Place::default()))?;
        let peer = read_hello(&mut limited)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        Ok(peer)
    }

    /// From where our stream goes on, `None` if it can't. What the other node applied is acknowledged by that.
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
        self.acks.advance(peer.applied, 0);
        Some(position)
    }
}

fn read_hello(stream: &mut Limited<'_>) -> io::Result<Hello> {
    let bad = |error: hf_wire::frame::FrameError| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut head = [0; HEADER_LEN];
    stream.read_exact(&mut head)?;
    let header = Header::decode(&head).map_err(bad)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut payload = vec![0; header.payload_len()];
    stream.read_exact(&mut payload)?;
    match Body::decode(&header, &payload).map_err(bad)? {
        Body::Hello(hello) => Ok(hello),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("instead of a hello: {other:?}"))),
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn wait_readable(listener: &TcpListener) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::IN)];
    let limit = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    matches!(rustix::event::poll(&mut fds, Some(&limit)), Ok(n) if n > 0)
}

/// From our address on the flow's LAN: the other node accepts no other.
fn connect_from(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let family = if peer.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::new(local.ip(), 0))?;
    match rustix::net::connect(&socket, &peer) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => finish_connecting(&socket)?,
        Err(error) => return Err(error.into()),
    }
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(TcpStream::from(socket))
}

fn finish_connecting(socket: &OwnedFd) -> io::Result<()> {
    let fd = socket.as_fd();
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
    if rustix::event::poll(&mut fds, Some(&limit))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    sockopt::socket_error(socket)??;
    Ok(())
}
