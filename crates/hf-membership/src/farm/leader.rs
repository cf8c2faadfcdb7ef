//! Whom this node follows.

use super::group::{Farm, Phase};
use hf_types::{Instant, NodeName};
use hf_wire::farm::FarmPulse;

impl Farm {
    pub(super) fn choose_leader(&mut self, now: Instant) {
        let mut leaders = self.config.nodes.iter().filter(|node| self.is_leader(node, now)).cloned();
        let best = leaders.next();
        let next = match (&self.follows, best) {
            (Some(mine), Some(best)) if *mine == self.config.me => {
                Some(if self.config.rank(&best) < self.config.rank(mine) { best } else { mine.clone() })
            }
            (Some(mine), None) if *mine == self.config.me => Some(mine.clone()),
            (Some(mine), Some(_)) if self.is_leader(mine, now) => Some(mine.clone()),
            (_, Some(best)) => Some(best),
            (_, None) => None,
        };
        let Phase::Inside { alone_at } = self.phase else { return };
        if next.is_some() {
            self.follows = next;
            return;
        }
        if self.follows.take().is_some() {
            // The leader was lost just now: who comes first has so long to take its place.
            self.phase = Phase::Inside { alone_at: now + self.config.leader_timeout() };
        }
        let late = matches!(self.phase, Phase::Inside { alone_at } if alone_at <= now);
        if late || (self.is_first() && (self.view.is_some() || self.hears_all())) {
            self.phase = Phase::Inside { alone_at };
            self.follows = Some(self.config.me.clone());
            self.gathers_until = Some(now + self.config.leader_timeout());
        }
    }

    /// Whether this node can follow that one: both hear each other, and it leads.
    fn is_leader(&self, node: &NodeName, now: Instant) -> bool {
        let Some(heard) = self.nodes.get(node) else { return false };
        let fresh = heard.last_heard().is_some_and(|at| now < at + self.config.leader_timeout());
        fresh
            && self
                .present(node)
                .is_some_and(|pulse| pulse.follows.as_ref() == Some(node) && pulse.hears.contains(&self.config.me))
    }

    /// What a node said last that is heard and stays.
    pub(super) fn present(&self, node: &NodeName) -> Option<&FarmPulse> {
        let heard = self.nodes.get(node).filter(|heard| heard.heard())?;
        heard.last().filter(|pulse| !pulse.leaving)
    }

    /// Whether no other node that could lead stands before this one.
    fn is_first(&self) -> bool {
        let before = self.config.nodes.iter().take_while(|node| **node != self.config.me);
        let mut able =
            before.filter(|node| self.present(node).is_some_and(|pulse| pulse.hears.contains(&self.config.me)));
        able.next().is_none()
    }

    fn hears_all(&self) -> bool {
        let mut others = self.config.nodes.iter().filter(|node| **node != self.config.me);
        others.all(|node| self.present(node).is_some_and(|pulse| pulse.hears.contains(&self.config.me)))
    }
}
