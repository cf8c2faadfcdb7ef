//! `state` (reference 004, 9.5).

use std::process::ExitCode;

use clap::Args;
use hf_types::ModuleState;
use hf_wire::bus::{ModuleStatus, Reply, Request, SyncProgress};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Shows the state of all modules, or of one, on every node that is heard
///
/// The state of this node comes first. With -lq, nothing but this node's state is printed, and the exit code says it
/// too: STOP 0, WAIT 1, ALONE or UP 2, PRIM 3, SECOND 4.
#[derive(Debug, Args)]
pub(crate) struct State {
    #[command(flatten)]
    module: ModuleArg,
    /// Also the module's resources, the reason of the state, and the progress of a synchronisation
    #[arg(short)]
    verbose: bool,
    /// For scripts, together with -q
    #[arg(short)]
    local: bool,
    /// For scripts, together with -l
    #[arg(short)]
    quiet: bool,
}

pub(crate) async fn run(verb: State, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.optional()?;
    let alone = verb.local && verb.quiet;
    if alone && module.is_none() {
        return Err(CliError::Usage("which module? -lq is about one: name it with -m AM".to_owned()));
    }
    let modules = ask(module, output).await?;
    if alone {
        return local_state(&modules);
    }
    match output {
        Output::Json => print::json(&serde_json::json!({ "modules": modules }))?,
        Output::Text => print::text(&shown(&modules, verb.verbose))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(module: Option<hf_types::ModuleName>, output: Output) -> Result<Vec<ModuleStatus>, CliError> {
    let replies = admin::ask(Request::State { module }, output).await?;
    let modules = replies.into_iter().filter_map(|reply| match reply {
        Reply::State { modules } => Some(modules),
        _ => None,
    });
    Ok(modules.flatten().collect())
}

fn local_state(modules: &[ModuleStatus]) -> Result<ExitCode, CliError> {
    let own = modules.first().ok_or_else(|| CliError::Refused {
        message: "the daemon doesn't know the module's state".to_owned(),
        hint: None,
        exit_code: 1,
    })?;
    print::text(&format!("{}\n", own.state))?;
    Ok(ExitCode::from(match own.state {
        ModuleState::Stop => 0,
        ModuleState::Wait => 1,
        ModuleState::Alone | ModuleState::Up => 2,
        ModuleState::Prim => 3,
        ModuleState::Second => 4,
        ModuleState::Unknown => 5,
    }))
}

fn shown(modules: &[ModuleStatus], verbose: bool) -> String {
    if modules.is_empty() {
        return "No module is installed.\n".to_owned();
    }
    let mut together: Vec<&ModuleStatus> = modules.iter().collect();
    // Stable: this node stays first in each module.
    together.sort_by_key(|status| &status.module);
    let mut out = print::table(&["Module", "Node", "State"], together.into_iter().map(row));
    if verbose {
        modules.iter().for_each(|module| out.push_str(&details(module)));
    }
    out
}

fn row(status: &ModuleStatus) -> Vec<String> {
    let state = format!("{} ({})", status.state, status.colour);
    vec![status.module.to_string(), status.node.to_string(), print::coloured(&state, status.colour)]
}

fn details(status: &ModuleStatus) -> String {
    let mut out = String::new();
    if let Some(why) = &status.why {
        out.push_str(&format!("\n{} on {}: {}\n", status.module, status.node, print::clean_line(why)));
    }
    if let Some(sync) = &status.sync {
        out.push_str(&format!("\n{}\n", progress(sync)));
    }
    if !status.resources.is_empty() {
        let rows = status.resources.iter().map(|resource| {
            [&resource.name, &resource.value.to_string(), &resource.by].map(|text| print::clean_line(text)).to_vec()
        });
        out.push('\n');
        out.push_str(&print::table(&["Resource", "Value", "Set by"], rows));
    }
    out
}

/// Compared, sent, rate and the time that is left if it goes on like this.
fn progress(sync: &SyncProgress) -> String {
    let percent = (sync.bytes_done * 100).checked_div(sync.bytes_total).unwrap_or(0);
    let rate = (sync.bytes_done * 1000).checked_div(sync.elapsed_ms).unwrap_or(0);
    let left = sync.bytes_total.saturating_sub(sync.bytes_done).checked_div(rate);
    let left = left.map_or_else(String::new, |seconds| format!(", about {seconds} s left"));
    format!(
        "Synchronising {}: {} of {} files, {} of {} compared ({percent} %), {} sent, {}/s{left}",
        print::clean_line(&sync.dir),
        sync.files_done,
        sync.files_total,
        size(sync.bytes_done),
        size(sync.bytes_total),
        size(sync.bytes_sent),
        size(rate),
    )
}

/// Bytes in the unit that reads best.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_a_synchronisation() {
        let sync = SyncProgress {
            dir: "/data".into(),
            files_done: 3,
            files_total: 10,
            bytes_done: 30_000_000,
            bytes_total: 100_000_000,
            bytes_sent: 5_000,
            elapsed_ms: 3_000,
        };
        assert_eq!(
            progress(&sync),
            "Synchronising /data: 3 of 10 files, 30 MB of 100 MB compared (30 %), 5000 B sent, 10 MB/s, about 7 s left"
        );
        assert!(progress(&SyncProgress::default()).ends_with("0 B sent, 0 B/s"));
    }
}
