//! The keeper's own process.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::mounts::{self, Held};
use super::protocol::{Answer, Request, VERSION};
use super::wire;
use crate::front::protect;

/// Why a keeper can't run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its socket can't be made.
    #[error("the keeper's socket {path} can't be made")]
    Socket { path: PathBuf, source: io::Error },
    /// Signals can't be had.
    #[error("the keeper can't wait for SIGTERM")]
    Signal { source: io::Error },
}

type Mounts = BTreeMap<String, Held>;

struct Keeper {
    socket: PathBuf,
    mounts: Mutex<Mounts>,
}

/// Runs until a server says Exit or SIGTERM comes; then everything is unmounted (lazily) and the *process* ends with code 0. Call it in a process of its own,
/// from its first thread, before any other thread runs.
pub fn run(socket: &Path) -> Result<(), RunError> {
    let signals = block_sigterm().map_err(|source| RunError::Signal { source })?;
    let listener = listen(socket).map_err(|source| RunError::Socket { path: socket.to_owned(), source })?;
    for failed in protect::protect_process() {
        tracing::warn!("{failed}: {}", failed.source);
    }
    let keeper = Arc::new(Keeper { socket: socket.to_owned(), mounts: Mutex::default() });
    let ending = keeper.clone();
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            ending.end();
        }
    });
    loop {
        match rustix::net::accept_with(&listener, SocketFlags::CLOEXEC) {
            Ok(connection) => {
                let keeper = keeper.clone();
                std::thread::spawn(move || keeper.converse(&connection));
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            Err(error) => {
                // No descriptors or no memory: what is held stays held.
                tracing::warn!(%error, "the keeper can't accept a connection");
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}

fn block_sigterm() -> io::Result<nix::sys::signal::SigSet> {
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGTERM);
    signals.thread_block()?;
    Ok(signals)
}

/// The socket appears under its name when it listens: who sees it can connect.
fn listen(path: &Path) -> io::Result<OwnedFd> {
    let before = path.with_extension("new");
    match std::fs::remove_file(&before) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&before)?)?;
    rustix::fs::chmod(&before, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::listen(&socket, 16)?;
    std::fs::rename(&before, path)?;
    Ok(socket)
}

impl Keeper {
    fn converse(&self, connection: &OwnedFd) {
        let peer = match rustix::net::sockopt::socket_peercred(connection) {
            Ok(peer) if peer.uid.as_raw() == 0 => peer.pid.as_raw_nonzero().get(),
            _ => return,
        };
        while let Ok(Some((request, fds))) = wire::receive::<Request>(connection) {
            let exit = request == Request::Exit;
            if self.answer(connection, peer, request, fds).is_err() {
                return;
            }
            if exit {
                self.end();
            }
        }
    }

    fn answer(&self, connection: &OwnedFd, peer: i32, request: Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        self.drop_aborted();
        match request {
            Request::Attach { mountpoint } => self.attach(connection, peer, &mountpoint),
            Request::Memory { mountpoint, name, size } => self.memory(connection, &mountpoint, &name, size),
            other => {
                let answer = self.serve(other, fds).unwrap_or_else(|error| failed("the request", &error));
                wire::send(connection, &answer, &[])
            }
        }
    }

    fn serve(&self, request: Request, mut fds: Vec<OwnedFd>) -> io::Result<Answer> {
        let mut mounts = self.lock();
        match request {
            Request::Hello { version } if version < 1 => {
                return Ok(Answer::Failed {
                    what: format!("this keeper speaks version {VERSION}"),
                    errno: libc::EPROTO,
                });
            }
            Request::Mount { mountpoint, options } => {
                let held = mounts.entry(mountpoint.clone()).or_default();
                if held.mount.is_none() {
                    held.mount = Some(mounts::mount(&mountpoint, &options)?);
                }
            }
            Request::Answered { mountpoint, answer } => {
                let mount = mounts.get_mut(&mountpoint).and_then(|held| held.mount.as_mut());
                mount.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?.init_answer = Some(answer);
            }
            Request::Keep { mountpoint, name } => {
                let fd = fds.pop().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
                mounts.entry(mountpoint).or_default().kept.insert(name, fd);
            }
            Request::Unmount { mountpoint, lazy } => {
                if mounts.get(&mountpoint).is_some_and(|held| held.mount.is_some()) {
                    mounts::unmount(&mountpoint, lazy)?;
                }
                mounts.remove(&mountpoint);
            }
            Request::List => {
                let held = mounts.iter().filter(|(_, held)| held.mount.is_some());
                return Ok(Answer::Mounts { mountpoints: held.map(|(at, _)| at.clone()).collect() });
            }
            Request::Hello { .. } | Request::Exit | Request::Attach { .. } | Request::Memory { .. } => {}
        }
        Ok(Answer::Done)
    }

    /// A connection that was aborted can't be served again: its mount goes, with all that was kept for it, so that the next server mounts anew.
    fn drop_aborted(&self) {
        self.lock().retain(|mountpoint, held| {
            let aborted = held.mount.as_ref().is_some_and(mounts::Mount::is_aborted);
            if aborted && let Err(error) = mounts::unmount(mountpoint, true) {
                tracing::warn!(mountpoint, %error, "the mount of an aborted connection stays");
            }
            !aborted
        });
    }

    fn attach(&self, connection: &OwnedFd, peer: i32, mountpoint: &str) -> io::Result<()> {
        let before = match self.lock().get(mountpoint) {
            Some(held) => held.predecessor(peer)?,
            None => return wire::send(connection, &Answer::NotMounted { names: Vec::new() }, &[]),
        };
        if let Some((pid, pidfd)) = before
            && !mounts::wait_gone(&pidfd)?
        {
            let what = format!("process {pid} serves {mountpoint} and still lives: kill it first");
            return wire::send(connection, &Answer::Failed { what, errno: libc::EBUSY }, &[]);
        }
        let mut mounts = self.lock();
        let Some(held) = mounts.get_mut(mountpoint) else {
            return wire::send(connection, &Answer::NotMounted { names: Vec::new() }, &[]);
        };
        held.attach(peer)?;
        let names: Vec<String> = held.kept.keys().cloned().collect();
        let kept = held.kept.values().map(|fd| fd.as_fd());
        match &held.mount {
            None => wire::send(connection, &Answer::NotMounted { names }, &kept.collect::<Vec<_>>()),
            Some(mount) => {
                let fds: Vec<BorrowedFd<'_>> = std::iter::once(mount.device.as_fd()).chain(kept).collect();
                let init_request = mount.init_request.clone();
                let init_answer = mount.init_answer.clone();
                wire::send(connection, &Answer::Attached { init_request, init_answer, names }, &fds)
            }
        }
    }

    fn memory(&self, connection: &OwnedFd, mountpoint: &str, name: &str, size: u64) -> io::Result<()> {
        let mut mounts = self.lock();
        let held = mounts.entry(mountpoint.to_owned()).or_default();
        match held.memory(name, size) {
            Ok((file, fresh)) => wire::send(connection, &Answer::Memory { fresh }, &[file.as_fd()]),
            Err(error) => wire::send(connection, &failed("the memory file", &error), &[]),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mounts> {
        self.mounts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Unmounts everything, says what failed, and ends the process.
    fn end(&self) -> ! {
        let mut code = 0;
        for (mountpoint, held) in self.lock().iter() {
            if held.mount.is_some()
                && let Err(error) = mounts::unmount(mountpoint, true)
            {
                tracing::error!(mountpoint, %error, "it stays mounted");
                code = 1;
            }
        }
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the keeper's socket is gone already");
        }
        std::process::exit(code)
    }
}

fn failed(what: &str, error: &io::Error) -> Answer {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    Answer::Failed { what: format!("{what} failed in the keeper: {error}"), errno }
}
