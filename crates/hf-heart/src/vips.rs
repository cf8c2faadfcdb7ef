//! Virtual addresses: short netlink calls in the loop itself, so that a loop that stands still lets them expire. Only the
//! question whether somebody else has an address, and the ear for those who claim it later, are tasks beside it.

mod ahead;

use crate::event::{Event, Events};
use ahead::{Ahead, hear};
use hf_host::clock;
use hf_host::files::with_causes;
use hf_net::{Guard, LinuxVirtualIp, MacAddr, NetEvent, NetWatch, Placed, VipCause, VipError, VipSpec, VirtualIp};
use hf_node::heart::HeartInput;
use hf_types::Instant;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// How long the LAN has to answer the question who has an address: a kernel answers within a millisecond, and the
/// service waits for this at every failover.
const PROBE: Duration = Duration::from_millis(200);
/// An answer that is judged later than this after the question: the loop stood still in between, and the other node may
/// have been told to take the address.
const PROBE_LATE: Duration = Duration::from_millis(700);
/// A machine that claims the address again and again is listened to this often.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

pub struct Vips {
    network: LinuxVirtualIp,
    specs: Vec<VipSpec>,
    tcp_reset: bool,
    events: Events,
    addresses: BTreeMap<IpAddr, Address>,
    /// Interfaces and whether they had a carrier when last seen.
    carriers: BTreeMap<u32, bool>,
    questions: u64,
    /// What the LAN was asked before an address was wanted.
    ahead: BTreeMap<IpAddr, Ahead>,
}

/// An address that is wanted here.
struct Address {
    /// The question that has to be answered before it is set; 0: none.
    question: u64,
    /// The question was asked before the address was wanted, and in this node's own name.
    ahead: bool,
    asked: Instant,
    lifetime: Duration,
    /// Where it is, once it is set.
    placed: Option<Placed>,
    ear: Option<tokio::task::AbortHandle>,
}

impl Drop for Address {
    fn drop(&mut self) {
        if let Some(ear) = &self.ear {
            ear.abort();
        }
    }
}

impl Vips {
    pub fn open(specs: Vec<VipSpec>, tcp_reset: bool, events: Events) -> std::io::Result<Vips> {
        let network = LinuxVirtualIp::open()?;
        Ok(Vips {
            network,
            specs,
            tcp_reset,
            events,
            addresses: BTreeMap::new(),
            carriers: BTreeMap::new(),
            questions: 0,
            ahead: BTreeMap::new(),
        })
    }

    /// Begins to hear of links and addresses that come and go. Without this, what is lost is found at the next renewal.
    pub fn watch(&mut self) {
        if self.specs.is_empty() {
            return;
        }
        match NetWatch::open() {
            Ok(watch) => drop(tokio::spawn(watch_network(watch, self.events.clone()))),
            Err(error) => tracing::warn!(error = with_causes(&error), "network interfaces are not watched"),
        }
        match self.network.links() {
            Ok(links) => self.carriers = links.into_iter().map(|link| (link.index, link.carrier)).collect(),
            Err(error) => tracing::warn!(%error, "network interfaces can't be listed"),
        }
    }

    /// Asks the LAN first; [`Vips::probed`] sets the address. An input only if that can't even begin.
    pub fn set(&mut self, address: IpAddr, lifetime: Duration) -> Option<HeartInput> {
        if let Some(ahead) = self.ahead.remove(&address).filter(Ahead::is_fresh) {
            return self.set_asked(address, lifetime, &ahead);
        }
        self.questions += 1;
        let question = self.questions;
        let mut wanted = Address { question, ahead: false, asked: clock::now(), lifetime, placed: None, ear: None };
        match self.network.guard(&self.spec(address)) {
            Ok(guard) => {
                let ear = tokio::spawn(listen(guard, address, question, self.events.clone()));
                wanted.ear = Some(ear.abort_handle());
                self.addresses.insert(address, wanted);
                None
            }
            Err(error @ VipError { cause: VipCause::NoInterface | VipCause::UnknownInterface { .. }, .. }) => {
                Some(HeartInput::VipSet { address, error: Some(with_causes(&error)) })
            }
            Err(error) => {
                tracing::warn!(%address, why = with_causes(&error), "others who have the address aren't heard");
                self.addresses.insert(address, wanted);
                Some(self.put(address, lifetime))
            }
        }
    }

    /// The answer to a question; one that nobody waits for any more is none.
    pub fn probed(
        &mut self,
        address: IpAddr,
        question: u64,
        found: Result<Option<String>, String>,
    ) -> Option<HeartInput> {
        if self.answered_ahead(address, question, matches!(found, Ok(None))) {
            return None;
        }
        let wanted = self.addresses.get_mut(&address).filter(|wanted| wanted.question == question)?;
        wanted.question = 0;
        let (late, lifetime) = (clock::now().since(wanted.asked) > PROBE_LATE, wanted.lifetime);
        if wanted.ahead && !matches!(found, Ok(None)) {
            // Perhaps a router that answers for all: only the question in nobody's name counts.
            self.addresses.remove(&address);
            return self.set(address, lifetime);
        }
        let refused = match found {
            Ok(Some(by)) => {
                Some(format!("{by} has it: two machines with one address would harm both, so it isn't set"))
            }
            _ if late => Some("this process stood still while it asked who has it; it asks again".to_owned()),
            Ok(None) => None,
            Err(why) => {
                tracing::warn!(%address, why, "nobody could be asked who has the address");
                None
            }
        };
        if refused.is_some() {
            self.addresses.remove(&address);
            return Some(HeartInput::VipSet { address, error: refused });
        }
        Some(self.put(address, lifetime))
    }

    fn put(&mut self, address: IpAddr, lifetime: Duration) -> HeartInput {
        let placed = self.network.set(&self.spec(address), lifetime);
        for warning in placed.iter().flat_map(|placed| &placed.warnings) {
            tracing::warn!(%address, "{warning}");
        }
        match placed {
            Ok(placed) => {
                if let Some(wanted) = self.addresses.get_mut(&address) {
                    wanted.asked = clock::now();
                    wanted.placed = Some(placed);
                }
                HeartInput::VipSet { address, error: None }
            }
            Err(error) => {
                self.addresses.remove(&address);
                HeartInput::VipSet { address, error: Some(with_causes(&error)) }
            }
        }
    }

    /// Another machine claims the address.
    pub fn claimed(&mut self, address: IpAddr, by: String) -> Option<HeartInput> {
        self.ahead.remove(&address);
        let here = self.addresses.get(&address).is_some_and(|wanted| wanted.placed.is_some());
        here.then_some(HeartInput::VipClaimed { address, by })
    }

    /// An interface or an address changed.
    pub fn seen(&mut self, event: &NetEvent) -> Vec<HeartInput> {
        match event {
            NetEvent::Link(link) => {
                let before = self.carriers.insert(link.index, link.carrier).unwrap_or(false);
                if link.carrier && !before { self.on_interface(link.index) } else { Vec::new() }
            }
            NetEvent::LinkGone(link) => {
                self.carriers.remove(&link.index);
                self.missing()
            }
            NetEvent::AddressGone { .. } | NetEvent::Lost => self.missing(),
            NetEvent::Address { .. } => Vec::new(),
        }
    }

    /// Addresses on the interface, and those that are on none: perhaps they belong there.
    fn on_interface(&self, index: u32) -> Vec<HeartInput> {
        let elsewhere = |address: &IpAddr| {
            let placed = self.addresses.get(address).and_then(|wanted| wanted.placed.as_ref());
            placed.is_some_and(|placed| placed.index != index)
        };
        let addresses = self.specs.iter().map(|spec| spec.address).filter(|address| !elsewhere(address));
        addresses.map(|address| HeartInput::VipLinkBack { address }).collect()
    }

    /// What was set and isn't there: looked at, not believed, because the event may be older than the last setting.
    fn missing(&mut self) -> Vec<HeartInput> {
        if self.addresses.values().all(|wanted| wanted.placed.is_none()) {
            return Vec::new();
        }
        let present = match self.network.addresses() {
            Ok(present) => present,
            Err(error) => {
                tracing::warn!(%error, "addresses can't be listed");
                return Vec::new();
            }
        };
        let gone = |address: &IpAddr| !present.iter().any(|entry| entry.address == *address);
        let set = self.addresses.iter().filter(|(_, wanted)| wanted.placed.is_some());
        let missing: Vec<IpAddr> = set.map(|(address, _)| *address).filter(gone).collect();
        missing.iter().filter_map(|address| self.lose(*address)).collect()
    }

    /// Before the end of its lifetime somebody took it away; after that the kernel did, and the next renewal says so.
    fn lose(&mut self, address: IpAddr) -> Option<HeartInput> {
        let wanted = self.addresses.get(&address)?;
        if clock::now().since(wanted.asked) >= wanted.lifetime {
            return None;
        }
        self.addresses.remove(&address);
        Some(HeartInput::VipRemoved { address })
    }

    /// An input only if the address is lost.
    pub fn renew(&mut self, address: IpAddr, lifetime: Duration) -> Option<HeartInput> {
        let now = clock::now();
        let Err(error) = self.network.renew(address, lifetime) else {
            if let Some(wanted) = self.addresses.get_mut(&address) {
                (wanted.asked, wanted.lifetime) = (now, lifetime);
            }
            return None;
        };
        let why = with_causes(&error);
        match error {
            VipError { cause: VipCause::Gone | VipCause::Stalled { .. }, .. } => {
                self.addresses.remove(&address);
                Some(HeartInput::VipLost { address, why })
            }
            _ => {
                tracing::warn!(%address, why, "the virtual address was not renewed");
                None
            }
        }
    }

    pub fn announce(&mut self, address: IpAddr) {
        if let Err(error) = self.network.announce(address) {
            tracing::warn!(%address, error = with_causes(&error), "the virtual address was not announced");
        }
    }

    /// Counts in a thread of its own: a busy server has many connections to look at.
    pub fn count(&self, address: IpAddr) {
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let counted = LinuxVirtualIp::open()
                .map_err(|error| error.to_string())
                .and_then(|mut network| network.connections(address).map_err(|error| with_causes(&error)));
            match counted {
                // A heart that leaves no longer listens.
                Ok(count) => drop(events.send(Event::Input(HeartInput::VipConnections { address, count }))),
                Err(error) => tracing::warn!(%address, error, "connections are not counted"),
            }
        });
    }

    pub fn clear(&mut self, address: IpAddr) -> HeartInput {
        self.addresses.remove(&address);
        let cleared = self.network.clear(address, self.tcp_reset);
        HeartInput::VipCleared { address, error: cleared.err().map(|error| with_causes(&error)) }
    }

    /// Whatever a dead predecessor left.
    pub fn clear_all(&mut self) {
        for spec in self.specs.clone() {
            if let Err(error) = self.network.clear(spec.address, self.tcp_reset) {
                tracing::warn!(address = %spec.address, error = with_causes(&error), "an old virtual address stays");
            }
        }
    }

    fn spec(&self, address: IpAddr) -> VipSpec {
        let spec = self.specs.iter().find(|spec| spec.address == address).cloned();
        spec.unwrap_or_else(|| VipSpec::new(address))
    }
}

/// Asks who has the address, then goes on listening. Ends with the heart, or when the address is no longer wanted.
async fn listen(mut guard: Guard, address: IpAddr, question: u64, events: Events) {
    let interface = guard.interface().to_owned();
    let found = guard.probe(PROBE).await.map(|found| found.map(|mac| named(mac, &interface)));
    let found = found.map_err(|error| error.to_string());
    if events.send(Event::VipProbed { address, question, found }).is_ok() {
        hear(guard, address, events).await;
    }
}

fn named(mac: MacAddr, interface: &str) -> String {
    format!("the machine with the Ethernet address {mac} on {interface}")
}

async fn watch_network(mut watch: NetWatch, events: Events) {
    loop {
        match watch.next().await {
            Ok(seen) => {
                if seen.into_iter().any(|event| events.send(Event::Network(event)).is_err()) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "network interfaces are no longer watched");
                return;
            }
        }
    }
}
