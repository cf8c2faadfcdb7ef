//! `logview` and `logsave` (reference 004, 9.5).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hf_types::{Level, LogLine, ModuleName};
use hf_wire::bus::{Reply, Request};

use super::log::{Choice, shown};
use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Between two looks at the log.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// As many lines as there are.
const ALL: u32 = u32::MAX;

/// Shows the module's log as it grows, until it is interrupted
#[derive(Debug, Args)]
pub(crate) struct Logview {
    #[command(flatten)]
    module: ModuleArg,
    /// Begin with this many messages that are there already
    #[arg(short = 's', value_name = "NB", default_value_t = 10)]
    last: u32,
    #[command(flatten)]
    choice: Choice,
}

/// Saves the module's log into a file
#[derive(Debug, Args)]
pub(crate) struct Logsave {
    #[command(flatten)]
    module: ModuleArg,
    #[command(flatten)]
    choice: Choice,
    /// The file; an absolute path
    file: PathBuf,
}

pub(crate) async fn view(verb: Logview, output: Output) -> Result<ExitCode, CliError> {
    let (module, levels) = (verb.module.required()?, verb.choice.levels());
    let mut after = None;
    loop {
        let (lines, next) = page(&module, after, verb.last, &levels, output).await?;
        for line in &verb.choice.said(lines) {
            match output {
                Output::Json => print::text(&format!("{}\n", serde_json::to_string(line)?))?,
                Output::Text => print::text(&shown(line))?,
            }
        }
        after = Some(next);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn save(verb: Logsave, output: Output) -> Result<ExitCode, CliError> {
    let (module, levels) = (verb.module.required()?, verb.choice.levels());
    if !verb.file.is_absolute() {
        return Err(CliError::Usage(format!("{}: give the file with its absolute path", verb.file.display())));
    }
    let (lines, _) = page(&module, None, ALL, &levels, output).await?;
    let lines = verb.choice.said(lines);
    let text = match output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&serde_json::json!({ "lines": lines }))?),
        Output::Text => lines.iter().map(shown).collect::<String>(),
    };
    std::fs::write(&verb.file, text).map_err(|source| CliError::Write { path: verb.file, source })?;
    Ok(ExitCode::SUCCESS)
}

/// The lines behind a place of the log, or the last ones; and the place behind them.
async fn page(
    module: &ModuleName,
    after: Option<i64>,
    last: u32,
    levels: &[Level],
    output: Output,
) -> Result<(Vec<LogLine>, i64), CliError> {
    let request = Request::LogFollow { module: module.clone(), after, last, levels: levels.to_vec() };
    let (mut all, mut place) = (Vec::new(), None);
    for reply in admin::ask(request, output).await? {
        if let Reply::LogPage { lines, next } = reply {
            all.extend(lines);
            place = Some(next);
        }
    }
    Ok((all, place.ok_or(CliError::Unanswered)?))
}
