//! Strangers are kept out, and can't keep the other node out.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::sealed::Protection;

/// How long a connection may take to prove itself.
pub const LIMIT: Duration = Duration::from_secs(2);

/// Both ends prove to each other that they have the cluster's key. Called before anything else is said on a connection. What they agree on seals
/// everything after that; without it nothing is sealed.
pub trait Authenticate: Send + Sync + 'static {
    /// For the end that connected.
    fn initiate(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String>;
    /// For the end that listened.
    fn respond(&self, stream: &mut Limited<'_>) -> Result<Option<Protection>, String>;
}

/// A connection on which everything together must be done within [`LIMIT`], however slowly bytes trickle in.
pub struct Limited<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl<'a> Limited<'a> {
    pub fn new(stream: &'a TcpStream) -> Limited<'a> {
        Limited { stream, end: Instant::now() + LIMIT }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
