//! Watching a process through its pidfd: no polling, and never another process that got the same number.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::pidfile::Identity;

/// A process can't be watched.
#[derive(Debug, Error)]
pub enum WatchError {
    #[error("the process {identity} is gone")]
    Gone { identity: Identity },
    #[error("can't watch the process {identity}")]
    Open { identity: Identity, source: io::Error },
}

/// A handle on one process. Readable (poll) when it has died; works for processes that aren't our children.
#[derive(Debug)]
pub struct ProcessWatch {
    identity: Identity,
    pidfd: OwnedFd,
}

impl ProcessWatch {
    /// Takes hold of exactly this process; `Gone` if the number belongs to another by now.
    pub fn open(identity: Identity) -> Result<Self, WatchError> {
        let opened = Pid::from_raw(identity.pid)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        let pidfd = match opened {
            Ok(pidfd) => pidfd,
            Err(rustix::io::Errno::SRCH) => return Err(WatchError::Gone { identity }),
            Err(error) => {
                return Err(WatchError::Open { identity, source: error.into() });
            }
        };
        // Checked after the descriptor is held: from here on the number can't go to another without us noticing.
        match identity.is_alive() {
            Ok(true) => Ok(Self { identity, pidfd }),
            Ok(false) => Err(WatchError::Gone { identity }),
            Err(source) => Err(WatchError::Open { identity, source }),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits for the death of the process, within a tokio runtime.
    pub async fn exited(&self) -> io::Result<()> {
        // SAFETY: the descriptor is borrowed from self, so it stays open longer than the registration.
        let fd = unsafe { AsyncFd::register_with_interest(self.pidfd.as_fd(), Interest::READABLE)? };
        let _guard = fd.readable().await?;
        Ok(())
    }

    /// Whether it lives at this moment.
    pub fn is_alive(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        Ok(poll(&mut fds, Some(&now))? == 0)
    }

    /// Sends a signal to this process and no other; a dead one is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// As [`ProcessWatch::signal`], by the number of one of the signals that programs are asked or made to do something by.
    pub fn signal_number(&self, number: i32) -> io::Result<()> {
        let known = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::KILL, Signal::USR1, Signal::USR2, Signal::TERM];
        let signal = known.into_iter().find(|signal| signal.as_raw() == number);
        self.signal(signal.ok_or(io::ErrorKind::InvalidInput)?)
    }

    /// SIGKILL.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGTERM.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }
}

impl AsFd for ProcessWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
