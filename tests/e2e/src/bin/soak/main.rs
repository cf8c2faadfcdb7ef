//! The soak: every scenario so many times at random moments, or scenarios drawn at random for so many minutes. Every run is added to
//! a journal (JSON lines) at once, the table is made from the whole journal: an interrupted soak goes on where it was, and a run
//! that failed stays in the table. Called by `cargo xtask soak`.

mod table;

use anyhow::Context;
use clap::Parser;
use e2e::scenarios::{ALL, BOTH, HANGING, HANGING_SETTINGS, Scenario};
use e2e::{Pair, Random, Settings, run, seed};
use std::io::Write;
use std::time::{Duration, Instant};
use table::Entry;

#[derive(Parser)]
struct Args {
    /// Runs of each scenario
    #[arg(long, default_value_t = 20, conflicts_with = "minutes")]
    rounds: usize,
    /// Instead of rounds: scenarios drawn at random on one pair, for so long
    #[arg(long)]
    minutes: Option<u64>,
    /// The table; the journal stands beside it
    #[arg(long, default_value = "bench/soak.md")]
    table: String,
    /// Only scenarios whose name contains this
    #[arg(long)]
    only: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // An hour of runs that all fail for this is worth nothing.
    e2e::copies::tree_program()?;
    let soak = Soak { journal: format!("{}.jsonl", args.table.trim_end_matches(".md")), table: args.table };
    let wanted = |scenario: &&Scenario| args.only.as_ref().is_none_or(|name| scenario.name.contains(name));
    match args.minutes {
        Some(minutes) => soak.draw(&draws(wanted), minutes)?,
        None => soak.every(wanted, args.rounds)?,
    }
    soak.render()?;
    let entries = soak.entries()?;
    let failed = entries.iter().filter(|entry| entry.failure.is_some()).count();
    eprintln!("the table is in {}; {failed} of {} runs failed", soak.table, entries.len());
    anyhow::ensure!(failed == 0, "{failed} run(s) failed: see the table");
    Ok(())
}

/// What is drawn: each scenario with the settings that it needs.
fn draws(wanted: impl Fn(&&Scenario) -> bool) -> Vec<(&'static Scenario, Settings)> {
    let usual = ALL.iter().chain(&BOTH).map(|scenario| (scenario, Settings::default()));
    // Both at once with async="none" too: then only what was durable on one of the two is promised.
    let none = BOTH.iter().map(|scenario| (scenario, Settings { async_none: true, ..Settings::default() }));
    let hanging = HANGING.iter().map(|scenario| (scenario, HANGING_SETTINGS));
    usual.chain(none).chain(hanging).filter(|(scenario, _)| wanted(scenario)).collect()
}

struct Soak {
    journal: String,
    table: String,
}

impl Soak {
    /// `rounds` runs of each; of the eight combinations of "both at once" a quarter of the rounds each.
    fn every(&self, wanted: impl Fn(&&Scenario) -> bool, rounds: usize) -> anyhow::Result<()> {
        for scenario in ALL.iter().filter(&wanted) {
            self.repeat(scenario, Settings::default(), rounds)?;
        }
        for async_none in [false, true] {
            for scenario in BOTH.iter().filter(&wanted) {
                self.repeat(scenario, Settings { async_none, ..Settings::default() }, rounds.div_ceil(4))?;
            }
        }
        Ok(())
    }

    /// One scenario after the other, drawn at random, until the time is over; on the same pair as long as that has the settings.
    fn draw(&self, scenarios: &[(&Scenario, Settings)], minutes: u64) -> anyhow::Result<()> {
        let (began, first) = (Instant::now(), seed());
        eprintln!("the draws begin with seed {first}");
        let mut random = Random::new(first);
        anyhow::ensure!(!scenarios.is_empty(), "no scenario has such a name");
        let mut pair: Option<Pair> = None;
        while began.elapsed() < Duration::from_secs(60 * minutes) {
            let (scenario, settings) = scenarios[(random.draw() % scenarios.len() as u64) as usize];
            let name = table::title(scenario.name, settings.async_none);
            let on = match pair.take().filter(|pair| pair.settings == settings) {
                Some(pair) => pair,
                None => Pair::start(&lab_name(), settings)?,
            };
            pair = self.once(on, scenario, &name)?;
            eprintln!("{} of {minutes} minutes: {name}", began.elapsed().as_secs() / 60);
        }
        Ok(())
    }

    /// Runs a scenario until the journal holds `rounds` of it; after a failure on a new pair.
    fn repeat(&self, scenario: &Scenario, settings: Settings, rounds: usize) -> anyhow::Result<()> {
        let name = table::title(scenario.name, settings.async_none);
        let done = self.entries()?.iter().filter(|entry| entry.scenario == name).count();
        let mut pair = None;
        for round in done..rounds {
            let on = match pair.take() {
                Some(pair) => pair,
                None => Pair::start(&lab_name(), settings)?,
            };
            pair = self.once(on, scenario, &name)?;
            eprintln!("{name}: {} of {rounds}", round + 1);
        }
        Ok(())
    }

    /// One run; gives the pair back if it held.
    fn once(&self, mut pair: Pair, scenario: &Scenario, name: &str) -> anyhow::Result<Option<Pair>> {
        let seed = seed();
        let (load, failure) = match run(&mut pair, scenario, seed) {
            Ok(row) => (Some(row.load), None),
            Err(error) => {
                eprintln!("FAILED: {name}: {error:#}");
                (None, Some(format!("{error:#}")))
            }
        };
        let held = failure.is_none();
        self.add(&Entry { scenario: name.to_owned(), seed, load, failure })?;
        Ok(held.then_some(pair))
    }

    fn add(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.journal)?;
        writeln!(file, "{}", serde_json::to_string(entry)?)?;
        self.render()
    }

    fn render(&self) -> anyhow::Result<()> {
        std::fs::write(&self.table, table::render(&self.entries()?)).context("writing the table")
    }

    fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let text = match std::fs::read_to_string(&self.journal) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", self.journal)),
        };
        text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("in {}", self.journal))).collect()
    }
}

/// Two soaks on one machine are none another's concern.
fn lab_name() -> String {
    format!("soak{}", std::process::id() % 10_000)
}
