//! The verbs that start, stop and move a module (reference 004, 9.4).

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use hf_types::{Caller, Command};
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::caller;
use crate::error::CliError;

#[derive(Debug, Subcommand)]
pub(crate) enum Control {
    Start(Start),
    Stop(Stop),
    Prim(Prim),
    Primforce(Primforce),
    Second(Second),
    Swap(Swap),
    Forcestop(Forcestop),
    Stopstart(Stopstart),
    Incloop(Incloop),
    Checkloop(Checkloop),
    Resetloop(Resetloop),
    Restart(Restart),
    Stopwait(Stopwait),
    Secondforce(Secondforce),
    Failover(Failover),
    Checker(Checker),
}

/// What all of them take.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    module: ModuleArg,
    /// Who calls, for the log; a detector's call counts towards maxloop
    #[arg(short, value_name = "IDENTITY")]
    identity: Option<String>,
}

/// Starts the module on this node; what both nodes know decides its role
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    common: Common,
}

/// Stops the module on this node; a primary hands over to a secondary that is in step
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    common: Common,
}

/// Starts the module as primary, with this node's data
///
/// For the first start, and when you know that this node's data is what you want. Refused if the other node is primary
/// or this node's data is half synchronised.
#[derive(Debug, Args)]
pub(crate) struct Prim {
    #[command(flatten)]
    common: Common,
    /// Compare everything with the other node's copy afterwards, whatever is known of it
    #[arg(value_parser = PossibleValuesParser::new(["fullsync"]))]
    how: Option<String>,
}

/// Starts the module as primary whatever is known of this node's data
///
/// The last resort when the better data is lost for good. The other node's copy is compared in full afterwards.
#[derive(Debug, Args)]
pub(crate) struct Primforce {
    #[command(flatten)]
    common: Common,
}

/// Starts the module as secondary; refused if the other node is not primary
#[derive(Debug, Args)]
pub(crate) struct Second {
    #[command(flatten)]
    common: Common,
    /// Compare everything with the primary's copy, whatever is known of it
    #[arg(value_parser = PossibleValuesParser::new(["fullsync"]))]
    how: Option<String>,
}

/// Exchanges primary and secondary
#[derive(Debug, Args)]
pub(crate) struct Swap {
    #[command(flatten)]
    common: Common,
    /// Without synchronising afterwards: Holdfast never does, both copies stay in step
    #[arg(value_parser = PossibleValuesParser::new(["nosync"]))]
    how: Option<String>,
}

/// Stops the module on this node at once, also what hangs
#[derive(Debug, Args)]
pub(crate) struct Forcestop {
    #[command(flatten)]
    common: Common,
}

/// Stops the module on this node and starts it again; a primary hands over
#[derive(Debug, Args)]
pub(crate) struct Stopstart {
    #[command(flatten)]
    common: Common,
}

/// Counts one restart more for maxloop; exit code 1 when the limit is reached
///
/// For handlers of your own that restart the application without telling Holdfast.
#[derive(Debug, Args)]
pub(crate) struct Incloop {
    #[command(flatten)]
    common: Common,
}

/// Stops and starts the application where it runs; the module keeps its state, nothing fails over
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    common: Common,
}

/// Stops the application and holds the module in WAIT until `start`; a primary hands over
///
/// Scripts poststop and prestart are not run.
#[derive(Debug, Args)]
pub(crate) struct Stopwait {
    #[command(flatten)]
    common: Common,
}

/// Says by exit code 1 that maxloop is reached
#[derive(Debug, Args)]
pub(crate) struct Checkloop {
    #[command(flatten)]
    common: Common,
}

/// Begins the counting of restarts for maxloop anew
#[derive(Debug, Args)]
pub(crate) struct Resetloop {
    #[command(flatten)]
    common: Common,
}

/// Starts the module as secondary, with a copy restored from a backup of a date
///
/// For a copy that was restored from a backup of that date. Files that neither copy changed since then are taken for equal and not read: what was damaged or put back without a new
/// time of change stays different, until `rfsverify` finds it or a `second fullsync` reads everything. Refused if the other node is not primary.
#[derive(Debug, Args)]
pub(crate) struct Secondforce {
    #[command(flatten)]
    common: Common,
    /// YYYY-MM-DD[Z], "YYYY-MM-DD hh:mm:ss[Z]" or YYYY-MM-DDThh:mm:ss[Z]; Z: UTC, else this machine's time zone
    #[arg(short, value_name = "DATE", required = true, value_parser = super::date::parse)]
    date: i64,
}

/// Says whether the secondary takes over by itself when the primary fails or stops
///
/// Said on one node it holds on both while one of them runs, whatever the configuration says.
#[derive(Debug, Args)]
pub(crate) struct Failover {
    #[command(flatten)]
    common: Common,
    #[arg(value_parser = PossibleValuesParser::new(["on", "off"]))]
    choice: String,
}

/// Says whether the module's checkers run; kept over a stop
///
/// For maintenance: while they don't run, what they look at is `init`, and no failover rule acts on it. Also while the module is stopped.
#[derive(Debug, Args)]
pub(crate) struct Checker {
    #[command(flatten)]
    common: Common,
    #[arg(value_parser = PossibleValuesParser::new(["on", "off"]))]
    choice: String,
}

pub(crate) async fn run(verb: Control, output: Output) -> Result<ExitCode, CliError> {
    // The only word that each of these takes is the one that its parser lets through.
    let either = |how: Option<String>, without, with| if how.is_some() { with } else { without };
    let (command, common) = match verb {
        Control::Start(verb) => (Command::Start, verb.common),
        Control::Stop(verb) => (Command::Stop, verb.common),
        Control::Prim(verb) => (either(verb.how, Command::Prim, Command::PrimFullsync), verb.common),
        Control::Primforce(verb) => (Command::Primforce, verb.common),
        Control::Second(verb) => (either(verb.how, Command::Second, Command::SecondFullsync), verb.common),
        Control::Swap(verb) => (either(verb.how, Command::Swap, Command::SwapNosync), verb.common),
        Control::Forcestop(verb) => (Command::Forcestop, verb.common),
        Control::Stopstart(verb) => (Command::Stopstart, verb.common),
        Control::Restart(verb) => (Command::Restart, verb.common),
        Control::Stopwait(verb) => (Command::Stopwait, verb.common),
        Control::Secondforce(verb) => (Command::Secondforce(verb.date), verb.common),
        Control::Incloop(verb) => (Command::Incloop, verb.common),
        Control::Checkloop(verb) => (Command::Checkloop, verb.common),
        Control::Resetloop(verb) => (Command::Resetloop, verb.common),
        Control::Checker(verb) => {
            (if verb.choice == "on" { Command::CheckerOn } else { Command::CheckerOff }, verb.common)
        }
        Control::Failover(verb) => {
            (if verb.choice == "on" { Command::FailoverOn } else { Command::FailoverOff }, verb.common)
        }
    };
    let module = common.module.required()?;
    let by = common.identity.map_or_else(|| Caller(caller::user()), |identity| Caller::detector(&identity));
    admin::order(Request::Control { module, command, by }, output).await?;
    Ok(ExitCode::SUCCESS)
}
