//! `<http>`: a web service that answers as it should.

mod answer;
mod tls;

use crate::aside::Aside;
use crate::connect::{connect_twice, failed, place};
use crate::names::Names;
use crate::probe::{Found, Look, Pace, Probe};
use answer::Question;
use futures_util::future::select_ok;
use hf_config::{HttpCheck, HttpTls, Pattern, Target};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Asks once, and hangs up after the answer. One of the addresses of a name is enough. Redirections are not followed: they say that
/// another service should be asked, which isn't the one that is checked.
pub struct HttpProbe {
    names: Names,
    port: u16,
    way: Result<Way, String>,
    certificates: Aside<Result<Arc<ClientConfig>, String>>,
    interval: Duration,
    timeout: Duration,
}

/// Makes a connection secret, with the name that the certificate has to be for.
type Tls = (TlsConnector, ServerName<'static>);

/// How it asks.
struct Way {
    tls: Option<(HttpTls, ServerName<'static>)>,
    question: Arc<Question>,
}

impl Way {
    /// # Errors
    /// When a validated configuration can't be carried out after all; a part of a sentence.
    fn of(check: &HttpCheck) -> Result<Way, String> {
        let name = match &check.host {
            Target::Address(ip) => Ok(ServerName::IpAddress((*ip).into())),
            Target::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| format!("no certificate can be for a machine called {name}")),
        };
        let tls = check.tls.clone().map(|tls| name.map(|name| (tls, name))).transpose()?;
        let pattern = match &check.body {
            Some(hf_config::HttpBody::Pattern(posix)) => Some(Pattern::anywhere(posix)?),
            _ => None,
        };
        Ok(Way { tls, question: Arc::new(Question::new(check, pattern)) })
    }
}

impl HttpProbe {
    pub fn new(check: &HttpCheck) -> HttpProbe {
        HttpProbe {
            names: Names::new(check.target.clone()),
            port: check.port,
            way: Way::of(check),
            certificates: Aside::default(),
            interval: Duration::from_millis(check.interval_ms),
            timeout: Duration::from_millis(check.timeout_ms),
        }
    }

    async fn look_once(&mut self) -> Found {
        let addresses = match self.names.addresses(self.timeout / 2).await {
            Ok(addresses) => addresses,
            Err(why) => return Found::down(why),
        };
        let (tls, question) = match self.prepared().await {
            Ok(prepared) => prepared,
            Err(why) => return Found::unknown(why),
        };
        let place = place(self.names.target(), self.port);
        let (port, half) = (self.port, self.timeout / 2);
        let asked = addresses.into_iter().map(|ip| {
            let (tls, place) = (tls.clone(), place.as_str());
            Box::pin(ask(SocketAddr::new(ip, port), half, tls, &question, place))
        });
        match timeout(self.timeout, select_ok(asked)).await {
            Ok(Ok(_)) => Found::up(),
            Ok(Err(found)) => found,
            Err(_) => Found::down(format!("{place} did not answer to the end within {} ms", self.timeout.as_millis())),
        }
    }

    /// The certificates are read at each look: who renews a file needs to tell nobody.
    async fn prepared(&mut self) -> Result<(Option<Tls>, Arc<Question>), String> {
        let Way { tls, question } = self.way.as_ref().map_err(String::clone)?;
        let question = question.clone();
        let Some((tls, name)) = tls.clone() else {
            return Ok((None, question));
        };
        let read = timeout(self.timeout, self.certificates.run(move || tls::client(&tls)));
        let late = |_| format!("the certificates could not be read within {} ms", self.timeout.as_millis());
        let config = read.await.map_err(late)?.map_err(|panicked| panicked.to_string())??;
        Ok((Some((TlsConnector::from(config), name)), question))
    }
}

impl Probe for HttpProbe {
    fn pace(&self) -> Pace {
        // The name, the certificates, then the answer.
        Pace::Every { interval: self.interval, limit: self.timeout * 3 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.look_once())
    }
}

/// Everything is as it should be, or what isn't.
async fn ask(at: SocketAddr, half: Duration, tls: Option<Tls>, question: &Question, place: &str) -> Result<(), Found> {
    let stream = connect_twice(at, half).await.map_err(|error| failed(place, &error))?;
    let answered = match tls {
        None => question.ask(stream).await,
        Some((connector, name)) => match connector.connect(name, stream).await {
            Ok(stream) => question.ask(stream).await,
            Err(error) => return Err(Found::down(tls::failed(place, &error))),
        },
    };
    answered.map_err(|wrong| Found::down(wrong.about(place)))
}
