//! `cmdlog` (reference 004, 10.9).

use std::process::ExitCode;

use clap::Args;
use hf_types::CommandLine;
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::Output;
use crate::error::CliError;
use crate::print;

/// Shows the last commands given on this node
///
/// Each line: | time | type | module | process id | what | details. A command that changes something has a line START with
/// its words when it begins, and a line END with its exit code when it has ended; lines of type cluster tell what
/// changed on other nodes.
#[derive(Debug, Args)]
pub(crate) struct Cmdlog {
    /// How many lines
    #[arg(short = 's', value_name = "NB", default_value_t = 300)]
    last: u32,
}

pub(crate) async fn run(verb: Cmdlog, output: Output) -> Result<ExitCode, CliError> {
    let lines: Vec<CommandLine> = admin::ask(Request::Commands { last: verb.last }, output)
        .await?
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Commands { lines } => Some(lines),
            _ => None,
        })
        .flatten()
        .collect();
    match output {
        Output::Json => print::json(&serde_json::json!({ "commands": lines }))?,
        Output::Text => print::text(
            &lines.iter().map(|line| line.shown(&print::local_time(line.at_us, print::TIME))).collect::<String>(),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}
