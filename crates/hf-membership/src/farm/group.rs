use super::config::FarmConfig;
use super::shares::Share;
use crate::nodes::Nodes;
use hf_types::{Incarnation, Instant, LanName, NodeName};
use hf_wire::farm::{FarmPulse, FarmView};
use serde::Serialize;

/// What changed, for the log, the resources and the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum FarmEvent {
    /// This node has taken over a view: "farm membership: ...", one for each group, and "farm load: ...".
    View { group: String, members: Vec<NodeName>, share: usize },
    /// From now on this node serves these shares of the group.
    Holds { group: String, shares: Share },
    /// Everything is handed over, or nobody is left to take it: this node serves nothing any more.
    Left,
}

/// Where this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Phase {
    Outside,
    /// Nobody leads; it listens until then.
    Inside {
        alone_at: Instant,
    },
    Leaving {
        until: Instant,
    },
}

/// This node in its farm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Farm {
    pub(super) config: FarmConfig,
    pub(super) incarnation: Incarnation,
    pub(super) counter: u64,
    pub(super) nodes: Nodes<FarmPulse>,
    pub(super) phase: Phase,
    pub(super) follows: Option<NodeName>,
    /// A leader that has just become one: until then it waits for those who will follow it, so that its first view has them all.
    pub(super) gathers_until: Option<Instant>,
    /// The highest number of a view that anybody told of.
    pub(super) seen: u64,
    pub(super) view: Option<FarmView>,
    /// What the view gives this node, and what it serves: by group, in the order of the configuration.
    pub(super) given: Vec<Share>,
    pub(super) holds: Vec<Share>,
    pub(super) next_pulse: Instant,
    /// What others have to know at once, as it was sent last, with counter 0.
    pub(super) sent: Option<FarmPulse>,
    pub(super) events: Vec<FarmEvent>,
}

impl Farm {
    /// Outside. `incarnation`: another one for each process.
    pub fn new(config: FarmConfig, incarnation: Incarnation) -> Farm {
        let others = config.nodes.iter().filter(|node| **node != config.me).cloned();
        let nodes = Nodes::new(config.member_timeout(), others);
        let none = vec![Share::NONE; config.groups.len()];
        Farm {
            config,
            incarnation,
            counter: 0,
            nodes,
            phase: Phase::Outside,
            follows: None,
            gathers_until: None,
            seen: 0,
            view: None,
            given: none.clone(),
            holds: none,
            next_pulse: Instant(0),
            sent: None,
            events: Vec::new(),
        }
    }

    /// The module is UP (green): this node serves from now on.
    pub fn join(&mut self, now: Instant) {
        if self.phase == Phase::Outside {
            self.phase = Phase::Inside { alone_at: now + self.config.listening() };
            self.next_pulse = now;
            self.nodes.restart_silence(now);
            self.look(now);
        }
    }

    /// The module stops: what this node has is handed over first.
    pub fn leave(&mut self, now: Instant) {
        if let Phase::Inside { .. } = self.phase {
            self.phase = Phase::Leaving { until: now + self.config.listening() };
            self.follows = None;
            self.gathers_until = None;
            self.look(now);
        }
    }

    /// This node stood still: silence counts anew, and so does its patience.
    pub fn stalled(&mut self, now: Instant) {
        self.nodes.restart_silence(now);
        if let Phase::Inside { alone_at } = &mut self.phase {
            *alone_at = now + self.config.listening();
        }
        self.look(now);
    }

    /// Takes a datagram of another node.
    pub fn receive(&mut self, now: Instant, from: &NodeName, lan: &LanName, pulse: FarmPulse) {
        let number = pulse.adopted.iter().chain(pulse.view.iter().map(|view| &view.id)).map(|id| id.number).max();
        let seen = pulse.seen.max(number.unwrap_or_default());
        if self.nodes.receive(now, from, lan, pulse).is_some_and(|heard| heard.newest) {
            self.seen = self.seen.max(seen);
            self.look(now);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, now: Instant) {
        self.look(now);
    }

    /// What is to be sent to every other node on every LAN now; none: nothing yet.
    pub fn to_send(&mut self, now: Instant) -> Option<FarmPulse> {
        if self.phase == Phase::Outside {
            // The last word of one that left was that it leaves.
            self.sent = None;
            return None;
        }
        let pulse = self.pulse();
        // Who took a view over says so to everybody: the leader repeats it when it has them all, and with its next pulse.
        let all = pulse.view.as_ref().is_some_and(|view| view.members.len() == pulse.adopted_by.len());
        let told = FarmPulse { adopted_by: if all { pulse.adopted_by.clone() } else { Vec::new() }, ..pulse.clone() };
        if self.sent.as_ref() == Some(&told) && now < self.next_pulse {
            return None;
        }
        self.sent = Some(told);
        self.next_pulse = now + self.config.pulse;
        self.counter += 1;
        Some(FarmPulse { counter: self.counter, ..pulse })
    }

    /// When time alone can change something; none: never.
    pub fn next_deadline(&self) -> Option<Instant> {
        let patience = match self.phase {
            Phase::Outside => return None,
            Phase::Inside { alone_at } => self.follows.is_none().then_some(alone_at),
            Phase::Leaving { until } => Some(until),
        };
        let leader = self.follows.as_ref().and_then(|leader| self.nodes.get(leader)).and_then(|view| view.last_heard());
        let leader = leader.map(|heard| heard + self.config.leader_timeout());
        [patience, leader, self.gathers_until, self.nodes.next_timeout(), Some(self.next_pulse)]
            .into_iter()
            .flatten()
            .min()
    }

    /// What happened since it was asked last.
    pub fn events(&mut self) -> Vec<FarmEvent> {
        std::mem::take(&mut self.events)
    }

    /// The view that this node has taken over.
    pub fn view(&self) -> Option<&FarmView> {
        self.view.as_ref()
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.follows.as_ref() == Some(&self.config.me)
    }

    /// Whether nothing of this node is left in the farm.
    pub fn is_outside(&self) -> bool {
        self.phase == Phase::Outside
    }

    /// What this node serves of each group now.
    pub fn holds(&self) -> impl Iterator<Item = (&str, Share)> {
        self.config.groups.iter().map(|group| group.name.as_str()).zip(self.holds.iter().copied())
    }

    // ---- what follows from all that is known ------------------------------------------------------------------------

    fn look(&mut self, now: Instant) {
        self.nodes.tick(now);
        match self.phase {
            Phase::Outside => return,
            Phase::Inside { .. } => {
                self.choose_leader(now);
                if self.leads() {
                    self.gather(now);
                } else {
                    self.gathers_until = None;
                    self.adopt_leaders();
                }
            }
            Phase::Leaving { .. } => {}
        }
        self.let_go();
        self.end_leaving(now);
    }

    fn pulse(&self) -> FarmPulse {
        let hears = self.config.nodes.iter().filter(|node| self.nodes.get(node).is_some_and(|heard| heard.heard()));
        let view = self.view.clone().filter(|view| self.leads() && view.id.leader == self.config.me);
        let adopted = self.view.as_ref().map(|view| view.id.clone());
        let members = view.iter().flat_map(|view| &view.members).map(|(name, _)| name);
        let adopted_by = members.filter(|name| match &adopted {
            Some(id) => **name == self.config.me || self.has_adopted(name, id),
            None => false,
        });
        FarmPulse {
            incarnation: self.incarnation,
            counter: 0,
            leaving: matches!(self.phase, Phase::Leaving { .. }),
            follows: self.follows.clone(),
            hears: hears.cloned().collect(),
            seen: self.seen,
            adopted_by: adopted_by.cloned().collect(),
            view,
            adopted,
        }
    }
}
