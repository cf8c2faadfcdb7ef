use hf_replica::engine::{EngineCommand, EngineEvent};
use hf_types::{Event, Incarnation};
use hf_wire::bus::{HeartToRfs, RfsToHeart};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What rfs decides by, from userconfig.xml.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RfsConfig {
    /// The replicated directories, in the order of the file.
    pub dirs: Vec<String>,
    /// `async="second"`: an up-to-date mark of the secondary holds only while its kernel runs (guide P5).
    pub async_second: bool,
    /// How long the other copy may leave operations unanswered before the heart is asked.
    pub send_timeout: Duration,
    pub lock_timeout: Duration,
    /// `syncdelta` is set: while in step, the records note once a minute that it is so.
    pub notes_synced: bool,
    /// Wall clock at [`hf_types::Instant`] zero, seconds since 1970 UTC.
    pub zero_s: i64,
}

/// What rfs is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RfsInput {
    Started {
        incarnation: Incarnation,
    },
    Heart(HeartToRfs),
    /// The heart's socket closed: fence, acknowledge nothing until a heart is back.
    HeartGone,
    /// The heart whose socket closed is dead: nobody listens there any more.
    HeartDead,
    /// A heart's socket stands again: it is told first what this rfs is.
    HeartBack,
    Engine(EngineEvent),
    /// The configuration changed; the directories are the same.
    Configured(RfsConfig),
    Timer,
    Stalled {
        for_ms: u64,
    },
}

/// What rfs wants done, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RfsEffect {
    ToHeart(RfsToHeart),
    Engine(EngineCommand),
    Log(Event),
    /// Leave with everything unmounted.
    Exit,
}
