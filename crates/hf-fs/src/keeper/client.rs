//! The server's side of the keeper's socket.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::protocol::{Answer, Options, Request, VERSION};
use super::wire;
use crate::front::Start;

/// Why the keeper didn't do something.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// No keeper there.
    #[error("no keeper answers at {path}")]
    NoKeeper { path: PathBuf, source: io::Error },
    /// The connection broke.
    #[error("the connection to the keeper broke while {doing}")]
    Broken { doing: &'static str, source: io::Error },
    /// It says why.
    #[error("{what}")]
    Refused { what: String, errno: i32 },
    /// It answered something else.
    #[error("the keeper gave an answer that doesn't fit while {doing}: another version?")]
    Unexpected { doing: &'static str },
}

/// What the keeper holds of a mount.
pub struct Attached {
    /// `None`: not mounted yet.
    pub start: Option<Start>,
    /// Descriptors by name.
    pub kept: BTreeMap<String, OwnedFd>,
}

/// A connection to the keeper.
pub struct Client {
    socket: OwnedFd,
}

impl Client {
    /// Connects.
    pub fn connect(path: &Path) -> Result<Client, KeeperError> {
        let no_keeper = |source: io::Error| KeeperError::NoKeeper { path: path.to_owned(), source };
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| no_keeper(error.into()))?;
        let address = SocketAddrUnix::new(path).map_err(|error| no_keeper(error.into()))?;
        rustix::net::connect(&socket, &address).map_err(|error| no_keeper(error.into()))?;
        let mut client = Client { socket };
        client.done("greeting", &Request::Hello { version: VERSION }, &[])?;
        Ok(client)
    }

    /// Mounts, unless it is mounted already. The mount answers nobody until it is served.
    pub fn mount(&mut self, mountpoint: &str, options: &Options) -> Result<(), KeeperError> {
        let (mountpoint, options) = (mountpoint.to_owned(), options.clone());
        self.done("mounting", &Request::Mount { mountpoint, options }, &[])
    }

    /// Takes over: returns when the process that attached before is gone (fails after 30 s).
    pub fn attach(&mut self, mountpoint: &str) -> Result<Attached, KeeperError> {
        let doing = "attaching";
        let request = Request::Attach { mountpoint: mountpoint.to_owned() };
        let (answer, mut fds) = self.ask(doing, &request, &[])?;
        match answer {
            Answer::Attached { init_request, init_answer, names } if fds.len() == names.len() + 1 => {
                let device = fds.remove(0);
                let start = Some(Start { device, init_request, init_answer });
                Ok(Attached { start, kept: names.into_iter().zip(fds).collect() })
            }
            Answer::NotMounted { names } if fds.len() == names.len() => {
                Ok(Attached { start: None, kept: names.into_iter().zip(fds).collect() })
            }
            other => Err(unexpected(doing, other)),
        }
    }

    /// Leaves the first answer to INIT with the keeper.
    pub fn answered(&mut self, mountpoint: &str, answer: &[u8]) -> Result<(), KeeperError> {
        let request = Request::Answered { mountpoint: mountpoint.to_owned(), answer: answer.to_vec() };
        self.done("keeping the answer to INIT", &request, &[])
    }

    /// Leaves a descriptor with the keeper.
    pub fn keep(&mut self, mountpoint: &str, name: &str, fd: BorrowedFd<'_>) -> Result<(), KeeperError> {
        let request = Request::Keep { mountpoint: mountpoint.to_owned(), name: name.to_owned() };
        self.done("keeping a descriptor", &request, &[fd])
    }

    /// The memory file of this name; made of `size` bytes (zeros) if there is none, and then `true`.
    pub fn memory(&mut self, mountpoint: &str, name: &str, size: u64) -> Result<(OwnedFd, bool), KeeperError> {
        let doing = "getting a memory file";
        let (mountpoint, name) = (mountpoint.to_owned(), name.to_owned());
        let (answer, mut fds) = self.ask(doing, &Request::Memory { mountpoint, name, size }, &[])?;
        match (answer, fds.pop()) {
            (Answer::Memory { fresh }, Some(file)) => Ok((file, fresh)),
            (other, _) => Err(unexpected(doing, other)),
        }
    }

    /// Unmounts and lets everything of this mount go. Not `lazy`: fails with EBUSY while somebody uses it.
    pub fn unmount(&mut self, mountpoint: &str, lazy: bool) -> Result<(), KeeperError> {
        let request = Request::Unmount { mountpoint: mountpoint.to_owned(), lazy };
        self.done("unmounting", &request, &[])
    }

    /// The mounts that are held.
    pub fn mounts(&mut self) -> Result<Vec<String>, KeeperError> {
        let doing = "listing mounts";
        match self.ask(doing, &Request::List, &[])?.0 {
            Answer::Mounts { mountpoints } => Ok(mountpoints),
            other => Err(unexpected(doing, other)),
        }
    }

    /// Unmounts everything (lazily) and ends the keeper.
    pub fn exit(mut self) -> Result<(), KeeperError> {
        self.done("ending the keeper", &Request::Exit, &[])
    }

    fn done(&mut self, doing: &'static str, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), KeeperError> {
        match self.ask(doing, request, fds)?.0 {
            Answer::Done => Ok(()),
            other => Err(unexpected(doing, other)),
        }
    }

    fn ask(
        &mut self,
        doing: &'static str,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Answer, Vec<OwnedFd>), KeeperError> {
        let broken = |source| KeeperError::Broken { doing, source };
        wire::send(&self.socket, request, fds).map_err(broken)?;
        let end = || broken(io::Error::from(io::ErrorKind::UnexpectedEof));
        wire::receive(&self.socket).map_err(broken)?.ok_or_else(end)
    }
}

fn unexpected(doing: &'static str, answer: Answer) -> KeeperError {
    match answer {
        Answer::Failed { what, errno } => KeeperError::Refused { what, errno },
        _ => KeeperError::Unexpected { doing },
    }
}
