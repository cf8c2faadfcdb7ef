//! Bugs planted between the actors and the world, to show that the invariants would see them.
//!
//! Production code knows nothing of them: they drop, alter or add inputs and effects, or let the data plane lie.

use crate::event::Input;
use crate::faults::Class;
use crate::run::{Options, run};
use crate::world::World;
use hf_node::heart::HeartInput;
use hf_node::rfs::RfsInput;
use hf_replica::engine::EngineEvent;
use hf_types::{Epoch, GenerationId, GrantReason, Record, Standing, UpToDate};
use hf_wire::bus::{HeartToRfs, RfsToHeart};
use std::str::FromStr;

/// A bug of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A record is said to be written, and is not.
    RecordLost,
    /// A record is said to be written before it is: what follows from it happens too early.
    RecordEarly,
    /// Rfs does not take its heart's fences nor sees that its heart is gone, and the daemon is told that it did.
    FenceIgnored,
    /// Who asks for a permission gets it at once, without outdating and without silence.
    GrantForNothing,
    /// The data plane acknowledges in step without the other copy's answer.
    AckBeforePeer,
    /// The secondary's core hears that it is up to date while the last zones are still on their way to its disk.
    UpToDateEarly,
    /// The address has no lifetime: it stays when its heart stands still.
    VipOutlives,
    /// Nobody notices that the process stood still: silence counters go on.
    StallUnnoticed,
    /// Every copy says that it is up to date and consistent.
    AlwaysUpToDate,
    /// A generation is drawn without naming its parent.
    HistoryForgotten,
    /// The secondary confirms operations of the stream that it left out.
    OperationSkipped,
    /// A drain is said to be over at once, whatever is still on its way to the disk or to the other copy.
    DrainEarly,
    /// A copy that has something that no other has is said to be kept, and is not.
    KeptNowhere,
    /// A file counts as unchanged though something was written into it alone.
    MarkKept,
}

/// What a planted bug does harm to, and where.
pub struct Plan {
    pub bug: Bug,
    /// Faults under which it shows.
    pub faults: &'static [Class],
    /// The invariants that are there for it.
    pub caught_by: &'static [&'static str],
}

/// Each of them is caught within so many seeds, of [`PLANTED_OPS`] each.
pub const PLANTED_SEEDS: u64 = 1000;

/// [`Options::ops`] of such a run.
pub const PLANTED_OPS: u64 = 600;

const LOST: &str = "no_acknowledged_operation_lost";
const ONE: &str = "one_acknowledges";
const NOT_UP_TO_DATE: &str = "not_up_to_date_never_primary";
const REST: &str = "reaches_prim_second";

/// All of them.
pub const PLANTED: &[Plan] = &[
    Plan { bug: Bug::RecordLost, faults: &[Class::Power, Class::Admin], caught_by: &[LOST, ONE, NOT_UP_TO_DATE, REST] },
    Plan {
        bug: Bug::RecordEarly,
        faults: &[Class::Power, Class::SlowDisk, Class::Link, Class::KillRfs],
        caught_by: &[LOST, ONE, NOT_UP_TO_DATE],
    },
    Plan {
        bug: Bug::FenceIgnored,
        faults: &[Class::KillHeart, Class::KillRfs],
        caught_by: &["fence_ends_grants", ONE],
    },
    Plan { bug: Bug::GrantForNothing, faults: &[Class::Link, Class::Power, Class::Partition], caught_by: &[LOST, ONE] },
    Plan { bug: Bug::AckBeforePeer, faults: &[Class::Power, Class::Partition], caught_by: &[LOST, ONE] },
    Plan { bug: Bug::UpToDateEarly, faults: &[Class::Power, Class::KillHeart], caught_by: &[NOT_UP_TO_DATE, LOST] },
    Plan { bug: Bug::VipOutlives, faults: &[Class::Freeze], caught_by: &["one_virtual_ip"] },
    Plan { bug: Bug::StallUnnoticed, faults: &[Class::Freeze], caught_by: &["thawed_never_alone", "silence_is_real"] },
    Plan { bug: Bug::AlwaysUpToDate, faults: &[Class::Power], caught_by: &[NOT_UP_TO_DATE, LOST] },
    Plan { bug: Bug::HistoryForgotten, faults: &[Class::Power], caught_by: &["generations_descend"] },
    Plan { bug: Bug::OperationSkipped, faults: &[Class::Power], caught_by: &[LOST, REST] },
    Plan {
        bug: Bug::DrainEarly,
        faults: &[Class::SlowDisk, Class::Delay, Class::Admin],
        caught_by: &["drained_is_there"],
    },
    Plan { bug: Bug::KeptNowhere, faults: &[Class::Partition, Class::NoRoom], caught_by: &["diverged_copy_is_kept"] },
    Plan { bug: Bug::MarkKept, faults: &[Class::Link, Class::Admin], caught_by: &["unread_is_equal", REST] },
];

impl Plan {
    /// The first seed that shows the bug by one of the invariants that are there for it, and by which.
    ///
    /// # Errors
    /// None did. The invariants that were violated instead.
    pub fn catch(&self) -> Result<(u64, &'static str), Vec<&'static str>> {
        let options =
            Options { ops: PLANTED_OPS, faults: self.faults.to_vec(), bug: Some(self.bug), ..Options::default() };
        let mut others = Vec::new();
        for seed in 1..=PLANTED_SEEDS {
            if let Err(failure) = run(seed, &options) {
                let invariant = failure.violation.invariant;
                if self.caught_by.contains(&invariant) {
                    return Ok((seed, invariant));
                }
                others.push(invariant);
            }
        }
        Err(others)
    }
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 14] = [
        Bug::RecordLost,
        Bug::RecordEarly,
        Bug::FenceIgnored,
        Bug::GrantForNothing,
        Bug::AckBeforePeer,
        Bug::UpToDateEarly,
        Bug::VipOutlives,
        Bug::StallUnnoticed,
        Bug::AlwaysUpToDate,
        Bug::HistoryForgotten,
        Bug::OperationSkipped,
        Bug::DrainEarly,
        Bug::KeptNowhere,
        Bug::MarkKept,
    ];
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Bug::ALL
            .into_iter()
            .find(|bug| format!("{bug:?}").eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text:?} is no planted bug; there are {:?}", Bug::ALL))
    }
}

/// What became of an input.
pub enum Altered {
    Dropped,
    As(Box<Input>),
}

impl World {
    pub(crate) fn alter_input(&mut self, node: usize, input: Input) -> Altered {
        let Some(bug) = self.bug else {
            return Altered::As(Box::new(input));
        };
        match (bug, &input) {
            (Bug::FenceIgnored, Input::Rfs(RfsInput::HeartGone | RfsInput::HeartDead))
            | (Bug::FenceIgnored, Input::Rfs(RfsInput::Heart(HeartToRfs::Fence { .. })))
            | (Bug::StallUnnoticed, Input::Heart(HeartInput::Stalled { .. }))
            | (Bug::StallUnnoticed, Input::Rfs(RfsInput::Stalled { .. })) => Altered::Dropped,
            (Bug::GrantForNothing, Input::Heart(HeartInput::Rfs(RfsToHeart::AskAlone { epoch, .. }))) => {
                self.grant_for_nothing(node, *epoch);
                Altered::As(Box::new(input))
            }
            (Bug::AlwaysUpToDate, Input::Rfs(RfsInput::Engine(EngineEvent::Started { .. }))) => {
                Altered::As(Box::new(whitewashed(input)))
            }
            _ => Altered::As(Box::new(input)),
        }
    }

    fn grant_for_nothing(&mut self, node: usize, epoch: Epoch) {
        let Some(rfs) = self.nodes[node].rfs.as_ref().map(|p| p.pid) else {
            return;
        };
        let grant = HeartToRfs::Grant {
            epoch: Epoch(epoch.0 + 2),
            generation: GenerationId(self.dice.shell.next()),
            why: GrantReason::Silence,
        };
        self.tell(node, rfs, Input::Rfs(RfsInput::Heart(grant)));
    }
}

/// The records of a copy that can start with nobody to ask.
fn whitewashed(input: Input) -> Input {
    match input {
        Input::Rfs(RfsInput::Engine(EngineEvent::Started { mut records, boot_id, takeover })) => {
            for record in records.iter_mut().filter(|r| r.standing != Standing::New) {
                record.up_to_date = UpToDate::Yes;
                record.consistent = true;
                record.standing = Standing::AloneConfirmed;
            }
            Input::Rfs(RfsInput::Engine(EngineEvent::Started { records, boot_id, takeover }))
        }
        other => other,
    }
}

impl Bug {
    /// What becomes of a record on its way to the disk.
    pub(crate) fn record(self, record: &mut Record, before: &Record) {
        if self == Bug::HistoryForgotten && record.generation != before.generation {
            record.history.clear();
        }
    }
}
