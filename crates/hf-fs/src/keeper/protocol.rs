//! What server and keeper say to each other, as JSON.
//!
//! Version 1: all of this. A keeper lives as long as its module runs, so a newer server may meet an older keeper: new requests
//! only, and no change of those that are here.

use serde::{Deserialize, Serialize};

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// How to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// What `mount` shows as the device: the backing directory.
    pub source: String,
    /// Do device files work below it?
    pub dev: bool,
    /// Do set-id bits work below it?
    pub suid: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    /// First of all.
    Hello { version: u32 },
    /// Mounts at this path, if that isn't done yet.
    Mount { mountpoint: String, options: Options },
    /// Everything that is held of a mount; answered when the process that attached before is gone.
    Attach { mountpoint: String },
    /// What the first server answered to INIT.
    Answered { mountpoint: String, answer: Vec<u8> },
    /// Keeps the descriptor that comes beside it under this name.
    Keep { mountpoint: String, name: String },
    /// The memory file of this name, made with this size (bytes) if there is none.
    Memory { mountpoint: String, name: String, size: u64 },
    /// Unmounts (`lazy`: also when it is busy) and forgets everything of it.
    Unmount { mountpoint: String, lazy: bool },
    /// Which mounts are held.
    List,
    /// Unmounts everything and ends.
    Exit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Done,
    /// Beside it: the device, then the descriptors in the order of `names`.
    Attached {
        init_request: Vec<u8>,
        init_answer: Option<Vec<u8>>,
        names: Vec<String>,
    },
    /// Nothing is mounted there; beside it: what is kept for it already.
    NotMounted {
        names: Vec<String>,
    },
    /// Beside it: the memory file.
    Memory {
        fresh: bool,
    },
    Mounts {
        mountpoints: Vec<String>,
    },
    Failed {
        what: String,
        errno: i32,
    },
}
