//! The networks that can carry the link: listening on all of them, connecting over the first that works.
//!
//! The order is the administrator's: the first lane is the one that was meant for replication. A lane that doesn't answer at once gets company
//! from the next one, so that an unplugged cable costs a tenth of a second and not a connection's time-out.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt as nix_sockopt};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// How long a lane has the attempt for itself before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(100);
/// How long all attempts together may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long one look for a new connection waits.
const LOOK: Duration = Duration::from_millis(50);
/// How often the list of lanes is asked for while listening.
const RENEW: Duration = Duration::from_secs(1);

/// One network between the two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLane {
    /// As cluster.xml calls it.
    pub name: String,
    /// This node's address and port there; connections also come from this address.
    pub local: SocketAddr,
    /// The other node's.
    pub peer: SocketAddr,
}

/// Says which lanes there are now, best first: the cluster's configuration may change while the link lives.
#[derive(Clone)]
pub struct LaneSource(Arc<dyn Fn() -> Vec<LinkLane> + Send + Sync>);

impl LaneSource {
    /// Asked at each attempt to connect and every second while listening; must not wait for long.
    pub fn new(lanes: impl Fn() -> Vec<LinkLane> + Send + Sync + 'static) -> LaneSource {
        LaneSource(Arc::new(lanes))
    }

    /// One lane, for ever.
    pub fn fixed(local: SocketAddr, peer: SocketAddr) -> LaneSource {
        LaneSource::new(move || vec![LinkLane { name: "default".to_owned(), local, peer }])
    }

    /// The lanes now.
    pub fn lanes(&self) -> Vec<LinkLane> {
        (self.0)()
    }
}

impl fmt::Debug for LaneSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes().fmt(f)
    }
}

/// Ends the wait of [`Listeners::accept`].
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub(super) fn ring(&self) {
        // It only fails where it was rung already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// A socket on each lane.
pub(super) struct Listeners {
    source: LaneSource,
    /// Readable once nobody wants to listen any more.
    over: OwnedFd,
    renewed: Option<Instant>,
    open: Vec<(LinkLane, TcpListener)>,
    /// Lanes where listening failed, so that it is told once.
    failed: Vec<LinkLane>,
}

impl Listeners {
    pub(super) fn new(source: LaneSource) -> io::Result<(Listeners, Bell)> {
        let over = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let bell = Bell(over.try_clone()?);
        Ok((Listeners { source, over, renewed: None, open: Vec::new(), failed: Vec::new() }, bell))
    }

    /// A connection that came, with the address it came from: only the other node's is any good.
    pub(super) fn accept(&mut self) -> Option<(TcpStream, Result<(), SocketAddr>)> {
        self.renew();
        wait_readable(&self.open, &self.over);
        for (lane, listener) in &self.open {
            match listener.accept() {
                Ok((stream, from)) if from.ip() == lane.peer.ip() => return Some((stream, Ok(()))),
                Ok((stream, from)) => return Some((stream, Err(from))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::debug!(%error, "accept"),
            }
        }
        None
    }

    /// Sockets for exactly the lanes that there are now.
    fn renew(&mut self) {
        if self.renewed.is_some_and(|at| at.elapsed() < RENEW) {
            return;
        }
        self.renewed = Some(Instant::now());
        let lanes = self.source.lanes();
        self.open.retain(|(lane, _)| lanes.contains(lane));
        self.failed.retain(|lane| lanes.contains(lane));
        for lane in lanes {
            if self.open.iter().any(|(open, _)| *open == lane) {
                continue;
            }
            match listen_on(lane.local) {
                Ok(listener) => self.open.push((lane, listener)),
                Err(error) if !self.failed.contains(&lane) => {
                    tracing::warn!(%error, address = %lane.local, lan = lane.name, "can't listen for the other node");
                    self.failed.push(lane);
                }
                Err(_) => {}
            }
        }
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    // The other node's connections of before may still be in TIME_WAIT.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, 16)?;
    Ok(TcpListener::from(socket))
}

/// Takes also an address that the machine doesn't have at this moment: its network may come later.
fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    setsockopt(&socket, nix_sockopt::IpFreebind, &true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

fn wait_readable(open: &[(LinkLane, TcpListener)], over: &OwnedFd) {
    let listeners = open.iter().map(|(_, listener)| PollFd::new(listener, PollFlags::IN));
    let mut fds: Vec<_> = listeners.chain([PollFd::new(over, PollFlags::IN)]).collect();
    // An error is found again by accept.
    let _ = rustix::event::poll(&mut fds, Some(&timespec(LOOK)));
}

/// Connects over one of the lanes, the first that works; says which.
pub(super) fn connect_any(lanes: &[LinkLane]) -> io::Result<(TcpStream, usize)> {
    let began = Instant::now();
    let mut attempts: Vec<(usize, OwnedFd)> = Vec::new();
    let (mut tried, mut next_at) = (0, began);
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "the nodes have no network in common");
    loop {
        let now = Instant::now();
        if tried < lanes.len() && (attempts.is_empty() || now >= next_at) {
            match begin(&lanes[tried]) {
                Ok(socket) => attempts.push((tried, socket)),
                Err(error) => failed = error,
            }
            (tried, next_at) = (tried + 1, now + HEAD_START);
            continue;
        }
        if attempts.is_empty() {
            return Err(failed);
        }
        let left = LIMIT.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let wait = if tried < lanes.len() { left.min(next_at.saturating_duration_since(now)) } else { left };
        match first_done(&mut attempts, wait)? {
            Some((lane, Ok(stream))) => return Ok((stream, lane)),
            Some((_, Err(error))) => failed = error,
            None => {}
        }
    }
}

/// From our address on the lane: the other node accepts no other.
fn begin(lane: &LinkLane) -> io::Result<OwnedFd> {
    let socket = socket(lane.peer)?;
    rustix::net::bind(&socket, &SocketAddr::new(lane.local.ip(), 0))?;
    match rustix::net::connect(&socket, &lane.peer) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// The first attempt that ended, well or not; it is taken out.
fn first_done(
    attempts: &mut Vec<(usize, OwnedFd)>,
    wait: Duration,
) -> io::Result<Option<(usize, io::Result<TcpStream>)>> {
    let mut fds: Vec<_> = attempts.iter().map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)).collect();
    rustix::event::poll(&mut fds, Some(&timespec(wait)))?;
    let Some(at) = fds.iter().position(|fd| !fd.revents().is_empty()) else { return Ok(None) };
    let (lane, socket) = attempts.remove(at);
    Ok(Some((lane, finish(socket))))
}

fn finish(socket: OwnedFd) -> io::Result<TcpStream> {
    sockopt::socket_error(&socket)??;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(TcpStream::from(socket))
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(local: &str, peer: SocketAddr) -> LinkLane {
        LinkLane { name: local.to_owned(), local: local.parse().unwrap(), peer }
    }

    /// The best of some tries: a machine under load is late now and then.
    fn in_time(mut attempt: impl FnMut() -> Option<()>) -> bool {
        (0..20).any(|_| attempt().is_some())
    }

    #[test]
    fn a_lane_that_does_not_answer_gives_way_to_the_next() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        // A listener whose queue is full drops what comes: nothing answers.
        let deaf = socket("127.0.0.1:0".parse().unwrap()).unwrap();
        rustix::net::bind(&deaf, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        rustix::net::listen(&deaf, 0).unwrap();
        let deaf = TcpListener::from(deaf);
        let there = deaf.local_addr().unwrap();
        let _fills = (TcpStream::connect(there).unwrap(), begin(&lane("127.0.0.1:0", there)).unwrap());
        let lanes = [lane("127.0.0.2:0", there), lane("127.0.0.3:0", good.local_addr().unwrap())];
        let gives_way = || {
            let began = Instant::now();
            let (stream, which) = connect_any(&lanes).ok()?;
            assert_eq!((which, stream.local_addr().unwrap().ip()), (1, "127.0.0.3".parse().unwrap()));
            assert!(began.elapsed() >= HEAD_START);
            (began.elapsed() < LIMIT).then_some(())
        };
        assert!(in_time(gives_way));
    }

    #[test]
    fn a_lane_that_refuses_gives_way_at_once_and_the_first_wins_when_both_work() {
        let (one, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let lanes = [&one, &other].map(|listener| lane("127.0.0.1:0", listener.local_addr().unwrap()));
        assert_eq!(connect_any(&lanes).unwrap().1, 0);
        drop(one);
        let at_once = || {
            let began = Instant::now();
            assert_eq!(connect_any(&lanes).ok()?.1, 1);
            (began.elapsed() < HEAD_START).then_some(())
        };
        assert!(in_time(at_once));
        drop(other);
        assert!(connect_any(&lanes).is_err() && connect_any(&[]).is_err());
    }

    #[test]
    fn listening_follows_the_list_and_knows_strangers_on_both_kinds_of_addresses() {
        let list = Arc::new(std::sync::Mutex::new(Vec::new()));
        let source = {
            let list = list.clone();
            LaneSource::new(move || list.lock().unwrap().clone())
        };
        let (mut listeners, bell) = Listeners::new(source).unwrap();
        assert!(listeners.accept().is_none());
        let free = || TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        let (own, peer) = (free(), free());
        list.lock().unwrap().push(LinkLane { name: "v6".into(), local: own, peer });
        list.lock().unwrap().push(LinkLane {
            name: "v4".into(),
            local: "127.0.0.1:0".parse().unwrap(),
            peer: "127.0.0.9:1".parse().unwrap(),
        });
        listeners.renewed = None;
        listeners.renew();
        let v4 = listeners.open[1].1.local_addr().unwrap();
        let _friend = TcpStream::connect(own).unwrap();
        assert!(matches!(listeners.accept(), Some((_, Ok(())))));
        let _stranger = TcpStream::connect(v4).unwrap();
        assert!(matches!(listeners.accept(), Some((_, Err(_)))));
        list.lock().unwrap().clear();
        listeners.renewed = None;
        assert!(listeners.accept().is_none());
        assert!(TcpStream::connect(own).is_err());
        bell.ring();
        let began = Instant::now();
        assert!(listeners.accept().is_none() && began.elapsed() < LOOK, "nobody waits for nothing");
    }
}
