//! Watches systemd services over D-Bus (reference 004, 13.9: `service="yes"`).
//!
//! A thread with a runtime of its own asks systemd for the `ActiveState` of each service when it is told to look, and again each time that systemd
//! says that something of one of them has changed. What it can't learn (no bus, no answer in time) is unsure, and never a fault.

mod bus;
mod state;

use std::io;
use std::time::Duration;

use hf_types::ProcCount;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use bus::Bus;

/// Between two looks because something changed: a service that restarts again and again must not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(50);

/// A service that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Names it in answers.
    pub name: String,
    /// As systemd knows it; `.service` may be left out.
    pub unit: String,
}

type Look = (u64, Vec<Service>);

/// The thread's other side. It ends when this is dropped.
#[derive(Debug)]
pub struct Services {
    looks: UnboundedSender<Look>,
}

impl Services {
    /// Starts the thread. `tell` gets the number of the newest look with what it saw, and again, with the same number, when something changed.
    ///
    /// # Errors
    /// When there are no descriptors or threads left.
    pub fn start(tell: impl Fn(u64, Vec<ProcCount>) + Send + 'static) -> io::Result<Services> {
        let (looks, wanted) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let live = move || runtime.block_on(live(wanted, tell));
        std::thread::Builder::new().name("systemd".to_owned()).spawn(live)?;
        Ok(Services { looks })
    }

    /// Asks for the states of these services, and lets go of those of an earlier look.
    pub fn look(&self, look: u64, services: Vec<Service>) {
        if self.looks.send((look, services)).is_err() {
            tracing::error!("the thread that watches services is gone");
        }
    }
}

async fn live(mut looks: UnboundedReceiver<Look>, tell: impl Fn(u64, Vec<ProcCount>)) {
    let mut bus = Bus::default();
    let mut wanted: Look = (0, Vec::new());
    loop {
        tokio::select! {
            look = looks.recv() => match look {
                Some(look) => wanted = look,
                None => return,
            },
            () = bus.changed() => tokio::time::sleep(PAUSE).await,
        }
        while let Ok(look) = looks.try_recv() {
            wanted = look;
        }
        let (look, services) = &wanted;
        bus.keep(services.iter().map(|service| state::unit(&service.unit)).collect());
        let mut counts = Vec::new();
        for service in services {
            let found = bus.active_state(&state::unit(&service.unit)).await;
            let (count, unsure) = found.as_deref().map_or((0, 1), state::count);
            counts.push(ProcCount { name: service.name.clone(), count, unsure });
        }
        if !counts.is_empty() {
            tell(*look, counts);
        }
    }
}
