//! The connection to systemd's manager.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use zbus::message::{Message, Type};

use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How long systemd may take for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The connection, made when it is needed and made anew when it broke, and what is heard over it.
#[derive(Debug, Default)]
pub struct Bus {
    connection: Option<Connection>,
    units: BTreeMap<String, Unit>,
    changed: Arc<Notify>,
}

/// A unit whose changes are heard.
#[derive(Debug)]
struct Unit {
    path: OwnedObjectPath,
    /// Takes every signal at once, so that none keeps an answer from being read.
    listener: JoinHandle<()>,
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Bus {
    /// Something of a unit has changed since this was asked last.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Lets go of all others.
    pub fn keep(&mut self, units: Vec<String>) {
        self.units.retain(|name, _| units.contains(name));
    }

    /// The state of a unit, whose changes are heard from now on; none if it can't be learnt.
    pub async fn active_state(&mut self, unit: &str) -> Option<String> {
        match self.ask(unit).await {
            Ok(state) => Some(state),
            Err(error) => {
                tracing::warn!(unit, %error, "systemd doesn't say how this service is");
                // Whatever was wrong with it: the next question finds another one.
                self.connection = None;
                self.units.clear();
                None
            }
        }
    }

    async fn ask(&mut self, unit: &str) -> zbus::Result<String> {
        let connection = self.connection().await?;
        if !self.units.contains_key(unit) {
            let heard = listen(&connection, unit, self.changed.clone()).await?;
            self.units.insert(unit.to_owned(), heard);
        }
        let Some(Unit { path, .. }) = self.units.get(unit) else {
            return Err(zbus::Error::InterfaceNotFound);
        };
        let call = connection.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "Get", &(UNIT, "ActiveState"));
        let value: OwnedVariant = within(call).await?.body().deserialize()?;
        String::try_from(value)
    }

    async fn connection(&mut self) -> zbus::Result<Connection> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        self.units.clear();
        let connection = within(Connection::system()).await?;
        // Else systemd sends no signals.
        within(connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "Subscribe", &())).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

async fn listen(connection: &Connection, unit: &str, changed: Arc<Notify>) -> zbus::Result<Unit> {
    // Also one that isn't loaded, or isn't there at all: it is inactive then.
    let call = connection.call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), "LoadUnit", &unit);
    let loaded: Message = within(call).await?;
    let path: OwnedObjectPath = loaded.body().deserialize()?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(SYSTEMD)
        .interface(PROPERTIES)
        .member("PropertiesChanged")
        .path(path.clone())
        .build()?;
    let mut signals = within(MessageStream::for_match_rule(rule, connection, None)).await?;
    let listener = tokio::spawn(async move {
        while signals.next().await.is_some() {
            changed.notify_one();
        }
        // The connection ended: whoever looks now makes another one.
        changed.notify_one();
    });
    Ok(Unit { path, listener })
}

async fn within<T>(work: impl Future<Output = zbus::Result<T>>) -> zbus::Result<T> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(zbus::Error::Failure(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}
