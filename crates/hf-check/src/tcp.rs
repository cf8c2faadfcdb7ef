//! `<tcp>` (reference 004, 13.11): a service that takes connections.

use crate::connect::{connect_twice, failed, place};
use crate::names::Names;
use crate::probe::{Found, Look, Pace, Probe};
use futures_util::future::select_ok;
use hf_config::TcpCheck;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

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
        let place = place(self.names.target(), port);
        let tries = addresses.into_iter().map(|ip| Box::pin(connect_twice(SocketAddr::new(ip, port), half)));
        match timeout(self.timeout, select_ok(tries)).await {
            Ok(Ok(_)) => Found::up(),
            Ok(Err(error)) => failed(&place, &error),
            Err(_) => Found::down(format!("{place} did not answer within {} ms", self.timeout.as_millis())),
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
