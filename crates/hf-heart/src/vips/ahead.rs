//! Questions who has an address, asked before it is wanted here: a takeover that comes then doesn't wait for the answer
//! (docs/design/0005-address-conflicts.md).

use super::{Address, CLAIM_PAUSE, PROBE, PROBE_LATE, Vips, named};
use crate::event::{Event, Events};
use hf_host::clock;
use hf_host::files::with_causes;
use hf_net::{Guard, VirtualIp};
use hf_node::heart::HeartInput;
use hf_types::Instant;
use std::net::IpAddr;
use std::time::Duration;

/// A question that was asked ahead. It is forgotten when somebody answers: then the usual question decides.
pub(super) struct Ahead {
    pub(super) question: u64,
    pub(super) asked: Instant,
    /// Nobody has the address.
    pub(super) free: bool,
}

impl Vips {
    /// Asks as any client would. What can't be asked so is asked when the address is wanted.
    pub fn ask_ahead(&mut self, address: IpAddr) {
        self.questions += 1;
        let question = self.questions;
        match self.network.guard(&self.spec(address)) {
            Ok(guard) => {
                self.ahead.insert(address, Ahead { question, asked: clock::now(), free: false });
                drop(tokio::spawn(inquire(guard, address, question, self.events.clone())));
            }
            Err(error) => tracing::debug!(%address, why = with_causes(&error), "the LAN isn't asked ahead"),
        }
    }

    /// Takes the answer to a question that was asked ahead and that nobody waits for yet. False: it was another one.
    pub(super) fn answered_ahead(&mut self, address: IpAddr, question: u64, free: bool) -> bool {
        let Some(ahead) = self.ahead.get_mut(&address).filter(|ahead| ahead.question == question) else {
            return false;
        };
        ahead.free = free;
        if !free {
            self.ahead.remove(&address);
        }
        true
    }

    /// The address is wanted, and the LAN was asked just now: it is set at once, or when the answer comes.
    pub(super) fn set_asked(&mut self, address: IpAddr, lifetime: Duration, ahead: &Ahead) -> Option<HeartInput> {
        let ear = self.network.guard(&self.spec(address)).ok();
        let ear = ear.map(|guard| tokio::spawn(hear(guard, address, self.events.clone())).abort_handle());
        let question = if ahead.free { 0 } else { ahead.question };
        let wanted = Address { question, ahead: true, asked: ahead.asked, lifetime, placed: None, ear };
        self.addresses.insert(address, wanted);
        ahead.free.then(|| self.put(address, lifetime))
    }
}

impl Ahead {
    /// An answer from long ago says nothing: another node may have taken the address since.
    pub(super) fn is_fresh(&self) -> bool {
        clock::now().since(self.asked) <= PROBE_LATE
    }
}

/// Asks, then goes on listening until the answer is too old to be used.
async fn inquire(mut guard: Guard, address: IpAddr, question: u64, events: Events) {
    let interface = guard.interface().to_owned();
    let found = guard.inquire(PROBE).await.map(|found| found.map(|mac| named(mac, &interface)));
    let found = found.map_err(|error| error.to_string());
    if events.send(Event::VipProbed { address, question, found }).is_err() {
        return;
    }
    if let Ok(Ok(mac)) = tokio::time::timeout(PROBE_LATE, guard.claim()).await {
        // A heart that leaves no longer listens.
        drop(events.send(Event::VipClaimed { address, by: named(mac, &interface) }));
    }
}

/// Listens for those who claim the address. Ends with the heart, or when the address is no longer wanted.
pub(super) async fn hear(mut guard: Guard, address: IpAddr, events: Events) {
    let interface = guard.interface().to_owned();
    loop {
        match guard.claim().await {
            Ok(mac) if events.send(Event::VipClaimed { address, by: named(mac, &interface) }).is_err() => return,
            Ok(_) => {}
            // Such as an interface that was switched off: the socket stays good.
            Err(error) => tracing::debug!(%error, %address, "listening for others who have the address"),
        }
        tokio::time::sleep(CLAIM_PAUSE).await;
        // What was said during the pause: who goes on will be heard again.
        while matches!(guard.read(), Ok(Some(_))) {}
    }
}
