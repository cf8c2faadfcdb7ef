//! All probes of a module, on a thread beside the heart's.

use crate::probe::{Found, Pace, Probe};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Between the end of a look and the next one, however short the interval is.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Threads for what may hang; more work than that waits in line.
const THREADS_MAX: usize = 64;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The resource that the probe is for.
    pub resource: String,
    /// The number that [`Runner::start`] was given: what an earlier life of the same checker found is told apart by it.
    pub run: u64,
    pub found: Found,
}

enum Order {
    Start { resource: String, run: u64, probe: Box<dyn Probe> },
    Stop { resource: String },
}

/// Runs probes. Their thread ends when this is dropped.
pub struct Runner {
    orders: UnboundedSender<Order>,
}

type Tell = Arc<dyn Fn(Report) + Send + Sync>;

impl Runner {
    /// Starts the thread. `tell` is called there with every look's outcome, and must not block.
    ///
    /// # Errors
    /// When there is no thread or no event queue to be had.
    pub fn spawn(tell: impl Fn(Report) + Send + Sync + 'static) -> io::Result<Runner> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(THREADS_MAX).build()?;
        let (orders, received) = unbounded_channel();
        let tell: Tell = Arc::new(tell);
        std::thread::Builder::new().name("checkers".to_owned()).spawn(move || {
            runtime.block_on(obey(received, tell));
            // What hangs aside is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Runner { orders })
    }

    /// Begins to look; a probe of the same resource is stopped first.
    pub fn start(&self, resource: String, run: u64, probe: Box<dyn Probe>) {
        self.order(Order::Start { resource, run, probe });
    }

    /// Ends the looks at a resource, also one that is under way.
    pub fn stop(&self, resource: &str) {
        self.order(Order::Stop { resource: resource.to_owned() });
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the thread of the checkers is gone");
        }
    }
}

async fn obey(mut orders: UnboundedReceiver<Order>, tell: Tell) {
    let mut running: BTreeMap<String, AbortHandle> = BTreeMap::new();
    while let Some(order) = orders.recv().await {
        let (resource, life) = match order {
            Order::Start { resource, run, probe } => {
                (resource.clone(), Some(tokio::spawn(live(resource, run, probe, tell.clone())).abort_handle()))
            }
            Order::Stop { resource } => (resource, None),
        };
        let before = match life {
            Some(life) => running.insert(resource, life),
            None => running.remove(&resource),
        };
        before.into_iter().for_each(|life| life.abort());
    }
    running.into_values().for_each(|life| life.abort());
}

async fn live(resource: String, run: u64, mut probe: Box<dyn Probe>, tell: Tell) {
    loop {
        let began = Instant::now();
        let found = AssertUnwindSafe(look(probe.as_mut())).catch_unwind().await;
        let found = found.unwrap_or_else(|_| Found::unknown("the checker has a fault of its own"));
        tell(Report { resource: resource.clone(), run, found });
        let next = match probe.pace() {
            Pace::Every { interval, .. } => began + interval,
            Pace::OnEvents => began,
        };
        sleep_until(next.max(Instant::now() + PAUSE_MIN)).await;
    }
}

async fn look(probe: &mut dyn Probe) -> Found {
    match probe.pace() {
        Pace::OnEvents => probe.look().await,
        Pace::Every { limit, .. } => match timeout(limit, probe.look()).await {
            Ok(found) => found,
            Err(_) => Found::down(format!("the check was not over after {} ms", limit.as_millis())),
        },
    }
}
