//! `printi` and `printe` (reference 004, 9.5).

use std::process::ExitCode;

use clap::Args;
use hf_types::Level;
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;

/// What both take.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    module: ModuleArg,
    /// Who writes, for the log
    #[arg(short, value_name = "IDENTITY", default_value = "user")]
    identity: String,
    /// The message; several words are put together
    #[arg(required = true)]
    message: Vec<String>,
}

/// Writes a message into the module's log, as information (level I)
#[derive(Debug, Args)]
pub(crate) struct Printi {
    #[command(flatten)]
    common: Common,
}

/// Writes a message into the module's log, as an event (level E)
#[derive(Debug, Args)]
pub(crate) struct Printe {
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn information(verb: Printi, output: Output) -> Result<ExitCode, CliError> {
    write(verb.common, Level::I, output).await
}

pub(crate) async fn event(verb: Printe, output: Output) -> Result<ExitCode, CliError> {
    write(verb.common, Level::E, output).await
}

async fn write(common: Common, level: Level, output: Output) -> Result<ExitCode, CliError> {
    let module = common.module.required()?;
    let request = Request::Print { module, level, by: common.identity, text: common.message.join(" ") };
    admin::order(request, output).await?;
    Ok(ExitCode::SUCCESS)
}
