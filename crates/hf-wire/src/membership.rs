//! Membership: what a node's daemon tells every other node's, on every LAN (reference 004, 12.1).
//!
//! Versions: 1, the first.

use crate::bus::{Fenced, PeerModule};
use crate::heartbeat::{BadFrame, at_most, colour_from, colour_number, state_from, state_number};
use hf_types::{Colour, Epoch, Incarnation, ModuleName};
use serde::{Deserialize, Serialize};

/// The version that is written.
pub const VERSION: u32 = 1;
/// Longest frame accepted.
pub const BYTES_MAX: usize = 16 << 10;
/// Most modules that a frame tells of (reference 004 allows 25 in a cluster; newer versions 32).
pub const MODULES_MAX: usize = 64;
/// Longest signature of a cluster configuration, in characters.
pub const SIGNATURE_MAX: usize = 128;

/// One membership datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub incarnation: Incarnation,
    /// Grows with every datagram of this incarnation, on whichever LAN.
    pub counter: u64,
    /// Signature of the applied cluster configuration, and when it was applied (microseconds since 1970 UTC).
    pub signature: String,
    pub applied_us: i64,
    /// The cluster configuration is locked against changes.
    pub locked: bool,
    pub modules: Vec<MemberModule>,
}

/// One module on the sender's node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberModule {
    pub module: ModuleName,
    pub id: u32,
    pub colour: Colour,
    /// `heard` is true: whoever reads this hears the node.
    pub peer: PeerModule,
    /// Digest of the applied configuration, and when it was applied (seconds since 1970 UTC); empty and 0 from a node that doesn't say it yet.
    pub signature: String,
    pub applied_s: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    counter: u64,
    #[prost(string, tag = "4")]
    signature: String,
    #[prost(int64, tag = "5")]
    applied_us: i64,
    #[prost(bool, tag = "6")]
    locked: bool,
    #[prost(message, repeated, tag = "7")]
    modules: Vec<ModuleFrame>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ModuleFrame {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    id: u32,
    #[prost(uint32, tag = "3")]
    state: u32,
    #[prost(uint32, tag = "4")]
    colour: u32,
    #[prost(message, optional, tag = "5")]
    fenced: Option<FencedFrame>,
    #[prost(string, tag = "6")]
    signature: String,
    #[prost(int64, tag = "7")]
    applied_s: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct FencedFrame {
    #[prost(fixed64, tag = "1")]
    heart: u64,
    #[prost(uint64, tag = "2")]
    epoch: u64,
}

impl Membership {
    /// The frame's bytes. Modules above [`MODULES_MAX`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        let modules = self.modules.iter().take(MODULES_MAX);
        let frame = Frame {
            version: VERSION,
            incarnation: self.incarnation.0,
            counter: self.counter,
            signature: self.signature.clone(),
            applied_us: self.applied_us,
            locked: self.locked,
            modules: modules.map(ModuleFrame::from).collect(),
        };
        prost::Message::encode_to_vec(&frame)
    }

    /// Reads a frame of a node whose seal was good; its content is checked all the same.
    pub fn decode(bytes: &[u8]) -> Result<Membership, BadFrame> {
        if bytes.len() > BYTES_MAX {
            return Err(BadFrame::TooLong { bytes: bytes.len(), max: BYTES_MAX });
        }
        let frame = <Frame as prost::Message>::decode(bytes).map_err(|error| BadFrame::Garbled(error.to_string()))?;
        if frame.version != VERSION {
            return Err(BadFrame::Version { theirs: frame.version, ours: VERSION });
        }
        at_most("modules", frame.modules.len(), MODULES_MAX)?;
        at_most("signature", frame.signature.len(), SIGNATURE_MAX)?;
        let modules: Result<Vec<_>, _> = frame.modules.into_iter().map(MemberModule::try_from).collect();
        Ok(Membership {
            incarnation: Incarnation(frame.incarnation),
            counter: frame.counter,
            signature: frame.signature,
            applied_us: frame.applied_us,
            locked: frame.locked,
            modules: modules?,
        })
    }
}

impl From<&MemberModule> for ModuleFrame {
    fn from(module: &MemberModule) -> ModuleFrame {
        ModuleFrame {
            name: module.module.as_str().to_owned(),
            id: module.id,
            state: state_number(module.peer.state),
            colour: colour_number(module.colour),
            fenced: module.peer.fenced.map(|fenced| FencedFrame { heart: fenced.heart.0, epoch: fenced.epoch.0 }),
            signature: module.signature.clone(),
            applied_s: module.applied_s,
        }
    }
}

impl TryFrom<ModuleFrame> for MemberModule {
    type Error = BadFrame;

    fn try_from(frame: ModuleFrame) -> Result<MemberModule, BadFrame> {
        at_most("signature of a module", frame.signature.len(), SIGNATURE_MAX)?;
        Ok(MemberModule {
            signature: frame.signature,
            applied_s: frame.applied_s,
            module: frame.name.parse().map_err(|error: hf_types::BadName| BadFrame::Garbled(error.to_string()))?,
            id: frame.id,
            colour: colour_from("colour", frame.colour)?,
            peer: PeerModule {
                heard: true,
                state: state_from("state", frame.state)?,
                fenced: frame
                    .fenced
                    .map(|fenced| Fenced { heart: Incarnation(fenced.heart), epoch: Epoch(fenced.epoch) }),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::ModuleState;
    use proptest::prelude::*;

    fn example() -> Membership {
        Membership {
            incarnation: Incarnation(3),
            counter: 4,
            signature: "ab12".to_owned(),
            applied_us: 5,
            locked: true,
            modules: vec![MemberModule {
                module: "mirror".parse().unwrap(),
                id: 1,
                colour: Colour::Green,
                peer: PeerModule {
                    heard: true,
                    state: ModuleState::Prim,
                    fenced: Some(Fenced { heart: Incarnation(6), epoch: Epoch(7) }),
                },
                signature: String::new(),
                applied_s: 0,
            }],
        }
    }

    #[test]
    fn the_bytes_of_version_1_stay() {
        let hex: String = example().encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "08011103000000000000001804220461623132280530013a1b0a066d6972726f721001180420032a0b0906000000000000001007"
        );
        assert_eq!(Membership::decode(&example().encode()), Ok(example()));
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        let mut frame = <Frame as prost::Message>::decode(example().encode().as_slice()).unwrap();
        frame.modules[0].name = "../etc".to_owned();
        let bytes = prost::Message::encode_to_vec(&frame);
        assert!(matches!(Membership::decode(&bytes), Err(BadFrame::Garbled(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Membership::decode(&bytes);
        }
    }
}
