use super::actor::{HeartActor, Out, log};
use super::claims::Claim;
use super::{HeartConfig, HeartEffect, Vip};
use hf_types::{Event, Instant, ResourceValue};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// Beyond an address' lifetime, before the other node may take it.
const MARGIN: Duration = Duration::from_millis(300);
/// How soon an address that could not be set is tried again; the first time sooner: what was in its way was perhaps the
/// other node's, whose lifetime has just ended.
const RETRY: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long before the end of the other node's silence the LAN is asked who has the addresses: what the question takes
/// (docs/design/0005-address-conflicts.md), and a little for the loop.
pub(super) const ASK_AHEAD: Duration = Duration::from_millis(250);

/// The virtual addresses of a module on this node.
///
/// The kernel takes an address away when nobody renews it for its lifetime: so it goes even if all of ours are dead.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Vips {
    lifetime: Duration,
    pub(super) addresses: Vec<Address>,
    /// The module wants its addresses here, and since when.
    wanted: bool,
    pub(super) wanted_since: Instant,
    /// An address got another lifetime in this look: a heartbeat goes with it, so that the other node's silence never
    /// begins before it.
    pub(super) prolonged: bool,
    /// The other node was primary too at the last look.
    beside: bool,
    /// The end of the silence for which the LAN was asked already.
    asked_for: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Address {
    pub(super) vip: Vip,
    pub(super) state: AddressState,
    pub(super) next_renewal: Option<Instant>,
    pub(super) next_announcement: Option<Instant>,
    pub(super) announce_until: Option<Instant>,
    removed_at: Option<Instant>,
    /// It was set since it is wanted.
    pub(super) came: bool,
    /// What was logged since it was last set: a failure that repeats is told once.
    said: Option<String>,
    pub(super) claim: Option<Claim>,
    pub(super) next_count: Option<Instant>,
    /// What its resources were made of last.
    pub(super) shown: Option<(bool, bool, ResourceValue)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum AddressState {
    Absent,
    Setting,
    Set,
    /// It could not be set, or went away: tried again at the next renewal.
    Failed,
    Clearing,
}

impl Vips {
    pub(super) fn new(config: &HeartConfig) -> Vips {
        let address = |vip: &Vip| Address {
            vip: vip.clone(),
            state: AddressState::Absent,
            next_renewal: None,
            next_announcement: None,
            announce_until: None,
            removed_at: None,
            came: false,
            said: None,
            claim: None,
            next_count: None,
            shown: None,
        };
        Vips {
            lifetime: lifetime(config),
            addresses: config.vips.iter().map(address).collect(),
            wanted: false,
            wanted_since: Instant(0),
            prolonged: false,
            beside: false,
            asked_for: None,
        }
    }

    /// How long the other node's addresses may outlive it.
    pub(super) fn takeover_wait(&self) -> Duration {
        if self.addresses.is_empty() { Duration::ZERO } else { self.lifetime + MARGIN }
    }

    /// Other heartbeats: addresses live as long as these allow from their next renewal on.
    pub(super) fn configure(&mut self, config: &HeartConfig) {
        self.lifetime = lifetime(config);
    }

    /// After a stall longer than their lifetime the addresses are gone: they come back only once we have listened.
    pub(super) fn stood_still(&mut self, stall: Duration) {
        if stall < self.lifetime {
            return;
        }
        for address in &mut self.addresses {
            if address.state == AddressState::Set {
                address.state = AddressState::Failed;
                address.next_renewal = None;
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let times = self.addresses.iter().flat_map(|address| {
            let quiet = address.claim.as_ref().map(Claim::ends);
            [address.next_renewal, address.next_announcement, address.next_count, quiet]
        });
        times.flatten().min()
    }

    pub(super) fn all_answered_set(&self) -> bool {
        let answered = |address: &Address| matches!(address.state, AddressState::Set | AddressState::Failed);
        self.addresses.iter().all(answered)
    }

    pub(super) fn all_cleared(&self) -> bool {
        self.addresses.iter().all(|address| address.state == AddressState::Absent)
    }
}

/// Whole seconds, because the kernel counts in them: as long as the quickest heartbeat allows, 3 s at most.
fn lifetime(config: &HeartConfig) -> Duration {
    let shortest = config.lanes.iter().map(|lane| lane.timeout).min();
    let seconds = match shortest.unwrap_or(Duration::from_secs(30)).as_millis() {
        0..2000 => 1,
        2000..3000 => 2,
        _ => 3,
    };
    Duration::from_secs(seconds)
}

impl HeartActor {
    /// How long every lane must be silent before the secondary takes over: the other node's addresses are gone then.
    pub(super) fn takeover_silence(&self) -> Duration {
        let longest = self.config.lanes.iter().map(|lane| lane.timeout).max().unwrap_or_default();
        let margin = self.witness_margin();
        let witness = if margin.is_zero() { Duration::ZERO } else { longest + margin };
        self.vips.takeover_wait().max(witness)
    }

    /// When the LAN is to be asked who has the addresses, should the other node stay silent.
    pub(super) fn ask_vips_at(&self) -> Option<Instant> {
        let end = self.pair.silent_at(self.takeover_silence())?;
        Some(end.before(ASK_AHEAD))
    }

    /// A takeover is about to come: the question who has the addresses takes its time now and not then. Nothing but a question is
    /// sent: if the other node is heard again, nothing has happened.
    pub(super) fn ask_vips_ahead(&mut self, out: &mut Out) {
        let end = self.pair.silent_at(self.takeover_silence());
        let due = self.ask_vips_at().is_some_and(|at| at <= self.now);
        if !due || self.vips.asked_for == end || self.vips.wanted || !self.may_take_over() || self.pair.listening() {
            return;
        }
        self.vips.asked_for = end;
        let absent = self.vips.addresses.iter().filter(|address| address.state == AddressState::Absent);
        out.extend(absent.map(|address| HeartEffect::AskVip { address: address.vip.address }));
    }

    pub(super) fn set_vips(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.vips.wanted, true) {
            self.vips.wanted_since = self.now;
        }
        // A role that came late, from a swap that was given up meanwhile: the other node has the address, and one of the two makes way.
        let elsewhere = self.other_primary() && self.heard_peer().is_some_and(|peer| peer.granted.is_some());
        let lifetime = self.vips.lifetime;
        for address in &mut self.vips.addresses {
            if matches!(address.state, AddressState::Set | AddressState::Setting) {
                continue;
            }
            if elsewhere {
                address.state = AddressState::Failed;
                address.next_renewal = None;
                continue;
            }
            address.state = AddressState::Setting;
            out.push(HeartEffect::SetVip { address: address.vip.address, lifetime });
        }
    }

    pub(super) fn clear_vips(&mut self, out: &mut Out) {
        self.vips.wanted = false;
        for address in &mut self.vips.addresses {
            address.next_renewal = None;
            address.next_announcement = None;
            address.next_count = None;
            address.claim = None;
            address.said = None;
            address.came = false;
            if address.state != AddressState::Absent {
                address.state = AddressState::Clearing;
                out.push(HeartEffect::ClearVip { address: address.vip.address });
            }
        }
    }

    /// The deadline came without an answer: the kernel takes them away by their lifetime.
    pub(super) fn forget_vips(&mut self) {
        for address in &mut self.vips.addresses {
            address.state = AddressState::Absent;
        }
    }

    pub(super) fn on_vip_set(&mut self, which: IpAddr, error: Option<String>, out: &mut Out) {
        let module = self.config.module.clone();
        let (now, renewal) = (self.now, self.vips.lifetime / 3);
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            if address.state != AddressState::Setting {
                continue;
            }
            let Some(error) = &error else {
                address.is_set(now, now + renewal);
                self.vips.prolonged = true;
                log(out, Event::VirtualIpSet(format!("{which} of {module}")));
                continue;
            };
            address.state = AddressState::Failed;
            let wait = if address.said.is_none() { FIRST_RETRY } else { RETRY };
            address.next_renewal = Some(now + wait);
            if address.said.as_ref() != Some(error) {
                address.said = Some(error.clone());
                log(out, Event::VirtualIpFailed { address: format!("{which} of {module}"), error: error.clone() });
            }
        }
    }

    pub(super) fn on_vip_cleared(&mut self, which: IpAddr, error: Option<String>, out: &mut Out) {
        let module = self.config.module.clone();
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            if address.state != AddressState::Clearing {
                continue;
            }
            address.state = AddressState::Absent;
            match &error {
                None => log(out, Event::VirtualIpUnset(format!("{which} of {module}"))),
                Some(error) => {
                    log(out, Event::VirtualIpFailed { address: format!("{which} of {module}"), error: error.clone() })
                }
            }
        }
    }

    pub(super) fn on_vip_lost(&mut self, which: IpAddr, why: String, out: &mut Out) {
        let module = self.config.module.clone();
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            if address.state == AddressState::Set {
                address.state = AddressState::Failed;
                log(out, Event::VirtualIpFailed { address: format!("{which} of {module}"), error: why.clone() });
            }
        }
    }

    /// Somebody took it away: it is set again at once, but not again and again against somebody who goes on.
    pub(super) fn on_vip_removed(&mut self, which: IpAddr, out: &mut Out) {
        let module = self.config.module.clone();
        let now = self.now;
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            if address.state != AddressState::Set {
                continue;
            }
            let again = address.removed_at.replace(now).is_some_and(|before| now.since(before) < 2 * RETRY);
            address.state = AddressState::Failed;
            address.next_renewal = again.then(|| now + RETRY);
            let error = "somebody removed it from its interface; it is set again".to_owned();
            log(out, Event::VirtualIpFailed { address: format!("{which} of {module}"), error });
        }
    }

    /// Renews what is set, tries again what failed (not while listening after a
    /// stall, beside another primary, or on the way out), announces.
    pub(super) fn tend_vips(&mut self, out: &mut Out) {
        if !self.vips.wanted {
            return;
        }
        let (now, lifetime) = (self.now, self.vips.lifetime);
        let other = self.other_primary();
        let parted = std::mem::replace(&mut self.vips.beside, other) && !other;
        let listening = self.pair.listening() || self.is_stopping() || other;
        for address in &mut self.vips.addresses {
            let due = address.next_renewal.is_none_or(|at| at <= now);
            match address.state {
                AddressState::Set if due => {
                    address.next_renewal = Some(now + lifetime / 3);
                    self.vips.prolonged = true;
                    out.push(HeartEffect::RenewVip { address: address.vip.address, lifetime });
                }
                AddressState::Failed if due && !listening => {
                    address.state = AddressState::Setting;
                    address.next_renewal = Some(now + lifetime / 3);
                    out.push(HeartEffect::SetVip { address: address.vip.address, lifetime });
                }
                _ => {}
            }
            if parted {
                // Clients believe the one that spoke last.
                address.announce_soon(now);
            }
            announce(address, now, out);
        }
        self.tend_claims(out);
    }

    /// Both nodes are primary: their hearts decide who stays, and the address goes with that.
    pub(super) fn other_primary(&self) -> bool {
        self.heard_peer().is_some_and(|peer| peer.state.is_primary() && !peer.stopping)
    }
}

impl Address {
    fn is_set(&mut self, now: Instant, next_renewal: Instant) {
        self.state = AddressState::Set;
        self.came = true;
        self.next_renewal = Some(next_renewal);
        self.said = None;
        if self.vip.arp_reroute {
            self.next_announcement = Some(now + self.vip.arp_interval);
            self.announce_until = Some(now + self.vip.arp_elapse);
        }
        if self.vip.connections {
            self.next_count = Some(now);
        }
    }

    /// One announcement at once, whether repetitions are wanted or not.
    pub(super) fn announce_soon(&mut self, now: Instant) {
        self.next_announcement = Some(now);
        self.announce_until = self.announce_until.max(Some(now));
    }
}

fn announce(address: &mut Address, now: Instant, out: &mut Out) {
    if address.state != AddressState::Set || address.next_announcement.is_none_or(|at| at > now) {
        return;
    }
    let over = address.announce_until.is_none_or(|until| until < now);
    address.next_announcement = (!over).then(|| now + address.vip.arp_interval.max(Duration::from_millis(100)));
    if !over {
        out.push(HeartEffect::AnnounceVip { address: address.vip.address });
    }
}
