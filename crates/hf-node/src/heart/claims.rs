//! Virtual addresses beside others: who claims one too, links that come back, connections that are counted.

use super::HeartEffect;
use super::Vip;
use super::actor::{HeartActor, Out, log};
use super::checkers::STARTING;
use super::vips::{Address, AddressState};
use hf_types::{Event, Instant, ResourceValue};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// A claim is answered by an announcement at most this often (RFC 5227, 1.1: DEFEND_INTERVAL).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Nobody claimed the address for so long: the conflict is over.
const QUIET: Duration = Duration::from_secs(30);
/// Between the first and the last claim, for a conflict.
const CLAIM_LASTS: Duration = Duration::from_secs(1);
/// How often connections are counted (reference 004, 13.5.5.2).
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

/// Another machine says to have the address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Claim {
    by: String,
    first: Instant,
    heard: Instant,
    defended: Option<Instant>,
}

impl Claim {
    /// When it is forgotten.
    pub(super) fn ends(&self) -> Instant {
        self.heard + QUIET
    }

    /// It was said again after this node had answered: who only asks whether the address is free gives way then, and one packet must not
    /// stop a service.
    fn lasts(&self) -> bool {
        self.heard.since(self.first) >= CLAIM_LASTS
    }
}

impl HeartActor {
    /// The address stays and is defended: giving way would let any machine with a wrong configuration stop the service.
    /// Beside another primary nothing is said, because there the hearts decide.
    pub(super) fn on_vip_claimed(&mut self, which: IpAddr, by: String, out: &mut Out) {
        let name = format!("{which} of {}", self.config.module);
        let (now, beside) = (self.now, self.other_primary());
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            if address.state != AddressState::Set {
                continue;
            }
            let before = address.claim.take();
            if before.as_ref().is_none_or(|claim| claim.by != by) {
                log(out, Event::VirtualIpClaimed { address: name.clone(), by: by.clone() });
            }
            let first = before.as_ref().map_or(now, |claim| claim.first);
            let mut defended = before.and_then(|claim| claim.defended);
            if !beside && defended.is_none_or(|at| now.since(at) >= DEFEND_INTERVAL) {
                defended = Some(now);
                address.announce_soon(now);
            }
            address.claim = Some(Claim { by: by.clone(), first, heard: now, defended });
        }
    }

    /// Switches and neighbours may have forgotten the address meanwhile, or the kernel has.
    pub(super) fn on_vip_link_back(&mut self, which: IpAddr) {
        let now = self.now;
        for address in self.vips.addresses.iter_mut().filter(|address| address.vip.address == which) {
            match address.state {
                AddressState::Set => address.announce_soon(now),
                AddressState::Failed => address.next_renewal = None,
                AddressState::Absent | AddressState::Setting | AddressState::Clearing => {}
            }
        }
    }

    pub(super) fn on_vip_connections(&mut self, which: IpAddr, count: usize, out: &mut Out) {
        let here = |address: &Address| address.vip.address == which && address.state == AddressState::Set;
        if self.vips.addresses.iter().any(here) {
            let name = format!("connections.{which}");
            self.set_resource(&name, ResourceValue::Text(count.to_string()), "heart", false, out);
        }
    }

    /// Forgets claims that ended, has connections counted.
    pub(super) fn tend_claims(&mut self, out: &mut Out) {
        let now = self.now;
        for address in &mut self.vips.addresses {
            if address.claim.as_ref().is_some_and(|claim| claim.ends() <= now) {
                address.claim = None;
                let which = address.vip.address;
                log(
                    out,
                    Event::Text(format!(
                        "Virtual IP <{which} of {}>: nobody else claims it any more",
                        self.config.module
                    )),
                );
            }
            if address.state == AddressState::Set && address.next_count.is_some_and(|at| at <= now) {
                address.next_count = Some(now + COUNT_INTERVAL);
                out.push(HeartEffect::CountConnections { address: address.vip.address });
            }
        }
    }

    /// `ip.<address>` of every address with `check="on"` (reference 004, 13.14), and no connections where it isn't.
    pub(super) fn publish_vips(&mut self, out: &mut Out) {
        // Where it was set a moment ago its lifetime has to end first.
        let coming = self.now.since(self.vips.wanted_since) < STARTING;
        let checking = self.config.checking;
        for n in 0..self.vips.addresses.len() {
            let address = &mut self.vips.addresses[n];
            let value = match address.state {
                _ if !checking => ResourceValue::Init,
                AddressState::Set if !address.claim.as_ref().is_some_and(Claim::lasts) => ResourceValue::Up,
                AddressState::Failed if coming && !address.came => ResourceValue::Init,
                AddressState::Set | AddressState::Failed => ResourceValue::Down,
                // On the way to either: what was, stays.
                AddressState::Setting => continue,
                AddressState::Absent | AddressState::Clearing => ResourceValue::Init,
            };
            let here = address.state == AddressState::Set;
            let shown = Some((address.vip.check, address.vip.connections && !here, value.clone()));
            if std::mem::replace(&mut address.shown, shown.clone()) != shown {
                let vip = address.vip.clone();
                self.publish_vip(&vip, here, value, out);
            }
        }
    }

    fn publish_vip(&mut self, vip: &Vip, here: bool, value: ResourceValue, out: &mut Out) {
        if vip.check {
            let (by, loud) = if value == ResourceValue::Init { ("heart", false) } else { ("ipcheck", true) };
            self.set_resource(&format!("ip.{}", vip.address), value, by, loud, out);
        }
        if vip.connections && !here {
            self.set_shown(&format!("connections.{}", vip.address), 0, "heart", out);
        }
    }
}
