//! `<tcp>` (reference 004, 13.11): a service that takes connections.

use crate::names::Names;
use crate::probe::{Found, Look, Pace, Probe};
use futures_util::future::select_ok;
use hf_config::TcpCheck;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Connects, and hangs up at once. One of the addresses of a name is enough.
pub struct TcpProbe {
    names: Names,
    port: u16,
    interval: Duration,
    timeout: Duration,
}

impl TcpProbe {
    pub fn new(check: &TcpCheck) -> TcpProbe {
        TcpProbe {
            names: Names::new(check.target.clone()),
            port: check.port,
            interval: Duration::from_millis(check.interval_ms),
            timeout: Duration::from_millis(check.timeout_ms),
        }
    }

    async fn connect(&mut self) -> Found {
        let addresses = match self.names.addresses(self.timeout / 2).await {
            Ok(addresses) => addresses,
            Err(why) => return Found::down(why),
        };
        let half = self.timeout / 2;
        let port = self.port;
        let tries = addresses.into_iter().map(|ip| Box::pin(connect_twice(SocketAddr::new(ip, port), half)));
        match timeout(self.timeout, select_ok(tries)).await {
            Ok(Ok(_)) => Found::up(),
            Ok(Err(error)) => self.failed(&error),
            Err(_) => Found::down(format!("{} did not answer within {} ms", self.place(), self.timeout.as_millis())),
        }
    }

    fn failed(&self, error: &io::Error) -> Found {
        let place = self.place();
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                Found::unknown(format!("no connection to {place} could be tried: {error}"))
            }
            Some(libc::ECONNREFUSED) => Found::down(format!("{place} refuses connections")),
            _ => Found::down(format!("no connection to {place}: {error}")),
        }
    }

    fn place(&self) -> String {
        match self.names.target() {
            hf_config::Target::Address(ip) => SocketAddr::new(*ip, self.port).to_string(),
            hf_config::Target::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

impl Probe for TcpProbe {
    fn pace(&self) -> Pace {
        // The name, then the connection.
        Pace::Every { interval: self.interval, limit: self.timeout * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.connect())
    }
}

/// A second connection is tried after `half` of the time-out: a packet that was lost must not make a service look dead where the time-out
/// ends before the kernel sends it again (1 s).
async fn connect_twice(address: SocketAddr, half: Duration) -> io::Result<()> {
    let mut first = Box::pin(connect(address));
    tokio::select! {
        connected = &mut first => return connected,
        () = sleep(half) => {}
    }
    let second = Box::pin(connect(address));
    select_ok([first, second]).await.map(|_| ())
}

async fn connect(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Nobody listens, and the kernel chose the very port as this end's: it connected to itself.
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(())
}
