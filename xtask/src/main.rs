//! Chores of the repository: `cargo xtask --help`.

mod deb;
mod graph;
mod layering;
mod rules;
mod sources;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the repository")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check that every crate depends only on what its layer allows, and that pure crates stay pure
    Layering,
    /// Write the manual pages and the shells' completions into a directory, for packages
    Docs {
        #[arg(default_value = "target/docs")]
        dir: String,
    },
    /// Make a Debian package of this checkout
    Deb(deb::Options),
    /// Run seeds of the simulator, ten simulated minutes each, on all processors
    Sim {
        /// How many, from 1 on
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// Instead: plant each of the bugs of crates/hf-sim/src/bugs.rs in turn; every one must be caught within 1,000 seeds
        #[arg(long)]
        planted: bool,
    },
    /// Run every scenario of tests/e2e many times at random moments and write the table; or, with --fuzz, give wrong input to all that reads
    Soak {
        /// --rounds N, --minutes N (drawn at random), --table FILE, --only NAME; or --fuzz SECONDS [--target NAME] [--seed N] [--findings DIR]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().chore {
        Chore::Layering => layering(),
        Chore::Docs { dir } => docs(&dir),
        Chore::Deb(options) => {
            println!("{}", deb::make(root(), &options)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Chore::Sim { seeds: _, planted: true } => planted(),
        Chore::Sim { seeds, planted: false } => sim(seeds),
        Chore::Soak { options } => soak(&options),
    }
}

fn layering() -> anyhow::Result<ExitCode> {
    let graph = graph::Graph::load(root())?;
    let mut violations = layering::check(&graph);
    violations.extend(sources::check(&root().join("crates"))?);
    for violation in &violations {
        eprintln!("layering: {violation}");
    }
    if violations.is_empty() {
        println!("layering: {} crates of ours obey, {} in the graph", graph.members().count(), graph.len());
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("layering: {} violation(s); the rules stand in xtask/src/rules.rs", violations.len());
    Ok(ExitCode::FAILURE)
}

/// `man/holdfast*.1`, `completions/holdfast.bash` and so on, by the program itself.
fn docs(dir: &str) -> anyhow::Result<ExitCode> {
    let dir = root().join(dir);
    let man = dir.join("man");
    let man = man.to_str().context("the directory's name is no UTF-8")?;
    cargo(&["run", "--locked", "-q", "-p", "holdfast", "--", "man-pages", man])?;
    std::fs::create_dir_all(dir.join("completions"))?;
    for shell in ["bash", "zsh", "fish"] {
        let args = ["run", "--locked", "-q", "-p", "holdfast", "--", "completions", shell];
        let output = Command::new(graph::cargo_program()).args(args).current_dir(root()).output();
        let output = output.with_context(|| format!("can't run cargo {}", args.join(" ")))?;
        if !output.status.success() {
            bail!("completions for {shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::fs::write(dir.join("completions").join(format!("holdfast.{shell}")), output.stdout)?;
    }
    println!("manual pages and completions are in {}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// The list of changes of state is asked for where there are seeds enough to see them all.
fn sim(seeds: u64) -> anyhow::Result<ExitCode> {
    let range = format!("1..{}", seeds.saturating_add(1));
    let mut args =
        vec!["run", "--locked", "-q", "--profile", "lab", "-p", "hf-sim", "--", "--ops", "6000", "--seeds", &range];
    if seeds >= 1_000 {
        args.push("--complete");
    }
    cargo(&args)?;
    Ok(ExitCode::SUCCESS)
}

fn planted() -> anyhow::Result<ExitCode> {
    cargo(&["run", "--locked", "-q", "--profile", "lab", "-p", "hf-sim", "--", "--planted"])?;
    Ok(ExitCode::SUCCESS)
}

fn soak(options: &[String]) -> anyhow::Result<ExitCode> {
    if let [fuzz, seconds, rest @ ..] = options
        && fuzz == "--fuzz"
    {
        // Not optimised: numbers that overflow are noticed.
        let mut args = vec!["run", "--locked", "-q", "-p", "hf-fuzz", "--", "--seconds", seconds];
        args.extend(rest.iter().map(String::as_str));
        cargo(&args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let build = Command::new("./test").arg("build").current_dir(root()).status().context("can't run ./test build")?;
    anyhow::ensure!(build.success(), "./test build ended with {build}");
    let mut args = vec!["run", "--locked", "-q", "-p", "e2e", "--bin", "soak", "--"];
    args.extend(options.iter().map(String::as_str));
    cargo(&args)?;
    Ok(ExitCode::SUCCESS)
}

fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(graph::cargo_program()).args(args).current_dir(root()).status();
    let status = status.with_context(|| format!("can't run cargo {}", args.join(" ")))?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.join(" "));
    }
    Ok(())
}

/// The repository's top.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
