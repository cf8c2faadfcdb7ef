//! Plain data that every part of Holdfast shares: names and ids, our own clock, states and colours, actions, reasons,
//! log events, replica records. Pure: no clock, no randomness, no input or output.
//!
//! The words are the reference's own (reference 004, 5.2, 7.3, 9.4), so that what a log says is what the code says.

mod action;
pub mod catalogue;
mod command_line;
mod errd;
mod ids;
mod log;
mod mode;
mod ocf;
pub mod ports;
mod reason;
mod record;
mod resource;
mod script;
mod state;
mod suggest;
mod sync;
mod time;

pub use action::{Action, Caller, Command};
pub use catalogue::{BadResource, ResourceName};
pub use command_line::CommandLine;
pub use errd::{ErrdOrder, ProcCount, ProcFault};
pub use ids::{BadName, Epoch, FileId, GenerationId, Incarnation, LanName, ModuleName, NodeName, RunId, Seq, Ticket};
pub use log::{Event, Level, LogLine, one_line};
pub use mode::Mode;
pub use ocf::OcfCall;
pub use reason::{FailoverReason, GrantReason, NotPrimary, RefusedAction, RfsFault};
pub use record::{CopyState, Record, Standing, UpToDate};
pub use resource::{Assignment, History, Resource, ResourceValue, VALUE_MAX};
pub use script::{Hang, Script, ScriptOutcome};
pub use state::{Colour, ModuleState};
pub use suggest::nearest;
pub use sync::{SYNC_UID_MAX, SyncPolicy, SyncRole, SyncWish};
pub use time::Instant;
