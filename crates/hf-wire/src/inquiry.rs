//! What one daemon asks another's before a module is configured (reference 004, 2.2 and 13.6): owners, clock, room. Between nodes, sealed and
//! sent as the membership is; a daemon that doesn't know it takes it for a membership that can't be read, and says nothing.
//!
//! A Protocol Buffers message whose only field (30, which the membership doesn't have) is JSON, so that fields can be added.

use serde::{Deserialize, Serialize};

/// Longest inquiry that is read, in bytes.
pub const BYTES_MAX: usize = 32 << 10;
/// Most owners of a kind that are asked about at once.
pub const OWNERS_MAX: usize = 100;
/// Most directories.
pub const DIRS_MAX: usize = 32;

/// A question or its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "inquiry", rename_all = "snake_case")]
pub enum Inquiry {
    Question(Question),
    Answer(Answer),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Chosen by who asks; the answer has the same.
    pub ticket: u64,
    pub users: Vec<Owner>,
    pub groups: Vec<Owner>,
    pub dirs: Vec<Dir>,
}

/// A user or a group that owns replicated files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub id: u32,
    /// Its name on the node that asks.
    pub name: Option<String>,
}

/// A replicated directory and the place where its data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dir {
    pub dir: String,
    pub data: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub ticket: u64,
    /// Wall clock, microseconds since 1970 UTC.
    pub clock_us: i64,
    /// In the order of the question.
    pub users: Vec<OwnerThere>,
    pub groups: Vec<OwnerThere>,
    pub dirs: Vec<Room>,
}

/// What another node makes of an [`Owner`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerThere {
    /// The name of that number there.
    pub name: Option<String>,
    /// The number of that name there.
    pub id: Option<u32>,
}

/// What another node has for a [`Dir`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Something is in it already.
    pub used: bool,
    /// Bytes that are free on its file system; none if that can't be seen.
    pub free: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(bytes = "vec", tag = "30")]
    json: Vec<u8>,
}

impl Inquiry {
    /// The datagram's bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Our own plain data always serialises.
        let json = serde_json::to_vec(self).unwrap_or_default();
        prost::Message::encode_to_vec(&Frame { json })
    }

    /// None: it is something else, or of no use.
    pub fn decode(bytes: &[u8]) -> Option<Inquiry> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let frame = <Frame as prost::Message>::decode(bytes).ok()?;
        let inquiry: Inquiry = serde_json::from_slice(&frame.json).ok()?;
        let (users, groups, dirs) = match &inquiry {
            Inquiry::Question(it) => (it.users.len(), it.groups.len(), it.dirs.len()),
            Inquiry::Answer(it) => (it.users.len(), it.groups.len(), it.dirs.len()),
        };
        (users <= OWNERS_MAX && groups <= OWNERS_MAX && dirs <= DIRS_MAX).then_some(inquiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::Membership;
    use proptest::prelude::*;

    fn question(owners: usize) -> Inquiry {
        let owner = |id| Owner { id, name: Some("postgres".to_owned()) };
        let users = (0..).take(owners).map(owner).collect();
        let dirs = vec![Dir { dir: "/data".to_owned(), data: "/data_For".to_owned() }];
        Inquiry::Question(Question { ticket: 7, users, groups: Vec::new(), dirs })
    }

    #[test]
    fn it_arrives_and_is_no_membership() {
        let bytes = question(OWNERS_MAX).encode();
        assert_eq!(Inquiry::decode(&bytes), Some(question(OWNERS_MAX)));
        assert!(Membership::decode(&bytes).is_err(), "an older daemon takes it for nothing");
        assert_eq!(Inquiry::decode(&question(OWNERS_MAX + 1).encode()), None);
    }

    #[test]
    fn a_membership_is_no_inquiry() {
        let membership = Membership {
            incarnation: hf_types::Incarnation(1),
            counter: 2,
            signature: "ab".to_owned(),
            applied_us: 3,
            locked: false,
            modules: Vec::new(),
        };
        assert_eq!(Inquiry::decode(&membership.encode()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Inquiry::decode(&bytes);
        }
    }
}
