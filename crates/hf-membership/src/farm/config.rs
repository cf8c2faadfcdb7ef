use hf_types::NodeName;
use serde::Serialize;
use std::time::Duration;

/// A group of load balancing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupConfig {
    pub name: String,
    /// Nodes with their powers; empty: each has power 1. Who isn't listed otherwise has none.
    pub powers: Vec<(NodeName, u32)>,
}

impl GroupConfig {
    /// The weight of a node.
    pub fn power(&self, node: &NodeName) -> u32 {
        let listed = self.powers.iter().find(|(name, _)| name == node).map(|(_, power)| *power);
        listed.unwrap_or(u32::from(self.powers.is_empty()))
    }
}

/// `<farm>` as this node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FarmConfig {
    pub me: NodeName,
    /// Every node of the farm, in the order of cluster.xml.
    pub nodes: Vec<NodeName>,
    pub pulse: Duration,
    /// So many pulses without a word from the leader, and it is none any more.
    pub mlost_count: u32,
    /// So many pulses without a word from a node, and it is no member any more.
    pub slost_count: u32,
    pub groups: Vec<GroupConfig>,
}

impl FarmConfig {
    pub(super) fn leader_timeout(&self) -> Duration {
        self.pulse * self.mlost_count
    }

    pub(super) fn member_timeout(&self) -> Duration {
        self.pulse * self.slost_count
    }

    /// How long who hears nobody waits before it is alone.
    pub(super) fn listening(&self) -> Duration {
        self.leader_timeout().max(self.member_timeout())
    }

    pub(super) fn rank(&self, node: &NodeName) -> usize {
        self.nodes.iter().position(|name| name == node).unwrap_or(usize::MAX)
    }
}
