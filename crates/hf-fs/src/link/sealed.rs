//! Sealing what a connection carries. How is the business of who proves the ends to each other ([`super::Authenticate`]); here is only where:
//! the sender seals just before the socket, the receiver opens just behind it, and nothing between them knows of it.

use std::io::{self, Read};
use std::net::TcpStream;

use rustix::net::RecvFlags;

/// Most bytes that are sealed before they are sent: what the socket doesn't take waits in memory.
const CHUNK: usize = 256 << 10;
/// Room for sealed bytes that came in one go.
const CAME: usize = 1 << 20;
/// Most bytes that one record carries.
pub const RECORD_MAX: usize = 64 << 10;

/// One direction's sender.
pub trait Seal: Send {
    /// Appends the records of `plain` to `out`.
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>);
}

/// One direction's receiver.
pub trait Open: Send {
    /// Opens the record at the beginning of `sealed` into `plain`, which has room for [`RECORD_MAX`] bytes: how long the record was, and how much it
    /// carried. `None` while it isn't whole; an error if it must not be believed.
    fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<Option<(usize, usize)>, String>;
}

/// What seals one connection, both ways.
pub struct Protection {
    /// For what this end sends.
    pub seal: Box<dyn Seal>,
    /// For what comes.
    pub open: Box<dyn Open>,
}

/// Sealed bytes on their way out.
pub(super) struct Sealing {
    seal: Box<dyn Seal>,
    buffer: Vec<u8>,
    done: usize,
}

impl Sealing {
    pub(super) fn new(seal: Box<dyn Seal>) -> Sealing {
        Sealing { seal, buffer: Vec::new(), done: 0 }
    }

    /// What the socket must take before anything else.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.buffer[self.done..]
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.done += bytes;
        if self.done == self.buffer.len() {
            self.buffer.clear();
            self.done = 0;
        }
    }

    /// Seals the beginning of `plain`; how much of it.
    pub(super) fn take(&mut self, plain: &[u8]) -> usize {
        let bytes = plain.len().min(CHUNK);
        self.seal.seal(&plain[..bytes], &mut self.buffer);
        bytes
    }

    /// A whole message, for the beginning of a connection.
    pub(super) fn message(seal: &mut dyn Seal, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal.seal(plain, &mut out);
        out
    }
}

/// What comes over a connection, opened.
pub(super) struct Incoming {
    open: Option<Box<dyn Open>>,
    /// Sealed bytes that came, and how many of them are opened.
    came: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new(open: Option<Box<dyn Open>>) -> Incoming {
        let came = if open.is_some() { vec![0; CAME] } else { Vec::new() };
        Incoming { open, came, begin: 0, end: 0 }
    }

    /// Waits for bytes and puts them, opened, into `buffer`, which has room for [`RECORD_MAX`] at least; how many. 0: the other side closed.
    pub(super) fn receive(&mut self, stream: &TcpStream, buffer: &mut [u8]) -> Result<usize, String> {
        let Some(open) = &mut self.open else { return received(stream, buffer) };
        loop {
            let mut filled = 0;
            while buffer.len() - filled >= RECORD_MAX
                && let Some((used, carried)) = open.open(&self.came[self.begin..self.end], &mut buffer[filled..])?
            {
                self.begin += used;
                filled += carried;
            }
            if filled > 0 {
                return Ok(filled);
            }
            self.came.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
            match received(stream, &mut self.came[self.end..])? {
                0 => return Ok(0),
                bytes => self.end += bytes,
            }
        }
    }

    /// The first record of a connection, if it is sealed: read with the limits of `stream`.
    pub(super) fn first(&mut self, stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        let mut plain = vec![0; RECORD_MAX];
        loop {
            let opened = open.open(&self.came[self.begin..self.end], &mut plain);
            if let Some((used, carried)) = opened.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))? {
                self.begin += used;
                plain.truncate(carried);
                return Ok(Some(plain));
            }
            match stream.read(&mut self.came[self.end..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.end += bytes,
            }
        }
    }
}

fn received(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize, String> {
    loop {
        match rustix::net::recv(stream, &mut *buffer, RecvFlags::empty()) {
            Ok((bytes, _)) => return Ok(bytes),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
