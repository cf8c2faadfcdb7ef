//! TCP connections to what is checked.

use crate::probe::Found;
use futures_util::future::select_ok;
use hf_config::Target;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// A service as messages name it.
pub(crate) fn place(target: &Target, port: u16) -> String {
    match target {
        Target::Address(ip) => SocketAddr::new(*ip, port).to_string(),
        Target::Name(name) => format!("{name}:{port}"),
    }
}

/// A second connection is tried after `half` of the time-out: a packet that was lost must not make a service look dead where the time-out
/// ends before the kernel sends it again (1 s).
pub(crate) async fn connect_twice(address: SocketAddr, half: Duration) -> io::Result<TcpStream> {
    let mut first = Box::pin(connect(address));
    tokio::select! {
        connected = &mut first => return connected,
        () = sleep(half) => {}
    }
    let second = Box::pin(connect(address));
    select_ok([first, second]).await.map(|(stream, _)| stream)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Nobody listens, and the kernel chose the very port as this end's: it connected to itself.
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(stream)
}

/// What it says about a service that there is no connection to it.
pub(crate) fn failed(place: &str, error: &io::Error) -> Found {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            Found::unknown(format!("no connection to {place} could be tried: {error}"))
        }
        Some(libc::ECONNREFUSED) => Found::down(format!("{place} refuses connections")),
        _ => Found::down(format!("no connection to {place}: {error}")),
    }
}
