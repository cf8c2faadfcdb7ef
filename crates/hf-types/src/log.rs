use crate::{
    Caller, Colour, Command, Epoch, ErrdOrder, FailoverReason, GrantReason, Hang, ModuleState, NotPrimary, ProcFault,
    RefusedAction, ResourceValue, RfsFault, Script, ScriptOutcome,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Level of a log line (reference 004, 9.5; newer versions' letters).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Critical: needs attention.
    C,
    /// A user's action.
    U,
    /// State changes and major events.
    E,
    /// Scripts.
    S,
    /// Information.
    I,
    /// For debugging.
    D,
}

/// One line of a module's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Wall clock, microseconds since 1970 UTC; for people only, nothing decides by it.
    pub at_us: i64,
    /// The process that wrote it: `heart`, `rfs`, `safeadmin`.
    pub process: String,
    pub level: Level,
    /// The heartbeat counter of the module on this node, for ordering by causality.
    pub counter: u64,
    pub text: String,
}

impl LogLine {
    /// One line for people; `time` is `at_us` in their time zone. Control characters of whoever wrote it are made visible.
    pub fn shown(&self, time: &str) -> String {
        format!("{time} | {} | {:?} | {}\n", one_line(&self.process), self.level, one_line(&self.text))
    }
}

/// Text from elsewhere on one line, without control characters.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Everything that the log of this slice says; the texts are the reference's own (reference 004, Log Messages Index).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    ActionCalled {
        command: Command,
        by: Caller,
    },
    ActionRefused {
        command: Command,
        why: RefusedAction,
    },
    LocalState(ModuleState, Colour),
    RemoteState(ModuleState, Colour),
    Transition {
        to: String,
        from: String,
    },
    ResourceSet {
        name: String,
        value: ResourceValue,
        by: String,
    },
    ReasonOfFailover(FailoverReason),
    ScriptRun(Script),
    ScriptForce(Script),
    ScriptEnded(Script, ScriptOutcome),
    ScriptHangs(Script, Hang),
    /// What a script prints can't be kept; it runs all the same.
    ScriptNotLogged(Script, String),
    /// Too few or too many processes of a `<proc>` (reference 004, 4.4.1).
    ProcFault {
        fault: ProcFault,
        name: String,
    },
    /// The program of a `<proc>` is called.
    HandlerCalled(String),
    /// It failed.
    HandlerEnded(String, ScriptOutcome),
    ErrdCalled {
        order: ErrdOrder,
        by: Caller,
    },
    BeginOfSwap,
    EndOfStop,
    /// The reference 004, 7.11.
    StoppingLoop,
    PreviousHaltUnexpected,
    /// Instead of a `stopstart` by a detector (reference 004, 13.2.3).
    AutomaticReboot,
    /// The machine can't be rebooted, or must not be; what is done instead is a `stopstart`.
    NoAutomaticReboot(String),
    FailoverOff,
    MaybeNotUpToDate(NotPrimary),
    /// By a failover rule, or by a decision that has a rule's name (reference 004, 7.9).
    ActionFromRule {
        action: String,
        rule: String,
    },
    RunPrimIfSure,
    MaybeInconsistent,
    RunPrimforceIfSure,
    PrimAborted,
    SplitBrainStaying,
    SplitBrainExiting,
    Yielding,
    VirtualIpSet(String),
    VirtualIpUnset(String),
    VirtualIpFailed {
        address: String,
        error: String,
    },
    /// Why a checker finds something down, beside [`Event::ResourceSet`].
    CheckerFound {
        resource: String,
        why: String,
    },
    /// Another machine says to have it too.
    VirtualIpClaimed {
        address: String,
        by: String,
    },
    UpdatingTree(String),
    Copied(String),
    ReintegrationEnded,
    ReintegrationFailed(String),
    Granted {
        epoch: Epoch,
        why: GrantReason,
    },
    RfsFault(RfsFault),
    ProcessDied {
        process: String,
        detail: String,
    },
    Stalled {
        ms: u64,
    },
    /// Anything else, already a sentence.
    Text(String),
    /// What became of the copy of a node that had gone on by itself.
    CopyKept(String),
    /// The module stops by itself and isn't started again by itself; the text says why, and the way back.
    StaysStopped(String),
    /// Why nothing may be heard of the other node, and what to do.
    Advice(String),
}

impl Event {
    /// The level at which this event is logged.
    pub fn level(&self) -> Level {
        match self {
            Event::ActionCalled { by, .. } if by.is_person() => Level::U,
            // Scripts say these at each start and stop.
            Event::ErrdCalled { order: ErrdOrder::Enable(_) | ErrdOrder::Disable(_), .. } => Level::I,
            Event::ErrdCalled { .. } => Level::U,
            Event::ScriptRun(_) | Event::ScriptForce(_) | Event::ScriptEnded(..) => Level::S,
            Event::Text(_) | Event::VirtualIpUnset(_) | Event::Stalled { .. } | Event::CheckerFound { .. } => Level::I,
            Event::RfsFault(_)
            | Event::ProcessDied { .. }
            | Event::MaybeInconsistent
            | Event::StoppingLoop
            | Event::AutomaticReboot
            | Event::NoAutomaticReboot(_)
            | Event::StaysStopped(_)
            | Event::VirtualIpFailed { .. }
            | Event::VirtualIpClaimed { .. }
            | Event::ReintegrationFailed(_) => Level::C,
            _ => Level::E,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::ActionCalled { command, by } if *by == Caller::boot() => {
                write!(f, "Action {command} called at boot time")
            }
            Event::ActionCalled { command, by } if *by == Caller::automatic() => {
                write!(f, "Action {command} called automatically")
            }
            Event::ActionCalled { command, by } => write!(f, "Action {command} called by {by}"),
            Event::ErrdCalled { order, by } => write!(f, "Action {order} called by {by}"),
            Event::ProcFault { fault, name } => write!(f, "event {fault} on proc {name}"),
            Event::HandlerCalled(handler) => write!(f, "Action {handler} called by errd"),
            Event::HandlerEnded(handler, outcome) => write_outcome(f, "Handler", handler, outcome),
            Event::ActionRefused { command, why } => write!(f, "Action {command} refused: {why}"),
            Event::LocalState(state, colour) => write!(f, "Local state {state} {colour}"),
            Event::RemoteState(state, colour) => write!(f, "Remote state {state} {colour}"),
            Event::Transition { to, from } => write!(f, "Transition {to} from {from}"),
            Event::ResourceSet { name, value, by } => write!(f, "Resource {name} set to {value} by {by}"),
            Event::CheckerFound { resource, why } => write!(f, "Checker {resource}: {why}"),
            Event::ReasonOfFailover(reason) => write!(f, "Reason of failover: {reason}"),
            Event::ScriptRun(script) => write!(f, "Script {script}"),
            Event::ScriptForce(script) => write!(f, "Script {script} force"),
            Event::ScriptEnded(script, outcome) => write_outcome(f, "Script", script, outcome),
            Event::ScriptHangs(script, hang) => write!(f, "Script {script} {hang}"),
            Event::ScriptNotLogged(script, why) => write!(f, "What script {script} prints is not kept: {why}"),
            Event::BeginOfSwap => f.write_str("Begin of Swap"),
            Event::EndOfStop => f.write_str("End of stop"),
            Event::StoppingLoop => f.write_str("Stopping loop"),
            Event::PreviousHaltUnexpected => f.write_str("Previous halt unexpected"),
            Event::AutomaticReboot => {
                f.write_str("Stopping the module to reboot this machine instead of a stopstart (automatic_reboot)")
            }
            Event::NoAutomaticReboot(why) => write!(f, "This machine is not rebooted, the module is restarted: {why}"),
            Event::FailoverOff => f.write_str("Failover-off configured"),
            Event::MaybeNotUpToDate(why) => write!(
                f,
                "Data may be not uptodate for replicated directories (wait for the start of the remote server): {why}"
            ),
            Event::ActionFromRule { action, rule } => write!(f, "Action {action} from failover rule {rule}"),
            Event::RunPrimIfSure => f.write_str(
                "If you are sure that this server has valid data, run safekit prim to force start as primary",
            ),
            Event::MaybeInconsistent => {
                f.write_str("Data may be inconsistent for replicated directories (stopped during reintegration)")
            }
            Event::RunPrimforceIfSure => f.write_str(
                "If you are sure that this server has valid data, run safekit primforce to force start as primary",
            ),
            Event::PrimAborted => f.write_str("Requested prim start aborted"),
            Event::SplitBrainStaying => f.write_str("Split brain recovery: staying alone"),
            Event::SplitBrainExiting => f.write_str("Split brain recovery: exiting alone"),
            Event::Yielding => f.write_str("The other copy descends from this one: yielding to it"),
            Event::VirtualIpSet(address) => write!(f, "Virtual IP <{address}> set"),
            Event::VirtualIpUnset(address) => write!(f, "Virtual IP <{address}> unset"),
            Event::VirtualIpFailed { address, error } => write!(f, "Virtual IP <{address}> failed: {error}"),
            Event::VirtualIpClaimed { address, by } => {
                write!(f, "Virtual IP <{address}> is claimed by {by} too: it stays here; take it away there")
            }
            Event::UpdatingTree(dir) => write!(f, "Updating directory tree from {dir}"),
            Event::Copied(statistics) => write!(f, "Copied {statistics}"),
            Event::ReintegrationEnded => f.write_str("Reintegration ended (synchronize)"),
            Event::ReintegrationFailed(why) => write!(f, "Reintegration failed: {why}"),
            Event::Granted { epoch, why } => write!(f, "Permission {epoch} to acknowledge: {why}"),
            Event::RfsFault(fault) => write!(f, "Replication: {fault}"),
            Event::ProcessDied { process, detail } => write!(f, "Process {process} died: {detail}"),
            Event::Stalled { ms } => {
                write!(f, "This process stood still for {ms} ms: listening before deciding anything")
            }
            Event::Text(text) | Event::CopyKept(text) | Event::StaysStopped(text) | Event::Advice(text) => {
                f.write_str(text)
            }
        }
    }
}

fn write_outcome(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    name: impl fmt::Display,
    outcome: &ScriptOutcome,
) -> fmt::Result {
    match outcome {
        ScriptOutcome::Exited(code) => write!(f, "{what} {name} ended with exit code {code}"),
        ScriptOutcome::Signalled(signal) => {
            write!(f, "{what} {name} was ended by signal {signal}")
        }
        ScriptOutcome::TimedOut => write!(f, "{what} {name} ran into its time-out and was ended"),
        ScriptOutcome::Missing => write!(f, "{what} {name} is not there"),
        ScriptOutcome::Refused(why) => write!(f, "{what} {name} was not run: {why}"),
    }
}
