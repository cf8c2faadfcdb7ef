//! `dump` and `clean` (reference 004, 9.7).

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hf_wire::bus::{CleanWhat, Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Saves logs and states of the module and of this node, for who looks for a fault later
///
/// The directory is SAFEVAR/snapshot/modules/AM/dump_...; the last three are kept. No key is in it.
#[derive(Debug, Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    module: ModuleArg,
}

/// Removes the logs, the history of resources or the processes of a module
///
/// Caution: what is removed is gone. log: the module's log. resource: the history of its resources. process: kills the heart
/// of a module that neither stop nor forcestop stopped, and all that belongs to the module; it stays stopped.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    #[command(flatten)]
    module: ModuleArg,
    /// What to remove
    #[arg(default_value = "all", value_parser = PossibleValuesParser::new(["all", "log", "process", "resource"]).map(|word| what(&word)))]
    what: CleanWhat,
}

fn what(word: &str) -> CleanWhat {
    let all = [CleanWhat::Log, CleanWhat::Process, CleanWhat::Resource];
    all.into_iter().find(|what| what.as_str() == word).unwrap_or_default()
}

pub(crate) async fn dump(verb: Dump, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    for reply in admin::ask(Request::Dump { module }, output).await? {
        let Reply::Saved { path } = reply else { continue };
        match output {
            Output::Text => print::text(&format!("{}\n", print::clean_line(&path)))?,
            Output::Json => print::json(&serde_json::json!({ "path": path }))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn clean(verb: Clean, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    admin::order(Request::Clean { module, what: verb.what }, output).await?;
    Ok(ExitCode::SUCCESS)
}
