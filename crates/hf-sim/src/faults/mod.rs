//! Faults: what can break, when, and for how long.

mod apply;
mod plan;
mod power;

pub use plan::plan;

use crate::clock::Time;
use crate::event::Part;
use std::str::FromStr;

/// A class of faults, as `--faults` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Loss,
    Delay,
    Partition,
    OneWay,
    Link,
    KillHeart,
    KillRfs,
    KillDaemon,
    Freeze,
    /// One process stands still, the others of its node go on. Only where it is asked for.
    Stall,
    Power,
    Rollback,
    SlowDisk,
    BadDisk,
    /// Files of a stopped module are changed by hand.
    Hands,
    /// Mounts fail, and no copy can be kept.
    NoRoom,
    SlowBus,
    Scripts,
    /// A resource that failover rules look at.
    Rules,
    /// A process that errd watches ends.
    Errd,
    Admin,
}

impl Class {
    /// All of them but [`Class::Stall`].
    pub const ALL: [Class; 20] = [
        Class::Loss,
        Class::Delay,
        Class::Partition,
        Class::OneWay,
        Class::Link,
        Class::KillHeart,
        Class::KillRfs,
        Class::KillDaemon,
        Class::Freeze,
        Class::Power,
        Class::Rollback,
        Class::SlowDisk,
        Class::BadDisk,
        Class::Hands,
        Class::NoRoom,
        Class::SlowBus,
        Class::Scripts,
        Class::Rules,
        Class::Errd,
        Class::Admin,
    ];
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Class::ALL
            .into_iter()
            .chain([Class::Stall])
            .find(|class| format!("{class:?}").eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no class of faults; there are {:?} and Stall", Class::ALL))
    }
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Time,
    /// How long it holds; what happens at once ends at once.
    pub lasts: Time,
    pub kind: Kind,
}

/// What breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Datagrams are lost on a lane, from one node.
    Loss {
        lane: usize,
        from: usize,
        permille: u64,
    },
    /// They take up to this long.
    Delay {
        lane: usize,
        from: usize,
        longest: Time,
    },
    /// Lanes carry nothing from these nodes.
    Partition {
        lanes: Vec<usize>,
        from: [bool; 2],
    },
    /// The replication link breaks.
    LinkCut,
    Kill {
        node: usize,
        part: Part,
    },
    Freeze {
        node: usize,
    },
    Stall {
        node: usize,
        part: Part,
    },
    /// The power goes and comes back; `rollback`: with an earlier disk.
    PowerCut {
        nodes: [bool; 2],
        rollback: bool,
    },
    /// The power of the node that is secondary at that moment.
    PowerCutOfSecond,
    SlowDisk {
        node: usize,
    },
    BadDisk {
        node: usize,
    },
    ByHand {
        node: usize,
    },
    NoRoom {
        node: usize,
    },
    SlowBus {
        node: usize,
    },
    BadScripts {
        node: usize,
    },
    /// A process that errd watches ends.
    ProcessEnds {
        node: usize,
        name: &'static str,
    },
    /// A checker finds something down.
    ResourceDown {
        node: usize,
        name: &'static str,
    },
}
