//! `set` (reference 004, 13.18.4).

use std::process::ExitCode;

use clap::Args;
use hf_types::{Assignment, BadResource, History, ResourceName, ResourceValue};
use hf_wire::bus::Request;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::caller;
use crate::error::CliError;

/// Sets the value of one of the module's resources
///
/// For checkers' scripts: holdfast set -r custom.myresource -v up. What Holdfast itself measures can't be set.
#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    module: ModuleArg,
    /// The resource
    #[arg(short, value_name = "CLASS.ID")]
    resource: ResourceName,
    /// Its value: up, down, init, unknown, inactive, or any text
    #[arg(short, value_parser = value)]
    value: ResourceValue,
    /// Who sets it, for the log
    #[arg(short, value_name = "IDENTITY")]
    identity: Option<String>,
    /// Don't keep it in the history of resources
    #[arg(short = 'n', conflicts_with = "always")]
    never: bool,
    /// Keep it in the history also if the value is the same as before
    #[arg(short = 'l')]
    always: bool,
}

fn value(text: &str) -> Result<ResourceValue, BadResource> {
    ResourceValue::parse(text)
}

pub(crate) async fn run(verb: Set, output: Output) -> Result<ExitCode, CliError> {
    let history = match (verb.never, verb.always) {
        (true, _) => History::Never,
        (false, true) => History::Always,
        (false, false) => History::Changes,
    };
    let by = verb.identity.unwrap_or_else(caller::user);
    let assignment = Assignment { name: verb.resource, value: verb.value, by, history };
    admin::order(Request::Set { module: verb.module.required()?, assignment }, output).await?;
    Ok(ExitCode::SUCCESS)
}
