//! `waitstart` and `waitstop` (reference 004, 9.4).

use std::process::ExitCode;

use clap::Args;
use hf_types::ModuleState;
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;

/// Waits until the module has started on this node (green); fails if it comes to STOP instead
#[derive(Debug, Args)]
pub(crate) struct Waitstart {
    #[command(flatten)]
    module: ModuleArg,
}

/// Waits until the module is stopped on this node (STOP, red)
#[derive(Debug, Args)]
pub(crate) struct Waitstop {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn start(verb: Waitstart, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Waitstart { module }, output).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn stop(verb: Waitstop, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Waitstate { module, state: ModuleState::Stop }, output).await?;
    Ok(ExitCode::SUCCESS)
}
