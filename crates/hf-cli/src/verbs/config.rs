//! `config`, `confcheck` (reference 004, 9.6).

use std::process::ExitCode;

use clap::Args;
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Applies SAFE/modules/AM: userconfig.xml and scripts, as they are now
///
/// All mistakes are shown at once, each with its place; nothing is applied if there is one. A module that runs here takes a new configuration where
/// it is ALONE (green) or WAIT (red), if everything that changed may change while it runs; else the command names what needs a stop.
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    module: ModuleArg,
    /// Only says what would change, whether the module can go on running, and what it does to the application
    #[arg(long)]
    dry_run: bool,
}

/// Checks SAFE/modules/AM without applying it
///
/// Exit code 1 if `config` would refuse it.
#[derive(Debug, Args)]
pub(crate) struct Confcheck {
    #[command(flatten)]
    module: ModuleArg,
}

/// Takes the applied configuration of a stopped module away; SAFE/modules/AM stays
#[derive(Debug, Args)]
pub(crate) struct Deconfig {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn remove(verb: Deconfig, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Deconfig { module }, output).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn apply(verb: Config, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Config { module, dry_run: verb.dry_run }, output).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn check(verb: Confcheck, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Confcheck { module: module.clone() }, output).await?;
    if output == Output::Text {
        print::text(&format!("The configuration of {module} has no errors.\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
