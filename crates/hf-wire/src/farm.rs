//! What the nodes of a farm tell each other, on every LAN of `<farm>` (reference 004, 13.4).
//!
//! Versions: 1, the first.

use crate::heartbeat::{BadFrame, at_most};
use hf_types::{Incarnation, NodeName};
use serde::{Deserialize, Serialize};

/// The version that is written.
pub const VERSION: u32 = 1;
/// Most nodes of a farm.
pub const NODES_MAX: usize = 32;
/// Most groups of load balancing.
pub const GROUPS_MAX: usize = 32;
/// Into so many shares the traffic of a group is cut (reference 004, 13.5.7.4).
pub const SHARES: usize = 256;
/// The owner of a share that nobody has.
pub const NOBODY: u8 = 255;
/// Longest frame accepted: every group with every node.
pub const BYTES_MAX: usize = 24 << 10;
/// Longest name of a group.
const NAME_MAX: usize = 63;

/// One datagram: all that its sender knows of the farm, so that loss and reordering don't matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmPulse {
    pub incarnation: Incarnation,
    /// Grows with every datagram of this incarnation, on whichever LAN.
    pub counter: u64,
    /// It wants to hand over what it has, and go.
    pub leaving: bool,
    /// Whom it takes for the leader; itself, if it is the leader; none: it has none.
    pub follows: Option<NodeName>,
    /// Whom it hears.
    pub hears: Vec<NodeName>,
    /// The highest number of a view that it has heard of.
    pub seen: u64,
    /// The view that it has taken over.
    pub adopted: Option<ViewId>,
    /// From the leader: its view.
    pub view: Option<FarmView>,
    /// From the leader: who has taken it over.
    pub adopted_by: Vec<NodeName>,
}

/// Which view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ViewId {
    pub number: u64,
    pub leader: NodeName,
}

/// Who is in the farm, and who has which share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmView {
    pub id: ViewId,
    /// In the order of cluster.xml.
    pub members: Vec<(NodeName, Incarnation)>,
    /// By group.
    pub groups: Vec<GroupShares>,
}

/// Who has which share of a group's traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupShares {
    pub group: String,
    /// [`SHARES`] places in the list of members, or [`NOBODY`].
    pub owners: Vec<u8>,
}

impl FarmView {
    /// Who has this share of the group; none: nobody, or no such group.
    pub fn owner(&self, group: &str, share: usize) -> Option<&NodeName> {
        let shares = self.groups.iter().find(|shares| shares.group == group)?;
        let place = usize::from(*shares.owners.get(share)?);
        self.members.get(place).map(|(name, _)| name)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    counter: u64,
    #[prost(bool, tag = "4")]
    leaving: bool,
    #[prost(string, tag = "5")]
    follows: String,
    #[prost(string, repeated, tag = "6")]
    hears: Vec<String>,
    #[prost(uint64, tag = "7")]
    seen: u64,
    #[prost(message, optional, tag = "8")]
    adopted: Option<IdFrame>,
    #[prost(message, optional, tag = "9")]
    view: Option<ViewFrame>,
    #[prost(string, repeated, tag = "10")]
    adopted_by: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct IdFrame {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    leader: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ViewFrame {
    #[prost(message, optional, tag = "1")]
    id: Option<IdFrame>,
    #[prost(message, repeated, tag = "2")]
    members: Vec<MemberFrame>,
    #[prost(message, repeated, tag = "3")]
    groups: Vec<SharesFrame>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MemberFrame {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SharesFrame {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(bytes = "vec", tag = "2")]
    owners: Vec<u8>,
}

impl FarmPulse {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let names = |names: &[NodeName]| names.iter().map(|name| name.as_str().to_owned()).collect();
        let frame = Frame {
            version: VERSION,
            incarnation: self.incarnation.0,
            counter: self.counter,
            leaving: self.leaving,
            follows: self.follows.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
            hears: names(&self.hears),
            seen: self.seen,
            adopted: self.adopted.as_ref().map(IdFrame::from),
            view: self.view.as_ref().map(ViewFrame::from),
            adopted_by: names(&self.adopted_by),
        };
        prost::Message::encode_to_vec(&frame)
    }

    /// Reads a frame of a node whose seal was good; its content is checked all the same.
    pub fn decode(bytes: &[u8]) -> Result<FarmPulse, BadFrame> {
        if bytes.len() > BYTES_MAX {
            return Err(BadFrame::TooLong { bytes: bytes.len(), max: BYTES_MAX });
        }
        let frame = <Frame as prost::Message>::decode(bytes).map_err(|error| BadFrame::Garbled(error.to_string()))?;
        if frame.version != VERSION {
            return Err(BadFrame::Version { theirs: frame.version, ours: VERSION });
        }
        let follows = if frame.follows.is_empty() { None } else { Some(name(frame.follows)?) };
        Ok(FarmPulse {
            incarnation: Incarnation(frame.incarnation),
            counter: frame.counter,
            leaving: frame.leaving,
            follows,
            hears: names("hears", frame.hears)?,
            seen: frame.seen,
            adopted: frame.adopted.map(ViewId::try_from).transpose()?,
            view: frame.view.map(FarmView::try_from).transpose()?,
            adopted_by: names("adopted_by", frame.adopted_by)?,
        })
    }
}

fn name(text: String) -> Result<NodeName, BadFrame> {
    text.parse().map_err(|error: hf_types::BadName| BadFrame::Garbled(error.to_string()))
}

fn names(field: &'static str, texts: Vec<String>) -> Result<Vec<NodeName>, BadFrame> {
    at_most(field, texts.len(), NODES_MAX)?;
    texts.into_iter().map(name).collect()
}

impl From<&ViewId> for IdFrame {
    fn from(id: &ViewId) -> IdFrame {
        IdFrame { number: id.number, leader: id.leader.as_str().to_owned() }
    }
}

impl TryFrom<IdFrame> for ViewId {
    type Error = BadFrame;

    fn try_from(frame: IdFrame) -> Result<ViewId, BadFrame> {
        Ok(ViewId { number: frame.number, leader: name(frame.leader)? })
    }
}

impl From<&FarmView> for ViewFrame {
    fn from(view: &FarmView) -> ViewFrame {
        let member = |(name, incarnation): &(NodeName, Incarnation)| MemberFrame {
            name: name.as_str().to_owned(),
            incarnation: incarnation.0,
        };
        let shares = |shares: &GroupShares| SharesFrame { group: shares.group.clone(), owners: shares.owners.clone() };
        ViewFrame {
            id: Some(IdFrame::from(&view.id)),
            members: view.members.iter().map(member).collect(),
            groups: view.groups.iter().map(shares).collect(),
        }
    }
}

impl TryFrom<ViewFrame> for FarmView {
    type Error = BadFrame;

    fn try_from(frame: ViewFrame) -> Result<FarmView, BadFrame> {
        at_most("members", frame.members.len(), NODES_MAX)?;
        at_most("groups", frame.groups.len(), GROUPS_MAX)?;
        let member = |member: MemberFrame| Ok((name(member.name)?, Incarnation(member.incarnation)));
        let members: Vec<(NodeName, Incarnation)> = frame.members.into_iter().map(member).collect::<Result<_, _>>()?;
        let known = |owner: &u8| *owner == NOBODY || usize::from(*owner) < members.len();
        let groups = frame.groups.into_iter().map(|shares| {
            at_most("name of a group", shares.group.len(), NAME_MAX)?;
            if shares.owners.len() != SHARES {
                return Err(BadFrame::Field { field: "owners", value: shares.owners.len() as u64 });
            }
            if let Some(unknown) = shares.owners.iter().find(|owner| !known(owner)) {
                return Err(BadFrame::Field { field: "owners", value: u64::from(*unknown) });
            }
            Ok(GroupShares { group: shares.group, owners: shares.owners })
        });
        let groups = groups.collect::<Result<_, _>>()?;
        Ok(FarmView { id: ViewId::try_from(frame.id.ok_or(BadFrame::Missing("id"))?)?, members, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> FarmPulse {
        let names: Vec<NodeName> =
            (0..NODES_MAX).map(|n| format!("n{n:02}{}", "x".repeat(50)).parse().unwrap()).collect();
        let id = ViewId { number: u64::MAX, leader: names[0].clone() };
        let owners: Vec<u8> =
            (0..SHARES).map(|share| if share == 0 { NOBODY } else { (share % NODES_MAX) as u8 }).collect();
        let groups = (0..GROUPS_MAX)
            .map(|n| GroupShares { group: format!("g{n:02}{}", "x".repeat(60)), owners: owners.clone() })
            .collect();
        FarmPulse {
            incarnation: Incarnation(u64::MAX),
            counter: u64::MAX,
            leaving: true,
            follows: Some(names[3].clone()),
            hears: names.clone(),
            seen: u64::MAX,
            adopted: Some(id.clone()),
            view: Some(FarmView {
                id,
                members: names.iter().map(|name| (name.clone(), Incarnation(u64::MAX))).collect(),
                groups,
            }),
            adopted_by: names,
        }
    }

    #[test]
    fn the_largest_pulse_comes_back_as_it_was() {
        let bytes = full().encode();
        assert!(bytes.len() <= BYTES_MAX, "{}", bytes.len());
        assert_eq!(FarmPulse::decode(&bytes), Ok(full()));
        let view = full().view.unwrap();
        assert_eq!(view.owner("nothing", 1), None);
        let group = view.groups[0].group.clone();
        assert_eq!(view.owner(&group, 0), None, "nobody's");
        assert_eq!(view.owner(&group, 33), Some(&view.members[1].0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |change: fn(&mut FarmPulse)| {
            let mut pulse = full();
            change(&mut pulse);
            FarmPulse::decode(&pulse.encode()).is_err()
        };
        assert!(!refused(|_| ()));
        assert!(refused(|pulse| pulse.view.as_mut().unwrap().groups[0].owners.truncate(255)));
        assert!(refused(|pulse| pulse.view.as_mut().unwrap().groups[0].owners[7] = 32));
        assert!(refused(|pulse| pulse.hears.push("another".parse().unwrap())));
        let mut bytes = full().encode();
        bytes.truncate(bytes.len() / 2);
        assert!(FarmPulse::decode(&bytes).is_err());
        assert!(FarmPulse::decode(&vec![0; BYTES_MAX + 1]).is_err());
    }
}
