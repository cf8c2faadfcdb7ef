//! `<ping>` (reference 004, 13.12): a machine that answers echo requests. The splitbrain checker asks its witnesses the same way.

mod echo;
mod socket;

use crate::names::Names;
use crate::probe::{Found, Look, Pace, Probe};
use echo::Question;
use futures_util::future::select_ok;
use hf_config::{PingCheck, Target};
use socket::EchoSocket;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Requests within one time-out: of so many packets not all are lost by chance.
const TRIES: u32 = 3;

/// Sends echo requests; one of the addresses of a name is enough.
pub struct PingProbe {
    names: Names,
    interval: Duration,
    timeout: Duration,
}

impl PingProbe {
    pub fn new(check: &PingCheck) -> PingProbe {
        let ms = Duration::from_millis;
        PingProbe::to(check.target.clone(), ms(check.interval_ms), ms(check.timeout_ms))
    }

    /// Asks `target` each `interval`, and waits `timeout` for an answer.
    pub fn to(target: Target, interval: Duration, timeout: Duration) -> PingProbe {
        PingProbe { names: Names::new(target), interval, timeout }
    }

    pub(crate) async fn ask(&mut self) -> Found {
        let addresses = match self.names.addresses(self.timeout / 2).await {
            Ok(addresses) => addresses,
            Err(why) => return Found::down(why),
        };
        let asked = addresses.into_iter().map(|address| Box::pin(ask(address, self.timeout)));
        match select_ok(asked).await {
            Ok(_) => Found::up(),
            Err(Failed::NotAsked(error)) => {
                Found::unknown(format!("{} could not be asked: {error}", self.names.target()))
            }
            Err(Failed::Silent(None)) => self.silent(""),
            Err(Failed::Silent(Some(error))) => self.silent(&format!(" ({error})")),
        }
    }

    fn silent(&self, more: &str) -> Found {
        let (target, ms) = (self.names.target(), self.timeout.as_millis());
        Found::down(format!("{target} did not answer {TRIES} pings within {ms} ms{more}"))
    }
}

impl Probe for PingProbe {
    fn pace(&self) -> Pace {
        // The name, then the answer.
        Pace::Every { interval: self.interval, limit: self.timeout * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.ask())
    }
}

/// Why there is no answer.
enum Failed {
    /// This machine has no socket for it, or no memory.
    NotAsked(io::Error),
    /// With what the network said to the requests, if anything.
    Silent(Option<io::Error>),
}

async fn ask(address: IpAddr, patience: Duration) -> Result<(), Failed> {
    let socket = EchoSocket::open(address).map_err(|error| match error.raw_os_error() {
        // There is no way to it: as good as no answer.
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL) => Failed::Silent(Some(error)),
        _ => Failed::NotAsked(error),
    })?;
    let question = Question::new(address).map_err(Failed::NotAsked)?;
    let mut told = None;
    match timeout(patience, exchange(&socket, &question, patience, &mut told)).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failed::Silent(told)),
    }
}

/// Ends with an answer, or never.
async fn exchange(socket: &EchoSocket, question: &Question, patience: Duration, told: &mut Option<io::Error>) {
    let began = Instant::now();
    let mut sent: u32 = 0;
    loop {
        if sent < TRIES && Instant::now() >= began + patience * sent / TRIES {
            // A route that is missing now may be there for the next request.
            *told = socket.send(&question.request(sent, socket.kind())).await.err();
            sent += 1;
        }
        let next = began + patience * sent.min(TRIES) / TRIES;
        tokio::select! {
            received = socket.receive() => match received {
                Ok(packet) if question.is_answered_by(&packet, socket.kind()) => return,
                Ok(_) => {}
                Err(error) => {
                    *told = Some(error);
                    sleep_until(next).await;
                }
            },
            () = sleep_until(next), if sent < TRIES => {}
        }
    }
}
