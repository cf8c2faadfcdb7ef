//! `<module>` (reference 004, 13.16): another module, by what the listener for health checks of its node says of it.

use crate::connect::place;
use crate::names::Names;
use crate::probe::{Found, Look, Pace, Probe};
use futures_util::future::select_ok;
use hf_config::ModuleCheck;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer's status line and headers; what follows is not read.
const HEAD_MAX: u64 = 4096;
/// Another text after every start of the other module's application.
const RUN: &str = "holdfast-run";

/// Asks for `/var/modules/NAME/ready.txt`. One of the addresses of a name is enough.
pub struct ModuleProbe {
    names: Names,
    module: String,
    port: u16,
    interval: Duration,
    timeout: Duration,
}

/// What was answered.
struct Answer {
    status: u16,
    run: String,
}

impl ModuleProbe {
    pub fn new(check: &ModuleCheck) -> ModuleProbe {
        ModuleProbe {
            names: Names::new(check.target.clone()),
            module: check.name.clone(),
            port: check.port,
            interval: Duration::from_millis(check.interval_ms),
            timeout: Duration::from_millis(check.timeout_ms),
        }
    }

    async fn ask(&mut self) -> Found {
        let addresses = match self.names.addresses(self.timeout / 2).await {
            Ok(addresses) => addresses,
            Err(why) => return Found::down(why),
        };
        let (port, module) = (self.port, self.module.as_str());
        let place = place(self.names.target(), port);
        let asked = addresses.into_iter().map(|ip| Box::pin(ready(SocketAddr::new(ip, port), module, &place)));
        match timeout(self.timeout, select_ok(asked)).await {
            Ok(Ok((answer, _))) => Found { seen: answer.run, ..Found::up() },
            Ok(Err(why)) => Found::down(why),
            Err(_) => Found::down(format!("{place} did not answer within {} ms", self.timeout.as_millis())),
        }
    }
}

impl Probe for ModuleProbe {
    fn pace(&self) -> Pace {
        // The name, then the answer.
        Pace::Every { interval: self.interval, limit: self.timeout * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.ask())
    }
}

/// The module is ready there; else why not.
async fn ready(at: SocketAddr, module: &str, place: &str) -> Result<Answer, String> {
    match get(at, module).await {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) if answer.status == 404 => Err(format!("{module} isn't ready on {place}")),
        Ok(answer) => Err(format!("{place} answers with status {}", answer.status)),
        Err(error) => Err(format!("no answer of {place}: {error}")),
    }
}

async fn get(at: SocketAddr, module: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET /var/modules/{module}/ready.txt HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut stream = stream.take(HEAD_MAX);
    loop {
        if let Some(answer) = parse(&head) {
            return Ok(answer);
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "that is no HTTP"));
        }
    }
}

/// None while the empty line is missing, or for something else than HTTP.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let version = words.next()?;
    let status = words.next()?.parse().ok().filter(|_| version.starts_with("HTTP/1."))?;
    let run = lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case(RUN));
    let run = run.map(|(_, value)| value.trim().chars().filter(char::is_ascii_alphanumeric).take(64).collect());
    Some(Answer { status, run: run.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_an_answer() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nHoldfast-Run: 1f\r\n\r\nOK\n";
        let answer = parse(whole).expect("an answer");
        assert_eq!((answer.status, answer.run.as_str()), (200, "1f"));
        let other = parse(b"HTTP/1.0 404 Not Found\r\n\r\n").expect("an answer");
        assert_eq!((other.status, other.run.as_str()), (404, ""));
        for bad in ["HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", ""] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
