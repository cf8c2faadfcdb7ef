//! The long run: every target for its part of the time; what was found is written down.

use anyhow::Context as _;
use clap::Parser;
use hf_fuzz::{Budget, Finding, all, run};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Gives wrong input to everything that reads strangers' bytes.
#[derive(Parser)]
struct Arguments {
    /// How long, in seconds, all targets together.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Only the targets whose name has this.
    #[arg(long, default_value = "")]
    target: String,
    /// The same seed makes the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where inputs go that were not taken as they should be.
    #[arg(long, default_value = "target/fuzz")]
    findings: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let targets: Vec<_> = all().into_iter().filter(|target| target.name.contains(&arguments.target)).collect();
    anyhow::ensure!(!targets.is_empty(), "no target has {:?} in its name", arguments.target);
    // A panic is written down with its input; its trace would only hide the table.
    std::panic::set_hook(Box::new(|_| {}));
    let part = Duration::from_secs(arguments.seconds) / u32::try_from(targets.len())?;
    println!("| target | executions | different answers | findings |\n| --- | --- | --- | --- |");
    let mut found = 0;
    for target in &targets {
        let outcome = run(target, Budget::Time(part), arguments.seed);
        let findings = outcome.findings.len();
        println!("| {} | {} | {} | {findings} |", outcome.target, outcome.executions, outcome.answers);
        found += findings;
        keep(&arguments.findings, outcome.target, &outcome.findings)?;
    }
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn keep(folder: &Path, target: &str, findings: &[Finding]) -> anyhow::Result<()> {
    for (number, finding) in findings.iter().enumerate() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let path = folder.join(format!("{}-{number}", target.replace(' ', "-")));
        std::fs::write(&path, &finding.input).with_context(|| format!("write {}", path.display()))?;
        eprintln!("{target}: {} ({})", finding.what, path.display());
    }
    Ok(())
}
