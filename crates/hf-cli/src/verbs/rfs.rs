//! `rfsverify` and `rfsdiff` (reference 004, 13.6.4.5, 13.6.4.6).

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;
use hf_types::ModuleName;
use hf_wire::bus::{Changed, CheckReport, Reply, Request, RfsOrder};
use hf_wire::check::{CheckCount, Difference};

use super::state::size;
use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// The copies are not equal.
const DIFFERENT: u8 = 3;

/// Compares both copies of the replicated directories by digests, while the application writes
///
/// Works on either node while the module is PRIM on one and SECOND on the other. Says each file that differs, and in what: content, size, mode, owner, time,
/// extended attributes, names that are missing or too many. Changes nothing. Reads no faster than reiallowedbw. With -o json one JSON
/// object a line. Exit code 0: equal; 3: not; 1: it could not be found out.
#[derive(Debug, Args)]
pub(crate) struct Rfsverify {
    #[command(flatten)]
    module: ModuleArg,
}

/// Counts what changed on this node since both copies were equal: what a synchronisation will have to copy
///
/// For the node where the module is ALONE. Files and bytes that changed, of how many, and about how long a synchronisation
/// takes. Of a file that changed only the parts that differ travel, so the bytes are the most that can.
#[derive(Debug, Args)]
pub(crate) struct Rfsdiff {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn verify(verb: Rfsverify, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    // The line that moves is for the person at the terminal: a file gets the differences only.
    let live = output == Output::Text && std::io::stderr().is_terminal();
    let mut count = CheckCount::default();
    let request = Request::Rfs { module: module.clone(), order: RfsOrder::Verify };
    admin::follow(request, output, |reply| {
        let Reply::Check(report) = reply else { return Ok(()) };
        if let CheckReport::Ended(ended) = &report {
            count = *ended;
        }
        if output == Output::Json {
            return print::text(&format!("{}\n", serde_json::to_string(&report)?));
        }
        show(&report, live)
    })
    .await?;
    if output == Output::Text {
        print::text(&summary(&count, &module))?;
    }
    Ok(if count.differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn show(report: &CheckReport, live: bool) -> Result<(), CliError> {
    match report {
        CheckReport::Found(difference) => {
            if live {
                print::note(ERASE);
            }
            print::text(&line(difference))
        }
        CheckReport::Progress(count) if live => {
            print::note(&format!("{ERASE}{}", looked(count)));
            Ok(())
        }
        CheckReport::Ended(_) if live => {
            print::note(ERASE);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// To the line's beginning, and what is there goes.
const ERASE: &str = "\r\u{1b}[K";

fn line(difference: &Difference) -> String {
    let detail = if difference.detail.is_empty() { String::new() } else { format!(" ({})", difference.detail) };
    print::clean_line(&format!("{}: {}{detail}", difference.path, difference.differs.as_str())) + "\n"
}

fn looked(count: &CheckCount) -> String {
    let rate = count.bytes.saturating_mul(1000).checked_div(count.elapsed_ms).unwrap_or(0);
    format!(
        "{} files, {} compared, {}/s, {} differences",
        count.files,
        size(count.bytes),
        size(rate),
        count.differences
    )
}

fn summary(count: &CheckCount, module: &ModuleName) -> String {
    let looked = format!("{} files, {} in {} s", count.files, size(count.bytes), count.elapsed_ms / 1000);
    match count.differences {
        0 => format!("both copies are equal ({looked})\n"),
        n => format!(
            "{n} differences ({looked})\nOn the secondary, 'holdfast stop -m {module}' and then \
             'holdfast second fullsync -m {module}' make it equal to the primary again.\n"
        ),
    }
}

pub(crate) async fn diff(verb: Rfsdiff, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    let request = Request::Rfs { module, order: RfsOrder::Diff };
    for reply in admin::ask(request, output).await? {
        if let Reply::Changed(changed) = reply {
            match output {
                Output::Json => print::json(&changed)?,
                Output::Text => print::text(&told(&changed))?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn told(changed: &Changed) -> String {
    let since = match changed.since_s {
        Some(s) => format!("since {}", print::local_time(s.saturating_mul(1_000_000), "%Y-%m-%d %H:%M:%S")),
        None => "(both copies never were equal: everything counts)".to_owned(),
    };
    format!(
        "changed {since}: {} of {} files, {} of {}\na synchronisation takes about {} s\n",
        changed.files_changed,
        changed.files_total,
        size(changed.bytes_changed),
        size(changed.bytes_total),
        changed.estimate_s,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_wire::check::Differs;

    #[test]
    fn differences_are_lines_that_no_name_can_break() {
        let mut difference = Difference {
            dir: 0,
            path: "/data/a\nb\u{1b}[m".to_owned(),
            differs: Differs::Mode,
            detail: "primary 644, secondary 600".to_owned(),
        };
        assert_eq!(line(&difference).lines().count(), 1);
        assert!(line(&difference).ends_with(": another mode (primary 644, secondary 600)\n"));
        difference.detail.clear();
        assert!(line(&difference).ends_with(": another mode\n"));
    }

    #[test]
    fn the_next_command_is_said_when_copies_differ() {
        let module = "pg".parse().unwrap();
        let mut count = CheckCount { files: 3, bytes: 1 << 20, elapsed_ms: 0, ..CheckCount::default() };
        assert!(summary(&count, &module).starts_with("both copies are equal (3 files, "));
        assert!(looked(&count).contains("0 differences"), "nothing is divided by zero");
        count.differences = 2;
        assert!(summary(&count, &module).contains("holdfast second fullsync -m pg"));
    }

    #[test]
    fn never_equal_is_said_so() {
        let changed = Changed { files_changed: 1, files_total: 2, ..Changed::default() };
        assert!(told(&changed).contains("never were equal: everything counts): 1 of 2 files"), "{}", told(&changed));
    }
}
