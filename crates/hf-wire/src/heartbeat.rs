//! Heartbeats: the whole public state of one heart, in every datagram, so that loss and reordering don't matter.
//!
//! Versions: 1, the first. A field that is added doesn't raise it; another meaning of one that is there does, and then neither version reads
//! the other's frames, and says so. Fields 22 (`granted`) and 23 (`degraded`) came later; who doesn't know them leaves them out and skips them.

use hf_types::{Colour, CopyState, Epoch, GenerationId, Incarnation, ModuleState, Standing};
use serde::{Deserialize, Serialize};

/// The version that is written.
pub const VERSION: u32 = 1;
/// Longest frame accepted; frames that we make stay under it with every field full.
pub const BYTES_MAX: usize = 1200;
/// Most lanes that a frame tells of.
pub const LANES_MAX: usize = 16;
/// Most resources that a frame tells of.
pub const TOLD_MAX: usize = 100;
/// Most ancestors that a frame tells of.
pub const HISTORY_MAX: usize = 32;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("{bytes} bytes, more than {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("not a frame of ours: {0}")]
    Garbled(String),
    #[error(
        "it is of version {theirs}, and this node knows version {ours}: install the same version of Holdfast on both nodes"
    )]
    Version { theirs: u32, ours: u32 },
    #[error("field {field} has no meaning: {value}")]
    Field { field: &'static str, value: u64 },
    #[error("field {0} is missing")]
    Missing(&'static str),
    #[error("field {field} has {len} entries, more than {max}")]
    TooMany { field: &'static str, len: usize, max: usize },
}

/// One heartbeat as the actors use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub incarnation: Incarnation,
    /// Grows with every heartbeat of this incarnation, on whichever lane.
    pub counter: u64,
    /// The peer's incarnation that `heard` is about.
    pub heard_incarnation: Incarnation,
    /// The peer's last counter heard on each lane, in the order of the configuration; 0: none.
    pub heard: Vec<u64>,
    pub state: ModuleState,
    pub colour: Colour,
    /// The latest grant that this heart knows of.
    pub epoch: Epoch,
    /// `<rfs>` is there.
    pub replicates: bool,
    /// The worst of the durable records; none while they are not known.
    pub copy: Option<CopyState>,
    /// Secondary: has all that was acknowledged. Primary: acknowledges with the other copy.
    pub in_step: bool,
    /// The record says durably that this copy is outdated since that generation.
    pub outdated: Option<Outdating>,
    /// This heart won't take over in this generation, though its record could not be written.
    pub promised: Option<GenerationId>,
    /// Primary: the generation of the permission to go on alone that this heart has given last, as long as the copies weren't in step
    /// since. Said before the record says it, so that a copy which was in step can't think that it still is.
    pub granted: Option<GenerationId>,
    /// It goes on alone with a disk that failed: it can serve no other copy until the module was stopped and started there.
    pub degraded: bool,
    /// Asks the peer to outdate its copy, because this heart would like to grant `epoch`.
    pub please_outdate: Option<Outdating>,
    pub swap: SwapPhase,
    /// The module is on its way out of its state: a stop, a stopstart, the primary's part of a swap.
    pub stopping: bool,
    /// How this node came to be alone, for the tie-break of reference 004, 4.2.10.
    pub former: Former,
    /// Whether a secondary takes over by itself, and how often that was chosen by a command; 0: never, the configuration holds.
    pub failover: bool,
    pub failover_version: u64,
    /// Resources that the receiver's failover rules may ask for.
    pub told: Option<Told>,
}

/// Values of resources. Both nodes make the list of names from their own configuration; the frame says only which list
/// is meant, so that a heartbeat stays short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// A checksum of the list of names.
    pub list: u32,
    /// A value for each name: 1 init, 2 up, 3 down, 4 unknown, 5 inactive, 6 on, 7 off, 8 anything else.
    pub values: Vec<u8>,
}

/// A generation and the grant that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdating {
    pub since: GenerationId,
    pub epoch: Epoch,
}

/// Where a swap stands on the sender's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapPhase {
    #[default]
    None,
    /// The secondary would like to be primary.
    Asked,
    /// The primary is stopping its application for it.
    Begun,
}

/// What a node was before it was alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Former {
    #[default]
    None,
    Prim,
    Second,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    counter: u64,
    #[prost(fixed64, tag = "4")]
    heard_incarnation: u64,
    #[prost(uint64, repeated, tag = "5")]
    heard: Vec<u64>,
    #[prost(uint32, tag = "6")]
    state: u32,
    #[prost(uint32, tag = "7")]
    colour: u32,
    #[prost(uint64, tag = "8")]
    epoch: u64,
    #[prost(bool, tag = "9")]
    replicates: bool,
    #[prost(message, optional, tag = "10")]
    copy: Option<CopyFrame>,
    #[prost(bool, tag = "11")]
    in_step: bool,
    #[prost(message, optional, tag = "12")]
    outdated: Option<OutdatingFrame>,
    #[prost(message, optional, tag = "13")]
    please_outdate: Option<OutdatingFrame>,
    #[prost(uint32, tag = "14")]
    swap: u32,
    #[prost(bool, tag = "15")]
    stopping: bool,
    #[prost(uint32, tag = "16")]
    former: u32,
    #[prost(fixed64, optional, tag = "17")]
    promised: Option<u64>,
    #[prost(bool, tag = "18")]
    failover: bool,
    #[prost(uint64, tag = "19")]
    failover_version: u64,
    #[prost(fixed32, optional, tag = "20")]
    told_list: Option<u32>,
    #[prost(bytes = "vec", tag = "21")]
    told: Vec<u8>,
    #[prost(fixed64, optional, tag = "22")]
    granted: Option<u64>,
    #[prost(bool, tag = "23")]
    degraded: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CopyFrame {
    #[prost(fixed64, tag = "1")]
    generation: u64,
    #[prost(fixed64, repeated, tag = "2")]
    history: Vec<u64>,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint32, tag = "4")]
    standing: u32,
    #[prost(fixed64, tag = "5")]
    since: u64,
    #[prost(bool, tag = "6")]
    consistent: bool,
    #[prost(bool, tag = "7")]
    up_to_date: bool,
    #[prost(bool, tag = "8")]
    was_primary: bool,
    #[prost(bool, tag = "9")]
    orderly: bool,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct OutdatingFrame {
    #[prost(fixed64, tag = "1")]
    since: u64,
    #[prost(uint64, tag = "2")]
    epoch: u64,
}

impl Heartbeat {
    /// The frame's bytes. Lanes and ancestors above [`LANES_MAX`] and [`HISTORY_MAX`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        let frame = Frame {
            version: VERSION,
            incarnation: self.incarnation.0,
            counter: self.counter,
            heard_incarnation: self.heard_incarnation.0,
            heard: self.heard.iter().copied().take(LANES_MAX).collect(),
            state: state_number(self.state),
            colour: colour_number(self.colour),
            epoch: self.epoch.0,
            replicates: self.replicates,
            copy: self.copy.as_ref().map(CopyFrame::from),
            in_step: self.in_step,
            outdated: self.outdated.map(OutdatingFrame::from),
            please_outdate: self.please_outdate.map(OutdatingFrame::from),
            swap: match self.swap {
                SwapPhase::None => 0,
                SwapPhase::Asked => 1,
                SwapPhase::Begun => 2,
            },
            stopping: self.stopping,
            promised: self.promised.map(|generation| generation.0),
            granted: self.granted.map(|generation| generation.0),
            degraded: self.degraded,
            failover: self.failover,
            failover_version: self.failover_version,
            told_list: self.told.as_ref().map(|told| told.list),
            told: self.told.iter().flat_map(|told| &told.values).copied().take(TOLD_MAX).collect(),
            former: match self.former {
                Former::None => 0,
                Former::Prim => 1,
                Former::Second => 2,
            },
        };
        prost::Message::encode_to_vec(&frame)
    }

    /// Reads a frame of a peer whose seal was good; its content is checked all the same.
    pub fn decode(bytes: &[u8]) -> Result<Heartbeat, BadFrame> {
        if bytes.len() > BYTES_MAX {
            return Err(BadFrame::TooLong { bytes: bytes.len(), max: BYTES_MAX });
        }
        let frame = <Frame as prost::Message>::decode(bytes).map_err(|error| BadFrame::Garbled(error.to_string()))?;
        if frame.version != VERSION {
            return Err(BadFrame::Version { theirs: frame.version, ours: VERSION });
        }
        at_most("heard", frame.heard.len(), LANES_MAX)?;
        at_most("told", frame.told.len(), TOLD_MAX)?;
        Ok(Heartbeat {
            incarnation: Incarnation(frame.incarnation),
            counter: frame.counter,
            heard_incarnation: Incarnation(frame.heard_incarnation),
            state: state_from("state", frame.state)?,
            colour: colour_from("colour", frame.colour)?,
            epoch: Epoch(frame.epoch),
            replicates: frame.replicates,
            copy: frame.copy.map(CopyState::try_from).transpose()?,
            in_step: frame.in_step,
            outdated: frame.outdated.map(Outdating::from),
            please_outdate: frame.please_outdate.map(Outdating::from),
            swap: match frame.swap {
                0 => SwapPhase::None,
                1 => SwapPhase::Asked,
                2 => SwapPhase::Begun,
                other => return Err(no_meaning("swap", other)),
            },
            stopping: frame.stopping,
            promised: frame.promised.map(GenerationId),
            granted: frame.granted.map(GenerationId),
            degraded: frame.degraded,
            failover: frame.failover,
            failover_version: frame.failover_version,
            told: frame.told_list.map(|list| Told { list, values: frame.told }),
            former: match frame.former {
                0 => Former::None,
                1 => Former::Prim,
                2 => Former::Second,
                other => return Err(no_meaning("former", other)),
            },
            heard: frame.heard,
        })
    }
}

impl From<&CopyState> for CopyFrame {
    fn from(copy: &CopyState) -> CopyFrame {
        let (standing, since) = match copy.standing {
            Standing::New => (1, 0),
            Standing::Connected => (2, 0),
            Standing::AloneConfirmed => (3, 0),
            Standing::AloneUnconfirmed => (4, 0),
            Standing::Outdated { since } => (5, since.0),
        };
        CopyFrame {
            generation: copy.generation.0,
            history: copy.history.iter().take(HISTORY_MAX).map(|g| g.0).collect(),
            epoch: copy.epoch.0,
            standing,
            since,
            consistent: copy.consistent,
            up_to_date: copy.up_to_date,
            was_primary: copy.was_primary,
            orderly: copy.orderly,
        }
    }
}

impl TryFrom<CopyFrame> for CopyState {
    type Error = BadFrame;

    fn try_from(frame: CopyFrame) -> Result<CopyState, BadFrame> {
        at_most("history", frame.history.len(), HISTORY_MAX)?;
        Ok(CopyState {
            generation: GenerationId(frame.generation),
            history: frame.history.into_iter().map(GenerationId).collect(),
            epoch: Epoch(frame.epoch),
            standing: match frame.standing {
                1 => Standing::New,
                2 => Standing::Connected,
                3 => Standing::AloneConfirmed,
                4 => Standing::AloneUnconfirmed,
                5 => Standing::Outdated { since: GenerationId(frame.since) },
                other => return Err(no_meaning("standing", other)),
            },
            consistent: frame.consistent,
            up_to_date: frame.up_to_date,
            was_primary: frame.was_primary,
            orderly: frame.orderly,
        })
    }
}

impl From<Outdating> for OutdatingFrame {
    fn from(outdating: Outdating) -> OutdatingFrame {
        OutdatingFrame { since: outdating.since.0, epoch: outdating.epoch.0 }
    }
}

impl From<OutdatingFrame> for Outdating {
    fn from(frame: OutdatingFrame) -> Outdating {
        Outdating { since: GenerationId(frame.since), epoch: Epoch(frame.epoch) }
    }
}

pub(crate) fn no_meaning(field: &'static str, value: u32) -> BadFrame {
    BadFrame::Field { field, value: u64::from(value) }
}

pub(crate) fn at_most(field: &'static str, len: usize, max: usize) -> Result<(), BadFrame> {
    if len > max {
        return Err(BadFrame::TooMany { field, len, max });
    }
    Ok(())
}

pub(crate) fn state_number(state: ModuleState) -> u32 {
    match state {
        ModuleState::Stop => 1,
        ModuleState::Wait => 2,
        ModuleState::Alone => 3,
        ModuleState::Prim => 4,
        ModuleState::Second => 5,
        ModuleState::Up => 6,
        ModuleState::Unknown => 7,
    }
}

pub(crate) fn state_from(field: &'static str, number: u32) -> Result<ModuleState, BadFrame> {
    Ok(match number {
        1 => ModuleState::Stop,
        2 => ModuleState::Wait,
        3 => ModuleState::Alone,
        4 => ModuleState::Prim,
        5 => ModuleState::Second,
        6 => ModuleState::Up,
        7 => ModuleState::Unknown,
        other => return Err(no_meaning(field, other)),
    })
}

pub(crate) fn colour_number(colour: Colour) -> u32 {
    match colour {
        Colour::Red => 1,
        Colour::Magenta => 2,
        Colour::Green => 3,
        Colour::Grey => 4,
    }
}

pub(crate) fn colour_from(field: &'static str, number: u32) -> Result<Colour, BadFrame> {
    Ok(match number {
        1 => Colour::Red,
        2 => Colour::Magenta,
        3 => Colour::Green,
        4 => Colour::Grey,
        other => return Err(no_meaning(field, other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Heartbeat {
        Heartbeat {
            incarnation: Incarnation(u64::MAX),
            counter: u64::MAX,
            heard_incarnation: Incarnation(u64::MAX),
            heard: vec![u64::MAX; LANES_MAX],
            state: ModuleState::Second,
            colour: Colour::Green,
            epoch: Epoch(u64::MAX),
            replicates: true,
            copy: Some(CopyState {
                generation: GenerationId(u64::MAX),
                history: vec![GenerationId(u64::MAX); HISTORY_MAX],
                epoch: Epoch(u64::MAX),
                standing: Standing::Outdated { since: GenerationId(u64::MAX) },
                consistent: true,
                up_to_date: true,
                was_primary: true,
                orderly: true,
            }),
            in_step: true,
            outdated: Some(Outdating { since: GenerationId(u64::MAX), epoch: Epoch(u64::MAX) }),
            please_outdate: Some(Outdating { since: GenerationId(u64::MAX), epoch: Epoch(u64::MAX) }),
            swap: SwapPhase::Begun,
            promised: Some(GenerationId(u64::MAX)),
            granted: Some(GenerationId(u64::MAX)),
            degraded: true,
            failover: true,
            failover_version: u64::MAX,
            told: Some(Told { list: u32::MAX, values: vec![8; TOLD_MAX] }),
            stopping: true,
            former: Former::Second,
        }
    }

    #[test]
    fn the_longest_heartbeat_fits_and_comes_back() {
        let bytes = full().encode();
        assert!(bytes.len() <= BYTES_MAX - 50, "{} bytes", bytes.len());
        assert_eq!(Heartbeat::decode(&bytes), Ok(full()));
    }

    #[test]
    fn the_bytes_of_version_1_stay() {
        let small = Heartbeat {
            incarnation: Incarnation(0x0102_0304_0506_0708),
            counter: 300,
            heard_incarnation: Incarnation(2),
            heard: vec![7, 0],
            state: ModuleState::Prim,
            colour: Colour::Magenta,
            epoch: Epoch(5),
            replicates: true,
            copy: Some(CopyState {
                generation: GenerationId(9),
                history: vec![GenerationId(8)],
                epoch: Epoch(5),
                standing: Standing::Connected,
                consistent: true,
                up_to_date: true,
                was_primary: false,
                orderly: false,
            }),
            in_step: false,
            outdated: None,
            please_outdate: Some(Outdating { since: GenerationId(9), epoch: Epoch(6) }),
            swap: SwapPhase::Asked,
            promised: None,
            granted: None,
            degraded: false,
            // Absent in the frames of before: nobody said anything.
            failover: false,
            failover_version: 0,
            told: None,
            stopping: false,
            former: Former::Prim,
        };
        let hex: String = small.encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "080111080706050403020118ac022102000000000000002a0207003004380240054801521b0909000000000000001208080000000000000018052002300138016a0b09090000000000000010067001800101"
        );
        assert_eq!(Heartbeat::decode(&small.encode()), Ok(small));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert!(matches!(Heartbeat::decode(&[0; 1201]), Err(BadFrame::TooLong { .. })));
        assert_eq!(Heartbeat::decode(&[]), Err(BadFrame::Version { theirs: 0, ours: 1 }));
        let later = Frame { version: 2, ..Frame::default() };
        let bytes = prost::Message::encode_to_vec(&later);
        assert_eq!(Heartbeat::decode(&bytes), Err(BadFrame::Version { theirs: 2, ours: 1 }));
        let mut frame = Frame { version: 1, ..Frame::default() };
        let bytes = prost::Message::encode_to_vec(&frame);
        assert_eq!(Heartbeat::decode(&bytes), Err(BadFrame::Field { field: "state", value: 0 }));
        frame.heard = vec![0; 17];
        let bytes = prost::Message::encode_to_vec(&frame);
        assert!(matches!(Heartbeat::decode(&bytes), Err(BadFrame::TooMany { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
            let _ = Heartbeat::decode(&bytes);
        }

        #[test]
        fn a_changed_byte_never_breaks_the_reader(at in 0usize..400, value: u8) {
            let mut bytes = full().encode();
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(heartbeat) = Heartbeat::decode(&bytes) {
                prop_assert_eq!(Heartbeat::decode(&heartbeat.encode()), Ok(heartbeat));
            }
        }
    }
}
