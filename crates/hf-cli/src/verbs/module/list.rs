//! `module list`, `listid`, `getinfo`, and `confinfo -m AM` (reference 004, 9.6).

use std::process::ExitCode;

use clap::Args;
use hf_types::ModuleName;
use hf_wire::bus::{ConfigStamp, ModuleEntry, ModuleInfo, Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Lists the names of the installed modules
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Lists the names and ids of the installed modules
///
/// A module needs the same id on all nodes, because its ports follow from it.
#[derive(Debug, Args)]
pub(crate) struct Listid {}

/// Shows what is installed and applied of a module, and how to go back to an earlier configuration
#[derive(Debug, Args)]
pub(crate) struct Getinfo {
    #[command(flatten)]
    module: ModuleArg,
}

/// Shows whether the module's applied configuration is the one in SAFE/modules/AM
///
/// Two lines: active (applied last) and current (being edited), each with its signature and the time of its last change in
/// seconds since 1970. On all nodes the active signature should be the same.
#[derive(Debug, Args)]
pub(crate) struct Confinfo {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn names(output: Output) -> Result<ExitCode, CliError> {
    let modules = installed(output).await?;
    show(&modules, |entry| format!("{}\n", entry.module), output)
}

pub(crate) async fn ids(output: Output) -> Result<ExitCode, CliError> {
    let modules = installed(output).await?;
    show(
        &modules,
        |entry| format!("{} {}\n", entry.module, entry.id.map_or("-".to_owned(), |id| id.to_string())),
        output,
    )
}

fn show(modules: &[ModuleEntry], line: impl Fn(&ModuleEntry) -> String, output: Output) -> Result<ExitCode, CliError> {
    match output {
        Output::Json => print::json(&serde_json::json!({ "modules": modules }))?,
        Output::Text => print::text(&modules.iter().map(line).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn installed(output: Output) -> Result<Vec<ModuleEntry>, CliError> {
    let replies = admin::ask(Request::Modules, output).await?.into_iter();
    let modules = replies.filter_map(|reply| match reply {
        Reply::Modules { modules } => Some(modules),
        _ => None,
    });
    Ok(modules.flatten().collect())
}

pub(crate) async fn info(verb: Getinfo, output: Output) -> Result<ExitCode, CliError> {
    let info = ask_info(verb.module.required()?, output).await?;
    match output {
        Output::Json => print::json(&info)?,
        Output::Text => print::text(&described(&info))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn confinfo(verb: Confinfo, output: Output) -> Result<ExitCode, CliError> {
    let info = ask_info(verb.module.required()?, output).await?;
    match output {
        Output::Json => print::json(&serde_json::json!({ "active": info.active, "current": info.current }))?,
        Output::Text => {
            print::text(&format!(
                "active {}\ncurrent {}\n",
                stamp(info.active.as_ref()),
                stamp(info.current.as_ref())
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask_info(module: ModuleName, output: Output) -> Result<ModuleInfo, CliError> {
    let info = admin::ask(Request::ModuleInfo { module }, output).await?.into_iter().find_map(|reply| match reply {
        Reply::ModuleInfo(info) => Some(info),
        _ => None,
    });
    info.ok_or(CliError::Unanswered)
}

fn stamp(stamp: Option<&ConfigStamp>) -> String {
    stamp.map_or_else(
        || "none".to_owned(),
        |stamp| format!("{} {}", print::clean_line(&stamp.signature), stamp.changed_s),
    )
}

fn described(info: &ModuleInfo) -> String {
    let module = &info.entry.module;
    let id = info.entry.id.map_or("none yet".to_owned(), |id| id.to_string());
    let applied = match (&info.active, &info.current) {
        (None, _) => format!("nothing yet: holdfast config -m {module}"),
        (Some(active), Some(current)) if active.signature == current.signature => "what is in SAFE/modules".to_owned(),
        (Some(_), Some(_)) => format!("SAFE/modules was edited since; to apply it: holdfast config -m {module}"),
        (Some(_), None) => "SAFE/modules holds nothing of this module any more".to_owned(),
    };
    let runs = if info.entry.running { "yes" } else { "no" };
    let mode = info.mode.as_deref().unwrap_or("not known before the first config");
    let mut out = format!("Module   {module}\nId       {id}\nMode     {mode}\nApplied  {applied}\nStarted  {runs}\n");
    if !info.kept.is_empty() {
        out.push_str("Last configurations, the newest last; to go back to one:\n");
    }
    for kept in &info.kept {
        out.push_str(&format!(
            "  holdfast module install -r -m {module} {} && holdfast config -m {module}\n",
            print::clean_line(kept)
        ));
    }
    out
}
