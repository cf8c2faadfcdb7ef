//! Letting go of shares that others have by now.

use super::group::{Farm, FarmEvent, Phase};
use super::shares::Share;
use hf_types::{Instant, NodeName};
use hf_wire::farm::{FarmView, ViewId};

impl Farm {
    /// The view that says who has what this node holds: its own; of one that leaves the newest that goes on without it.
    fn valid_view(&self) -> Option<FarmView> {
        let own = self.view.as_ref();
        if !matches!(self.phase, Phase::Leaving { .. }) {
            return own.cloned();
        }
        let number = own.map_or(0, |view| view.id.number);
        let heard = self.config.nodes.iter().filter_map(|node| self.present(node)?.view.as_ref());
        let without =
            |view: &&FarmView| view.id.number > number && view.members.iter().all(|(name, _)| *name != self.config.me);
        heard.filter(without).max_by_key(|view| view.id.number).cloned()
    }

    /// Whether that node has taken over that view, by its own word or its leader's.
    pub(super) fn has_adopted(&self, node: &NodeName, id: &ViewId) -> bool {
        let own = self.nodes.get(node).and_then(|heard| heard.last());
        let leader = self.nodes.get(&id.leader).and_then(|heard| heard.last());
        own.is_some_and(|pulse| pulse.adopted.as_ref() == Some(id))
            || leader.is_some_and(|pulse| pulse.adopted.as_ref() == Some(id) && pulse.adopted_by.contains(node))
    }

    pub(super) fn let_go(&mut self) {
        if !matches!(self.phase, Phase::Leaving { .. }) && self.holds == self.given {
            return;
        }
        let Some(view) = self.valid_view() else { return };
        let there: Vec<&NodeName> =
            view.members.iter().map(|(name, _)| name).filter(|name| self.has_adopted(name, &view.id)).collect();
        let mut changed = Vec::new();
        for (place, group) in self.config.groups.iter().enumerate() {
            let before = self.holds[place];
            let goes = |share: &usize| match view.owner(&group.name, *share) {
                Some(owner) => *owner != self.config.me && there.contains(&owner),
                None => true,
            };
            let mut left = before;
            before.iter().filter(goes).for_each(|share| left.remove(share));
            if left != before {
                changed.push((place, left));
            }
        }
        for (place, left) in changed {
            self.holds[place] = left;
            let group = self.config.groups[place].name.clone();
            self.events.push(FarmEvent::Holds { group, shares: left });
        }
    }

    pub(super) fn end_leaving(&mut self, now: Instant) {
        let Phase::Leaving { until } = self.phase else { return };
        let somebody = self.config.nodes.iter().any(|node| self.present(node).is_some());
        if until > now && somebody && self.holds.iter().any(|share| !share.is_empty()) {
            return;
        }
        for (group, holds) in self.config.groups.iter().zip(&mut self.holds) {
            if !holds.is_empty() {
                *holds = Share::NONE;
                self.events.push(FarmEvent::Holds { group: group.name.clone(), shares: Share::NONE });
            }
        }
        self.phase = Phase::Outside;
        self.view = None;
        self.events.push(FarmEvent::Left);
    }
}
