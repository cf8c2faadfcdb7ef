//! Views: what the leader makes, and what its followers take over.

use super::config::GroupConfig;
use super::group::{Farm, FarmEvent};
use super::shares::{Share, Shares};
use hf_types::{Incarnation, Instant, NodeName};
use hf_wire::farm::{FarmView, GroupShares, SHARES, ViewId};

impl Farm {
    /// The next view, unless somebody who is there has not made up its mind yet whom to follow.
    pub(super) fn gather(&mut self, now: Instant) {
        if let Some(until) = self.gathers_until {
            let mut others = self.config.nodes.iter().filter_map(|node| self.present(node));
            let undecided = others
                .any(|pulse| pulse.hears.contains(&self.config.me) && pulse.follows.as_ref() != Some(&self.config.me));
            if undecided && now < until {
                return;
            }
            self.gathers_until = None;
        }
        self.propose();
    }

    fn propose(&mut self) {
        let member = |node: &NodeName| {
            if *node == self.config.me {
                return Some((node.clone(), self.incarnation));
            }
            let pulse = self.present(node)?;
            let follows = pulse.follows.as_ref() == Some(&self.config.me);
            follows.then(|| (node.clone(), pulse.incarnation))
        };
        let members: Vec<(NodeName, Incarnation)> = self.config.nodes.iter().filter_map(member).collect();
        let mine = |view: &FarmView| view.id.leader == self.config.me && view.members == members;
        if self.view.as_ref().is_some_and(mine) {
            return;
        }
        let id = ViewId { number: self.seen + 1, leader: self.config.me.clone() };
        let next = next(id, members, &self.config.groups, self.view.as_ref());
        self.adopt(next);
    }

    pub(super) fn adopt_leaders(&mut self) {
        let me = (self.config.me.clone(), self.incarnation);
        let own = self.view.as_ref().map_or(0, |view| view.id.number);
        let leader = self.follows.as_ref().and_then(|leader| self.nodes.get(leader));
        let offered = leader.and_then(|leader| leader.last()).and_then(|pulse| pulse.view.as_ref());
        let fits = |view: &&FarmView| view.id.number > own && view.members.contains(&me);
        if let Some(view) = offered.filter(fits).cloned() {
            self.adopt(view);
        }
    }

    fn adopt(&mut self, view: FarmView) {
        self.seen = self.seen.max(view.id.number);
        let all = self.config.groups.iter().zip(&mut self.holds).zip(&mut self.given);
        for ((group, holds), given) in all {
            let mine = |share: &usize| view.owner(&group.name, *share) == Some(&self.config.me);
            let share: Share = (0..SHARES).filter(mine).collect();
            *given = share;
            let before = *holds;
            share.iter().for_each(|share| holds.insert(share));
            let members = view.members.iter().map(|(name, _)| name);
            let members = members.filter(|name| group.power(name) > 0).cloned().collect();
            self.events.push(FarmEvent::View { group: group.name.clone(), members, share: share.len() });
            if before != *holds {
                self.events.push(FarmEvent::Holds { group: group.name.clone(), shares: *holds });
            }
        }
        self.view = Some(view);
    }
}

/// The view after `before`. `members` in the order of cluster.xml, not more than the wire takes.
fn next(
    id: ViewId,
    members: Vec<(NodeName, Incarnation)>,
    groups: &[GroupConfig],
    before: Option<&FarmView>,
) -> FarmView {
    let of = |group: &GroupConfig| {
        let had: Vec<Option<usize>> = (0..SHARES)
            .map(|share| {
                let owner = before.and_then(|view| view.owner(&group.name, share))?;
                members.iter().position(|(name, _)| name == owner)
            })
            .collect();
        let powers: Vec<u32> = members.iter().map(|(name, _)| group.power(name)).collect();
        GroupShares { group: group.name.clone(), owners: Shares::assign(&had, &powers).into_owners() }
    };
    FarmView { id, groups: groups.iter().map(of).collect(), members }
}
