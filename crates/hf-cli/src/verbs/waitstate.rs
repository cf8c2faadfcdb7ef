//! `waitstate` (reference 004, 9.4).

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hf_types::ModuleState;
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;

/// Waits until the module is in a state on this node, and stable there (green, or red STOP)
#[derive(Debug, Args)]
pub(crate) struct Waitstate {
    #[command(flatten)]
    module: ModuleArg,
    /// The state to wait for
    #[arg(value_parser = PossibleValuesParser::new(["STOP", "ALONE", "UP", "PRIM", "SECOND"])
        .try_map(|word| word.parse::<ModuleState>()))]
    state: ModuleState,
}

pub(crate) async fn run(verb: Waitstate, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Waitstate { module, state: verb.state }, output).await?;
    Ok(ExitCode::SUCCESS)
}
