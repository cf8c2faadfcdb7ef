use hf_types::Instant;
use sd_notify::NotifyState;
use std::time::Duration;

/// The service manager's wish to hear from us, if there is one.
pub struct Watchdog {
    every: Option<Duration>,
    last: Instant,
}

impl Watchdog {
    pub fn from_environment() -> Watchdog {
        Watchdog { every: sd_notify::watchdog_enabled().map(|limit| limit / 2), last: Instant(0) }
    }

    /// Commands are answered from now on.
    pub fn ready(&self) {
        tell(NotifyState::Ready);
    }

    pub fn stopping(&self) {
        tell(NotifyState::Stopping);
    }

    /// Called by the loop: only a loop that turns is alive.
    pub fn alive(&mut self, now: Instant) {
        if self.every.is_some_and(|every| now.since(self.last) >= every) {
            self.last = now;
            tell(NotifyState::Watchdog);
        }
    }
}

/// Nothing happens without a service manager.
fn tell(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}
