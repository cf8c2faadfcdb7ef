//! Serving a mount that somebody else holds.
//!
//! fuser always begins with the kernel's INIT. The kernel asks only once, so the keeper saved the request: it is given to the session through a
//! socket, the answer is taken out on the other end (and passed on at the first start only), and then the device
//! takes the socket's place under the same descriptor number.
//!
//! Before that every thread's read buffer is touched once, by a message of full size through the same socket: when a server dies
//! with a buffer that isn't there, the kernel fails the request that it was copying, and nobody can repeat it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;

use fuser::{INodeNo, Session, SessionACL};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::Front;
use super::fuse::{Fuse, MAX_WRITE};
use super::invalidate::notify_raw;

/// `FUSE_NOTIFY_RESEND` (kernel 6.9): what a dead server had read is delivered again.
const RESEND: i32 = 7;
const FORGET: u32 = 2;
/// A node that the kernel never names, and a count that it never says.
const PRIME_NODE: u64 = u64::MAX;
const PRIME_COUNT: u64 = 0x5052_494d_4550_5249;
const MESSAGE: usize = MAX_WRITE as usize + 4096;

/// What the keeper holds of a mount.
pub struct Start {
    /// `/dev/fuse`, mounted.
    pub device: OwnedFd,
    /// The kernel's INIT request.
    pub init_request: Vec<u8>,
    /// What the first server answered; `None`: this is the first.
    pub init_answer: Option<Vec<u8>>,
}

/// Why a mount can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A step failed; the mount stays as it was, another server may try.
    #[error("the mount can't be served: {step}")]
    Step { step: &'static str, source: io::Error },
    /// This program would promise the kernel something else than the first server did (another version?).
    #[error(
        "this version answers the kernel differently than the server that began with this mount: stop the module and start it again"
    )]
    OtherAnswer,
    /// The mount is gone.
    #[error("the mount isn't there any more")]
    Gone,
}

/// A mount that is being served. Dropping it changes nothing: it ends when the mount does.
pub struct Server {
    threads: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Waits until the mount is gone (unmounted or aborted).
    pub fn wait(self) -> io::Result<()> {
        self.threads.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the server panicked")))
    }

    /// Is it over?
    pub fn is_over(&self) -> bool {
        self.threads.is_finished()
    }
}

/// Serves the mount with so many threads, as its first server or as the successor of a dead one (which must be gone completely).
/// `keep` is called with the first answer, for the keeper, before the first request is served.
pub fn serve(
    front: &Arc<Front>,
    start: Start,
    threads: usize,
    keep: impl FnOnce(&[u8]) -> io::Result<()>,
) -> Result<Server, ServeError> {
    let step = |step| move |source| ServeError::Step { step, source };
    let first = start.init_answer.is_none();
    if first {
        begin_afresh(front).map_err(step("sweeping what an earlier mount left"))?;
    }
    let (inner, outer) = socket_pair().map_err(step("making a socket pair"))?;
    send(&outer, &start.init_request).map_err(step("repeating INIT"))?;
    let session = session(front, inner, threads).map_err(step("INIT"))?;
    let answer = receive(&outer).map_err(step("taking the answer to INIT"))?;
    match &start.init_answer {
        None => {
            answer_kernel(&start.device, &answer)?;
            keep(&answer).map_err(step("giving the answer to the keeper"))?;
        }
        Some(before) if *before != answer => return Err(ServeError::OtherAnswer),
        Some(_) => {}
    }
    let device = start.device.try_clone().map_err(step("duplicating the device"))?;
    front.device.get_or_init(|| device);
    front.notifier.get_or_init(|| session.notifier());
    front.recover_when_admitted();
    let number = session.as_fd().as_raw_fd();
    front.prime.prepare(threads);
    let running = std::thread::Builder::new().name("fuse".into()).spawn(move || session.run());
    let running = running.map_err(step("starting threads"))?;
    prime(&outer, threads);
    front.prime.all_inside();
    let switched = replace(&start.device, number).and_then(|()| resend(&start.device));
    front.prime.release();
    switched.map_err(step("putting the device in its place"))?;
    Ok(Server { threads: running })
}

fn begin_afresh(front: &Front) -> io::Result<()> {
    front.memory.clear();
    front.backing.table().clear_lookups();
    front.backing.sweep()?;
    front.recovered.store(true, std::sync::atomic::Ordering::Release);
    Ok(())
}

fn session(front: &Arc<Front>, socket: OwnedFd, threads: usize) -> io::Result<Session<Fuse>> {
    let mut config = fuser::Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads);
    Session::from_fd(Fuse(front.clone()), socket, SessionACL::All, config)
}

/// ENOENT: a first server died between answering and telling the keeper; the kernel has its answer.
fn answer_kernel(device: &OwnedFd, answer: &[u8]) -> Result<(), ServeError> {
    match rustix::io::write(device, answer) {
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::CONNABORTED) => Err(ServeError::Gone),
        Err(error) => Err(ServeError::Step { step: "answering INIT", source: error.into() }),
    }
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let room = 4 * MESSAGE;
    if rustix::net::sockopt::set_socket_send_buffer_size_force(&pair.1, room).is_err() {
        rustix::net::sockopt::set_socket_send_buffer_size(&pair.1, room)?;
    }
    Ok(pair)
}

fn send(socket: &OwnedFd, message: &[u8]) -> io::Result<()> {
    rustix::net::send(socket, message, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(socket: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut answer = vec![0; 4096];
    let n = rustix::io::read(socket, &mut answer)?;
    answer.truncate(n);
    Ok(answer)
}

/// One message of full size a thread: each waits inside until all have had theirs.
fn prime(socket: &OwnedFd, threads: usize) {
    for _ in 0..threads {
        if send(socket, &forget(MESSAGE)).is_err() {
            tracing::warn!(
                "a read buffer can't be prepared: if this process is killed in the wrong moment, one write may fail"
            );
            // A small one always fits; without it the thread would never be let go.
            while send(socket, &forget(64)).is_err() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
}

/// `fuse_in_header` and `fuse_forget_in`, filled up to `len` bytes.
fn forget(len: usize) -> Vec<u8> {
    let mut message = vec![0; len];
    message[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    message[4..8].copy_from_slice(&FORGET.to_ne_bytes());
    message[16..24].copy_from_slice(&PRIME_NODE.to_ne_bytes());
    message[40..48].copy_from_slice(&PRIME_COUNT.to_ne_bytes());
    message
}

fn replace(device: &OwnedFd, number: i32) -> io::Result<()> {
    // SAFETY: `number` is the session's descriptor, whose threads all wait inside the prime; the session goes on to own it.
    let done = unsafe { libc::dup3(device.as_raw_fd(), number, libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn resend(device: &OwnedFd) -> io::Result<()> {
    match notify_raw(device, RESEND) {
        // Before 6.9: what the dead server had read stays unanswered.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            tracing::warn!("this kernel can't deliver requests again (before 6.9)");
            Ok(())
        }
        other => other,
    }
}

/// Where the threads wait while the device takes the socket's place.
#[derive(Default)]
pub(super) struct Prime(OnceLock<(Barrier, Barrier)>);

impl Prime {
    fn prepare(&self, threads: usize) {
        self.0.get_or_init(|| (Barrier::new(threads + 1), Barrier::new(threads + 1)));
    }

    pub(super) fn is_for(&self, ino: INodeNo, count: u64) -> bool {
        ino.0 == PRIME_NODE && count == PRIME_COUNT
    }

    /// A session's thread: waits until the device is in place.
    pub(super) fn pass(&self) {
        self.all_inside();
        self.release();
    }

    fn all_inside(&self) {
        self.0.get().into_iter().for_each(|(inside, _)| {
            inside.wait();
        });
    }

    fn release(&self) {
        self.0.get().into_iter().for_each(|(_, release)| {
            release.wait();
        });
    }
}
