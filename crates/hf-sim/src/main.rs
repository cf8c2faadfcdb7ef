//! Runs seeds of the simulator and prints those that fail.

use anyhow::{Context, bail};
use clap::Parser;
use hf_sim::bugs::{Bug, PLANTED, PLANTED_SEEDS};
use hf_sim::clock::SEC;
use hf_sim::faults::Class;
use hf_sim::sweep::Totals;
use hf_sim::{Failure, Options, explain, invariants};
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The changes of state that are known, each with what brings it about.
const KNOWN: &str = include_str!("../transitions.txt");

/// Simulated clusters: a seed a run.
#[derive(Parser)]
struct Args {
    /// One seed, or a range `A..B` (without B).
    #[arg(long, default_value = "1..1000", value_parser = range)]
    seeds: Range<u64>,
    /// Length of the time with faults: operations of a client, ten a second.
    #[arg(long, default_value_t = 1000)]
    ops: u64,
    /// Classes of faults, comma separated; all by default.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Class>,
    /// Plants a bug, to see it caught.
    #[arg(long)]
    bug: Option<Bug>,
    /// Gives the module a `<splitbrain>` checker.
    #[arg(long)]
    witness: bool,
    /// Makes it a light module.
    #[arg(long)]
    light: bool,
    /// Threads; one for each processor by default.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Fails if a change of state happens that `transitions.txt` doesn't have, or one that it has doesn't happen.
    #[arg(long)]
    complete: bool,
    /// Plants each bug in turn: every one must be caught within 1,000 seeds.
    #[arg(long)]
    planted: bool,
    /// Prints the whole history of every seed.
    #[arg(long)]
    history: bool,
    /// Stops after so many failing seeds.
    #[arg(long, default_value_t = 5)]
    failures: usize,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |part: &str| part.parse::<u64>().map_err(|e| format!("{part:?}: {e}"));
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => number(text).map(|one| one..one + 1),
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = Options {
        ops: args.ops,
        faults: if args.faults.is_empty() { Class::ALL.to_vec() } else { args.faults.clone() },
        exactly: None,
        bug: args.bug,
        witness: args.witness,
        light: args.light,
    };
    std::panic::set_hook(Box::new(|_| {}));
    if args.planted {
        return planted(&args);
    }
    if args.history {
        return show(&args, &options);
    }
    let failed = sweep(&args, &options)?;
    if failed > 0 {
        bail!("{failed} seeds failed");
    }
    Ok(())
}

/// The bugs are shared out among the processors; each is printed as soon as it is caught.
fn planted(args: &Args) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let escaped = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads(args) {
            scope.spawn(|| {
                while let Some(plan) = PLANTED.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match plan.catch() {
                        Ok((seed, invariant)) => {
                            println!("{:<17} caught by {invariant}, seed {seed}", format!("{:?}", plan.bug))
                        }
                        Err(others) => {
                            escaped.fetch_add(1, Ordering::Relaxed);
                            println!(
                                "{:?} was NOT caught by {:?} within {PLANTED_SEEDS} seeds, but by {others:?}",
                                plan.bug, plan.caught_by
                            );
                        }
                    }
                }
            });
        }
    });
    let escaped = escaped.into_inner();
    anyhow::ensure!(escaped == 0, "{escaped} of {} planted bugs were not caught", PLANTED.len());
    println!("all {} planted bugs were caught, each within {PLANTED_SEEDS} seeds", PLANTED.len());
    Ok(())
}

fn threads(args: &Args) -> usize {
    args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

fn show(args: &Args, options: &Options) -> anyhow::Result<()> {
    for seed in args.seeds.clone() {
        let failure = explain(seed, options, true);
        let mut out = std::io::stdout().lock();
        write!(out, "{}", failure.history)
            .and_then(|()| writeln!(out, "seed {seed}: {}: {}", failure.violation.invariant, failure.violation.what))
            .context("printing a history")?;
    }
    Ok(())
}

fn sweep(args: &Args, options: &Options) -> anyhow::Result<usize> {
    let began = Instant::now();
    let totals = hf_sim::sweep::sweep(args.seeds.clone(), options, threads(args), args.failures, |totals| {
        if let Some(failure) = totals.failures.last().filter(|_| totals.seeds.is_multiple_of(100)) {
            eprintln!("seed {} and {} before it failed so far", failure.seed, totals.failures.len() - 1);
        }
        if totals.seeds.is_multiple_of(500) {
            eprintln!(
                "{} seeds, {} failed, {:.0} s",
                totals.seeds,
                totals.failures.len(),
                began.elapsed().as_secs_f64()
            );
        }
    });
    let mut failed: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for failure in &totals.failures {
        print_failure(failure, options, failed.is_empty() || args.failures <= 5);
        failed.entry(failure.violation.invariant).or_default().push(failure.seed);
    }
    println!("Changes of state:\n{}", totals.transitions.table());
    let (faults, end) = totals.least.unwrap_or_default();
    println!(
        "{} of {} seeds failed; the others: {:.1} simulated hours (each at least {} s), {} faults (each at least {faults}), {} failovers, {} synchronisations of everything and {} of what changed, {} operations acknowledged; {:.1} s",
        totals.failures.len(),
        totals.seeds,
        totals.simulated as f64 / 3.6e12,
        end / SEC,
        totals.faults,
        totals.failovers,
        totals.syncs[0],
        totals.syncs[1],
        totals.acked,
        began.elapsed().as_secs_f64()
    );
    for (invariant, seeds) in &failed {
        println!("  {invariant}: {seeds:?}");
    }
    let unknown = report_changes(args, &totals);
    anyhow::ensure!(unknown.is_none(), "{}", unknown.unwrap_or_default());
    Ok(totals.failures.len())
}

/// What the list of known changes of state says against these runs.
fn report_changes(args: &Args, totals: &Totals) -> Option<String> {
    let (unknown, never) = totals.transitions.against(KNOWN);
    if !args.complete {
        return None;
    }
    (!unknown.is_empty() || !never.is_empty()).then(|| {
        format!("crates/hf-sim/transitions.txt doesn't know these changes of state: {unknown:?}; these never happened: {never:?}")
    })
}

fn print_failure(failure: &Failure, options: &Options, with_history: bool) {
    let Failure { seed, violation, history } = failure;
    println!("seed {seed} violates {} at {:.3} ms: {}", violation.invariant, violation.at as f64 / 1e6, violation.what);
    if let Some(broken) = invariants::all().iter().find(|i| i.name() == violation.invariant) {
        println!("  {} ({})", broken.sentence(), broken.source());
    }
    if with_history {
        println!("{history}");
    }
    let faults: Vec<String> = options.faults.iter().map(|c| format!("{c:?}")).collect();
    let bug = options.bug.map(|b| format!(" --bug {b:?}")).unwrap_or_default();
    println!(
        "again: cargo run --release -p hf-sim -- --seeds {seed} --ops {} --faults {}{bug} --history\n",
        options.ops,
        faults.join(",")
    );
}
