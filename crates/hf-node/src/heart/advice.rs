//! Nothing is heard of the other node's heart: network, firewall, configuration or key? (reference 004, 7.13.)

use super::HeartEffect;
use super::actor::{HeartActor, Out, log};
use hf_types::{Event, Instant, ModuleState};
use hf_wire::bus::OtherNode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the other node has to be UNKNOWN before anything is said, beyond the shortest time-out: a node that is being started says nothing
/// either.
const AFTER: Duration = Duration::from_secs(5);
/// How often it is looked at again.
const AGAIN: Duration = Duration::from_secs(10);

/// What the shell saw on one lane since it was asked last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSight {
    pub lan: String,
    /// Where the other node's heart listens, as `10.0.0.2:8888`; none: a name has no address yet.
    pub peer: Option<String>,
    /// Heartbeats that were sealed with another key.
    pub other_key: u64,
    /// The address of the last datagram that came from elsewhere.
    pub stranger: Option<String>,
    /// Why the last heartbeat could not be sent.
    pub not_sent: Option<String>,
}

/// What is known, and when to look again.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Advice {
    /// What the other node's daemon is known to be, by this node's daemon.
    pub(super) node: Option<OtherNode>,
    unknown_since: Option<Instant>,
    next: Option<Instant>,
    /// The first look only forgets what was seen long ago.
    begun: bool,
    said: Option<String>,
    /// What the log has already, so that two reasons that take turns don't fill it.
    told: BTreeSet<String>,
}

impl Advice {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// What to tell whoever asks for the state.
    pub(super) fn text(&self) -> Option<String> {
        self.said.clone()
    }
}

impl HeartActor {
    /// Has the lanes looked at while nothing is heard.
    pub(super) fn tend_advice(&mut self, out: &mut Out) {
        if self.config.peer.is_none() || self.remote.0 != ModuleState::Unknown || self.state() == ModuleState::Stop {
            let node = self.advice.node.take();
            self.advice = Advice { node, ..Advice::default() };
            return;
        }
        if self.advice.unknown_since.is_none() {
            self.advice.unknown_since = Some(self.now);
            self.advice.next = Some(self.now + self.shortest_timeout() + AFTER);
            out.push(HeartEffect::LookAtLanes);
        }
        if self.advice.next.is_some_and(|next| next <= self.now) {
            self.advice.next = Some(self.now + AGAIN);
            out.push(HeartEffect::LookAtLanes);
        }
    }

    pub(super) fn on_lanes_seen(&mut self, sights: &[LaneSight], out: &mut Out) {
        if self.remote.0 != ModuleState::Unknown || !std::mem::replace(&mut self.advice.begun, true) {
            return;
        }
        let Some(peer) = &self.config.peer else {
            return;
        };
        let text = advise(peer.as_str(), self.config.module.as_str(), sights, self.advice.node);
        if self.advice.told.insert(text.clone()) {
            log(out, Event::Advice(text.clone()));
        }
        self.advice.said = Some(text);
    }
}

/// The likeliest reason, and what to do.
fn advise(peer: &str, module: &str, sights: &[LaneSight], node: Option<OtherNode>) -> String {
    let heard = node.is_some_and(|node| node.heard);
    let lans = |wanted: &dyn Fn(&LaneSight) -> bool| {
        sights.iter().filter(|sight| wanted(sight)).map(|sight| sight.lan.as_str()).collect::<Vec<_>>().join(", ")
    };
    let keyed = lans(&|sight| sight.other_key > 0);
    // The daemons understand each other, so they have one key of the cluster: it is the module's own that differs.
    if !keyed.is_empty() && node.is_some_and(|node| node.heard && node.same_configuration) {
        return format!(
            "{peer} is there and sends heartbeats ({keyed}), but with another key of the module {module}: copy \
             SAFE/private/module_keys/{module}.key from one node to the other (or 'holdfast module delkey -m {module}' on both), then, with \
             the module stopped, 'holdfast config -m {module}' on both"
        );
    }
    if !keyed.is_empty() {
        return format!(
            "{peer} is there and sends heartbeats ({keyed}), but with another key of the cluster: compare 'holdfast cluster confinfo' on both \
             nodes, and copy cluster.xml and cluster.key from one to the other (SAFEVAR/cluster)"
        );
    }
    if heard && node.is_some_and(|node| !node.same_configuration) {
        return format!(
            "{peer} is there, but with another cluster configuration: 'holdfast cluster confinfo' shows both signatures; copy cluster.xml and \
             cluster.key from one node to the other (SAFEVAR/cluster)"
        );
    }
    let nameless = lans(&|sight| sight.peer.is_none());
    if !nameless.is_empty() && sights.iter().all(|sight| sight.peer.is_none()) {
        return format!(
            "a node's name in cluster.xml has no address ({nameless}): 'holdfast cluster resolve' says which"
        );
    }
    if let Some((lan, stranger)) = sights.iter().find_map(|sight| Some((&sight.lan, sight.stranger.as_ref()?))) {
        return format!(
            "heartbeats come from {stranger} on {lan}, which isn't {peer}'s address in cluster.xml: correct its addr there (behind address \
             translation also laddr), or find out who that is"
        );
    }
    if heard && node.is_some_and(|node| !node.has_module) {
        return format!(
            "{peer} is heard, but has no module {module}: 'holdfast module install -m {module} ...' and 'holdfast config -m {module}' there"
        );
    }
    if heard {
        return format!(
            "{peer}'s daemon is heard and its heart isn't, so the network works: a firewall on one of the nodes lets the heartbeats' UDP port not \
             through ('holdfast module getports -m {module}' lists the ports), or the module hangs there"
        );
    }
    unheard(peer, module, sights)
}

/// Nothing at all comes from the other node.
fn unheard(peer: &str, module: &str, sights: &[LaneSight]) -> String {
    let addresses = sights.iter().filter_map(|sight| sight.peer.as_deref()).collect::<Vec<_>>().join(", ");
    let unsent: Vec<String> =
        sights.iter().filter_map(|sight| sight.not_sent.as_ref().map(|why| format!("{}: {why}", sight.lan))).collect();
    if !unsent.is_empty() && unsent.len() == sights.iter().filter(|sight| sight.peer.is_some()).count() {
        return format!(
            "this node can't send to {peer} ({}): look at its own network ('ip addr', 'ip route'), or at its firewall if the operation is not \
             permitted",
            unsent.join("; ")
        );
    }
    format!(
        "nothing at all comes from {peer} on any network ({addresses}): it is switched off, 'holdfast daemon' doesn't run there, or the network or a \
         firewall is in between. Try 'ping' with these addresses; if that works, look at the firewalls ('holdfast module getports -m {module}' \
         lists the ports)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(lan: &str) -> LaneSight {
        LaneSight { lan: lan.to_owned(), peer: Some(format!("10.0.{}.2:8888", lan.len())), ..LaneSight::default() }
    }

    const FINE: OtherNode = OtherNode { heard: true, same_configuration: true, has_module: true };

    fn says(sights: &[LaneSight], node: Option<OtherNode>, wanted: &str) {
        let text = advise("node2", "app", sights, node);
        assert!(text.contains(wanted), "{wanted:?} in {text:?}");
    }

    #[test]
    fn each_reason_is_told_from_the_others() {
        let quiet = [lane("default"), lane("repli")];
        says(&quiet, None, "nothing at all comes from node2 on any network (10.0.7.2:8888, 10.0.5.2:8888)");
        says(&quiet, Some(OtherNode { heard: false, ..FINE }), "nothing at all");
        says(&quiet, Some(FINE), "a firewall");
        says(&quiet, Some(FINE), "getports -m app");
        says(&quiet, Some(OtherNode { has_module: false, ..FINE }), "has no module app");
        says(&quiet, Some(OtherNode { same_configuration: false, ..FINE }), "another cluster configuration");
        let keyed = [lane("default"), LaneSight { other_key: 3, ..lane("repli") }];
        for node in
            [None, Some(OtherNode { heard: false, ..FINE }), Some(OtherNode { same_configuration: false, ..FINE })]
        {
            says(&keyed, node, "another key of the cluster");
            says(&keyed, node, "(repli)");
        }
        says(&keyed, Some(FINE), "(repli), but with another key of the module app");
        let stranger = [LaneSight { stranger: Some("10.0.0.9:8888".to_owned()), ..lane("default") }, lane("repli")];
        says(&stranger, None, "come from 10.0.0.9:8888 on default");
        let nameless = [LaneSight { peer: None, ..lane("default") }];
        says(&nameless, None, "cluster resolve");
        says(&[nameless[0].clone(), lane("repli")], None, "nothing at all");
        let unsent = |lan| LaneSight { not_sent: Some("Network is unreachable".to_owned()), ..lane(lan) };
        says(
            &[unsent("default"), unsent("repli")],
            None,
            "this node can't send to node2 (default: Network is unreachable; ",
        );
        says(&[unsent("default"), lane("repli")], None, "nothing at all");
    }
}
