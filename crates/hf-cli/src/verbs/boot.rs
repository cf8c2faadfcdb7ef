//! `boot` (reference 004, 9.2).

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use hf_wire::bus::{BootStatus, Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// What the reference has beside these, for services that are not there yet.
const NOT_YET: [&str; 6] = ["webon", "weboff", "webstatus", "snmpon", "snmpoff", "snmpstatus"];

/// Says, or shows, whether the module starts with the machine; without -m the list of all modules
///
/// The attribute `boot` of `<service>` in userconfig.xml goes before this command, unless it is absent or `ignore`.
#[derive(Debug, Args)]
pub(crate) struct Boot {
    #[command(flatten)]
    module: ModuleArg,
    /// on, off or status
    #[arg(value_parser = PossibleValuesParser::new(["on", "off", "status"].into_iter().chain(NOT_YET)),
        default_value = "status", hide_possible_values = true)]
    what: String,
}

pub(crate) async fn run(verb: Boot, output: Output) -> Result<ExitCode, CliError> {
    if NOT_YET.contains(&verb.what.as_str()) {
        return Err(CliError::NotYet(format!("boot {}", verb.what)));
    }
    let set = match verb.what.as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    let module = match set {
        Some(_) => Some(verb.module.required()?),
        None => verb.module.optional()?,
    };
    let replies = admin::ask(Request::Boot { module, set }, output).await?;
    if set.is_none() {
        show(&statuses(replies), output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn statuses(replies: Vec<Reply>) -> Vec<BootStatus> {
    let boot = replies.into_iter().find_map(|reply| match reply {
        Reply::Boot { modules } => Some(modules),
        _ => None,
    });
    boot.unwrap_or_default()
}

fn show(modules: &[BootStatus], output: Output) -> Result<(), CliError> {
    match output {
        Output::Json => print::json(&serde_json::json!({ "modules": modules })),
        Output::Text => {
            let row = |status: &BootStatus| {
                vec![status.module.to_string(), print::clean_line(&status.boot), print::clean_line(&status.by)]
            };
            print::text(&print::table(&["Module", "Boot", "Set by"], modules.iter().map(row)))
        }
    }
}
