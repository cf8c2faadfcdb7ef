//! Last words for a daemon that isn't there: that the module is to be started again, or the machine rebooted, would be lost with this heart.

use crate::event::Event;
use hf_wire::bus::HeartToDaemon;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Tells the next daemon that connects, if one does in time; whether one did.
pub async fn tell(message: &HeartToDaemon, events: &mut UnboundedReceiver<Event>, patience: Duration) -> bool {
    let told = async {
        while let Some(event) = events.recv().await {
            if let Event::DaemonUp { outbox, .. } = event
                && outbox.send(message).is_ok()
            {
                // The outbox writes what it has before it closes.
                return true;
            }
        }
        false
    };
    tokio::time::timeout(patience, told).await.unwrap_or(false)
}

/// Whether somebody must hear it, or the module stays stopped though nobody wanted that.
pub fn matters(message: &HeartToDaemon) -> bool {
    matches!(message, HeartToDaemon::Stopped { restart, reboot, .. } if restart.is_some() || *reboot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_bus::{Outbox, Reader, Writer};
    use tokio::sync::mpsc::unbounded_channel;

    fn stopped(reboot: bool) -> HeartToDaemon {
        HeartToDaemon::Stopped { restart: None, why: None, reboot }
    }

    #[tokio::test]
    async fn the_next_daemon_hears_it() {
        let (events, mut inbox) = unbounded_channel();
        let (ours, theirs) = tokio::io::duplex(4096);
        let outbox = Outbox::spawn(Writer::new(ours), 8);
        assert!(events.send(Event::Bell).is_ok() && events.send(Event::DaemonUp { link: 2, outbox }).is_ok());
        assert!(tell(&stopped(true), &mut inbox, Duration::from_secs(60)).await);
        let heard: Option<HeartToDaemon> = Reader::new(theirs).receive().await.expect("a frame");
        assert_eq!(heard, Some(stopped(true)));
    }

    #[tokio::test]
    async fn nobody_is_waited_for_in_vain() {
        let (_events, mut inbox) = unbounded_channel();
        assert!(!tell(&stopped(true), &mut inbox, Duration::from_millis(20)).await);
        assert!(matters(&stopped(true)) && !matters(&stopped(false)) && !matters(&HeartToDaemon::Bell));
    }
}
