//! `sync`: follows a synchronisation until it ends.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use hf_types::{Colour, ModuleState};
use hf_wire::bus::{ModuleStatus, SyncProgress};

use super::state::{ask, size};
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

const BAR: u64 = 30;
/// How often a person sees it move, and how often a pipe gets a line.
const ON_TERMINAL: Duration = Duration::from_millis(300);
const IN_PIPE: Duration = Duration::from_secs(2);
/// Before the first number and after the last one a secondary is busy for a while: it lists, and makes durable what came.
const QUIET: Duration = Duration::from_secs(60);

/// Shows how far the synchronisation of the module has come, until it ends
///
/// Phase, files and bytes compared, bytes sent because they differed, rate and time left. A bar on a terminal, a line every two seconds
/// in a pipe, one JSON object a line with -o json. Exit code 0 when both nodes are in step at the end, else 1.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(flatten)]
    module: ModuleArg,
    /// Say once how far it has come, and end
    #[arg(long)]
    once: bool,
    /// Also why this node's module is in its present state, and why the synchronisation reads what it reads
    #[arg(long)]
    why: bool,
}

pub(crate) async fn run(mut verb: Sync, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.clone().required()?;
    let live = output == Output::Text && std::io::stdout().is_terminal() && !verb.once;
    let mut before = None;
    let mut quiet = Instant::now();
    loop {
        let modules = ask(Some(module.clone()), output).await?.modules;
        if std::mem::take(&mut verb.why) {
            explain(&modules)?;
        }
        let Some(progress) = modules.iter().filter_map(|status| status.sync.clone()).max_by_key(|p| p.elapsed_ms)
        else {
            if is_busy(&modules) && !verb.once && quiet.elapsed() < QUIET {
                tokio::time::sleep(ON_TERMINAL).await;
                continue;
            }
            return end(&modules, before.is_some() && live, output);
        };
        tell(&progress, live, output)?;
        if verb.once {
            return Ok(ExitCode::SUCCESS);
        }
        before = Some(progress);
        quiet = Instant::now();
        tokio::time::sleep(if live { ON_TERMINAL } else { IN_PIPE }).await;
    }
}

fn explain(modules: &[ModuleStatus]) -> Result<(), CliError> {
    let reasons = modules.iter().filter_map(|status| Some((status, status.why.as_ref()?)));
    let lines = reasons.map(|(status, why)| format!("{}: {}\n", status.node, print::clean_line(why)));
    let steps = modules.iter().filter_map(|status| Some((status, status.sync.as_ref()?)));
    let steps = steps.filter(|(_, progress)| !progress.step.is_empty());
    let steps = steps.map(|(status, progress)| format!("{}: {}\n", status.node, print::clean_line(&progress.step)));
    print::note(&lines.chain(steps).collect::<String>());
    Ok(())
}

fn tell(progress: &SyncProgress, live: bool, output: Output) -> Result<(), CliError> {
    match output {
        Output::Json => {
            let line = serde_json::json!({ "phase": phase(progress), "left_s": left_s(progress), "sync": progress });
            print::text(&format!("{line}\n"))
        }
        // To the line's beginning, and what was longer is erased.
        Output::Text if live => print::text(&format!("\r{} {}\u{1b}[K", bar(progress), sentence(progress))),
        Output::Text => print::text(&format!("{}\n", sentence(progress))),
    }
}

/// A secondary that is not in step yet.
fn is_busy(modules: &[ModuleStatus]) -> bool {
    modules.iter().any(|status| status.state == ModuleState::Second && status.colour == Colour::Magenta)
}

/// A synchronisation that isn't there any more was the last step before both are in step, or it broke.
fn end(modules: &[ModuleStatus], newline: bool, output: Output) -> Result<ExitCode, CliError> {
    let green = |state| modules.iter().any(|status| status.state == state && status.colour == Colour::Green);
    let in_step = green(ModuleState::Prim) && green(ModuleState::Second);
    let states: Vec<String> =
        modules.iter().map(|status| format!("{} {} {}", status.node, status.state, status.colour)).collect();
    let text = match in_step {
        true => "both nodes are in step",
        false => "no synchronisation runs, and the nodes are not in step: 'holdfast state -v' says why",
    };
    match output {
        Output::Json => print::text(&format!("{}\n", serde_json::json!({ "in_step": in_step, "nodes": states })))?,
        Output::Text => {
            let first = if newline { "\n" } else { "" };
            print::text(&format!("{first}{}: {text}\n", states.join(", ")))?;
        }
    }
    Ok(if in_step { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn phase(progress: &SyncProgress) -> &'static str {
    match (progress.files_total, progress.files_done) {
        (0, _) => "listing",
        (total, done) if done < total => "comparing",
        _ => "settling",
    }
}

/// Bytes compared a second, so far.
fn rate(progress: &SyncProgress) -> u64 {
    progress.bytes_done.saturating_mul(1000).checked_div(progress.elapsed_ms).unwrap_or(0)
}

fn left_s(progress: &SyncProgress) -> Option<u64> {
    progress.bytes_total.saturating_sub(progress.bytes_done).checked_div(rate(progress))
}

fn sentence(progress: &SyncProgress) -> String {
    let left = left_s(progress).map_or_else(|| "time left unknown".to_owned(), |s| format!("{s} s left"));
    format!(
        "{}: {} of {} files{}, {} of {} compared, {} sent, {}/s, {left}",
        phase(progress),
        progress.files_done,
        progress.files_total,
        known(progress.files_known),
        size(progress.bytes_done),
        size(progress.bytes_total),
        size(progress.bytes_sent),
        size(rate(progress)),
    )
}

fn known(files: u64) -> String {
    if files == 0 { String::new() } else { format!(" ({files} known to be equal)") }
}

fn bar(progress: &SyncProgress) -> String {
    let full = (progress.bytes_done.min(progress.bytes_total) * BAR).checked_div(progress.bytes_total).unwrap_or(0);
    let (full, empty) = (full as usize, (BAR - full) as usize);
    format!("[{}{}]", "#".repeat(full), ".".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, files: u64) -> SyncProgress {
        SyncProgress {
            dir: "/data".to_owned(),
            files_done: files,
            files_total: 10,
            bytes_done: done,
            bytes_total: 3 << 20,
            bytes_sent: 1 << 20,
            elapsed_ms: 1000,
            ..SyncProgress::default()
        }
    }

    #[test]
    fn phases_bars_and_times() {
        let half = progress(3 << 19, 5);
        assert_eq!(phase(&half), "comparing");
        assert_eq!(left_s(&half), Some(1));
        assert_eq!(bar(&half), format!("[{}{}]", "#".repeat(15), ".".repeat(15)));
        assert!(sentence(&half).ends_with("1 s left"), "{}", sentence(&half));
        assert_eq!(phase(&SyncProgress::default()), "listing");
        assert_eq!(left_s(&SyncProgress::default()), None, "nothing is divided by zero");
        assert_eq!(bar(&SyncProgress::default()), format!("[{}]", ".".repeat(30)));
        assert_eq!(phase(&progress(3 << 20, 10)), "settling");
        assert_eq!(bar(&progress(9 << 20, 10)).len(), 32, "more than all is all");
    }
}
