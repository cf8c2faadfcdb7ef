use hf_types::{Incarnation, Instant, LanName, NodeName};
use hf_wire::farm::FarmPulse;
use hf_wire::membership::Membership;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Incarnations that were followed by another one: late datagrams of theirs are ignored.
const OLD_MAX: usize = 16;

/// What says which datagram of a node is the newest.
pub trait Numbered {
    /// The process that sent it.
    fn incarnation(&self) -> Incarnation;
    /// Grows with every datagram of that process.
    fn counter(&self) -> u64;
}

impl Numbered for Membership {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn counter(&self) -> u64 {
        self.counter
    }
}

impl Numbered for FarmPulse {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn counter(&self) -> u64 {
        self.counter
    }
}

/// The other nodes, as far as they are heard: those of the cluster by their daemons (reference 004, 12.1.3), those of a farm by its
/// hearts (13.4).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nodes<F = Membership> {
    timeout: Duration,
    nodes: BTreeMap<NodeName, NodeView<F>>,
}

/// One other node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeView<F = Membership> {
    incarnation: Incarnation,
    counter: u64,
    old: Vec<Incarnation>,
    /// When a datagram came last, by LAN.
    lans: BTreeMap<LanName, Instant>,
    heard: bool,
    /// The newest that it said.
    last: Option<F>,
}

/// What a datagram was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its content is the node's present state.
    pub newest: bool,
    /// It was not heard before this datagram.
    pub appeared: bool,
}

impl<F: Numbered> Nodes<F> {
    /// `timeout`: silence on every LAN after which a node counts as not heard.
    pub fn new(timeout: Duration, others: impl IntoIterator<Item = NodeName>) -> Nodes<F> {
        let mut nodes = Nodes { timeout, nodes: BTreeMap::new() };
        nodes.reconfigure(timeout, others);
        nodes
    }

    /// Another list of nodes: what is known of those that stay is kept.
    pub fn reconfigure(&mut self, timeout: Duration, others: impl IntoIterator<Item = NodeName>) {
        let mut known = std::mem::take(&mut self.nodes);
        self.timeout = timeout;
        for node in others {
            let view = known.remove(&node).unwrap_or_else(NodeView::unheard);
            self.nodes.insert(node, view);
        }
    }

    /// Takes a datagram; none if it is of no use (a node that isn't ours, heard before, an incarnation that is over).
    pub fn receive(&mut self, now: Instant, from: &NodeName, lan: &LanName, frame: F) -> Option<Heard> {
        let view = self.nodes.get_mut(from)?;
        if view.old.contains(&frame.incarnation()) {
            return None;
        }
        if frame.incarnation() != view.incarnation {
            view.follow(frame.incarnation());
        }
        let newest = frame.counter() > view.counter;
        let appeared = !view.heard;
        view.lans.insert(lan.clone(), now);
        view.heard = true;
        if newest {
            view.counter = frame.counter();
            view.last = Some(frame);
        }
        Some(Heard { newest, appeared })
    }

    /// Nodes that are not heard any more since now.
    pub fn tick(&mut self, now: Instant) -> Vec<NodeName> {
        let mut lost = Vec::new();
        for (node, view) in &mut self.nodes {
            if view.heard && view.silent_at(self.timeout).is_none_or(|at| at <= now) {
                view.heard = false;
                lost.push(node.clone());
            }
        }
        lost
    }

    /// This node stood still: silence counts anew.
    pub fn restart_silence(&mut self, now: Instant) {
        for view in self.nodes.values_mut() {
            for last in view.lans.values_mut() {
                *last = (*last).max(now);
            }
        }
    }

    /// When the next node runs into its time-out.
    pub fn next_timeout(&self) -> Option<Instant> {
        let heard = self.nodes.values().filter(|view| view.heard);
        heard.filter_map(|view| view.silent_at(self.timeout)).min()
    }

    /// All other nodes, heard or not.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &NodeView<F>)> {
        self.nodes.iter()
    }

    /// One of them.
    pub fn get(&self, node: &NodeName) -> Option<&NodeView<F>> {
        self.nodes.get(node)
    }
}

impl<F> NodeView<F> {
    fn unheard() -> NodeView<F> {
        NodeView {
            incarnation: Incarnation(0),
            counter: 0,
            old: Vec::new(),
            lans: BTreeMap::new(),
            heard: false,
            last: None,
        }
    }

    fn follow(&mut self, incarnation: Incarnation) {
        if self.incarnation != Incarnation(0) {
            self.old.push(self.incarnation);
            if self.old.len() > OLD_MAX {
                self.old.remove(0);
            }
        }
        self.incarnation = incarnation;
        self.counter = 0;
        self.last = None;
    }

    fn silent_at(&self, timeout: Duration) -> Option<Instant> {
        self.last_heard().map(|last| last + timeout)
    }

    /// When a datagram came last, on whichever LAN.
    pub fn last_heard(&self) -> Option<Instant> {
        self.lans.values().max().copied()
    }

    /// Whether it is heard on any LAN.
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// The newest that it said, heard or not.
    pub fn last(&self) -> Option<&F> {
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    fn frame(incarnation: u64, counter: u64) -> Membership {
        Membership {
            incarnation: Incarnation(incarnation),
            counter,
            signature: String::new(),
            applied_us: 0,
            locked: false,
            modules: Vec::new(),
        }
    }

    #[test]
    fn a_node_is_heard_while_any_lan_carries_it() {
        let (node, a, b): (NodeName, LanName, LanName) =
            ("n2".parse().unwrap(), "a".parse().unwrap(), "b".parse().unwrap());
        let mut nodes = Nodes::new(Duration::from_secs(2), [node.clone()]);
        assert!(nodes.receive(at(0), &node, &a, frame(1, 1)).unwrap().appeared);
        assert!(!nodes.receive(at(1500), &node, &b, frame(1, 1)).unwrap().newest);
        assert!(nodes.tick(at(3499)).is_empty());
        assert_eq!(nodes.next_timeout(), Some(at(3500)));
        assert_eq!(nodes.tick(at(3500)), std::slice::from_ref(&node));
        assert!(nodes.tick(at(3600)).is_empty(), "said once");
        assert!(nodes.receive(at(4000), &node, &a, frame(2, 1)).unwrap().newest);
        assert_eq!(nodes.receive(at(4001), &node, &a, frame(1, 9)), None);
        assert_eq!(nodes.receive(at(4001), &"n9".parse().unwrap(), &a, frame(1, 9)), None);
    }
}
