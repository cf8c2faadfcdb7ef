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
    #[arg(value_parser = PossibleValuesParser::new(["fullsync"]), hide = true)]
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
    #[arg(value_parser = PossibleValuesParser::new(["fullsync"]), hide = true)]
    how: Option<String>,
}

/// Exchanges primary and secondary
#[derive(Debug, Args)]
pub(crate) struct Swap {
    #[command(flatten)]
    common: Common,
    #[arg(value_parser = PossibleValuesParser::new(["nosync"]), hide = true)]
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

pub(crate) async fn run(verb: Control, output: Output) -> Result<ExitCode, CliError> {
    let (command, common, how) = match verb {
        Control::Start(verb) => (Command::Start, verb.common, None),
        Control::Stop(verb) => (Command::Stop, verb.common, None),
        Control::Prim(verb) => (Command::Prim, verb.common, verb.how),
        Control::Primforce(verb) => (Command::Primforce, verb.common, None),
        Control::Second(verb) => (Command::Second, verb.common, verb.how),
        Control::Swap(verb) => (Command::Swap, verb.common, verb.how),
        Control::Forcestop(verb) => (Command::Forcestop, verb.common, None),
        Control::Stopstart(verb) => (Command::Stopstart, verb.common, None),
        Control::Incloop(verb) => (Command::Incloop, verb.common, None),
        Control::Checkloop(verb) => (Command::Checkloop, verb.common, None),
        Control::Resetloop(verb) => (Command::Resetloop, verb.common, None),
    };
    if let Some(how) = how {
        return Err(CliError::NotYet(format!("{command} {how}")));
    }
    let module = common.module.required()?;
    let by = common.identity.map_or_else(|| Caller(caller::user()), |identity| Caller::detector(&identity));
    admin::order(Request::Control { module, command, by }, output).await?;
    Ok(ExitCode::SUCCESS)
}
