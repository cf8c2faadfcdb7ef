//! The soak: every scenario ROUNDS times at random moments. Every run is added to a journal (JSON lines) at once, the table is
//! made from the whole journal: an interrupted soak goes on where it was, and a run that failed stays in the table.
//! Called by `cargo xtask soak`.

mod table;

use anyhow::Context;
use e2e::scenarios::{ALL, BOTH, Scenario};
use e2e::{Pair, Settings, run, seed};
use std::io::Write;
use table::Entry;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().map_or(Ok(20), |text| text.parse())?;
    let table = args.next().unwrap_or_else(|| "bench/soak.md".to_owned());
    let only = args.next();
    let mut soak = Soak { rounds, journal: format!("{}.jsonl", table.trim_end_matches(".md")), table };
    let wanted = |scenario: &&Scenario| only.as_ref().is_none_or(|name| scenario.name.contains(name));
    for scenario in ALL.iter().filter(wanted) {
        soak.repeat(scenario, Settings::default(), rounds)?;
    }
    // Eight combinations, a quarter of the rounds each.
    for async_none in [false, true] {
        for scenario in BOTH.iter().filter(wanted) {
            soak.repeat(scenario, Settings { async_none, ..Settings::default() }, rounds.div_ceil(4))?;
        }
    }
    let entries = soak.entries()?;
    let failed = entries.iter().filter(|entry| entry.failure.is_some()).count();
    eprintln!("the table is in {}; {failed} of {} runs failed", soak.table, entries.len());
    anyhow::ensure!(failed == 0, "{failed} run(s) failed: see the table");
    Ok(())
}

struct Soak {
    rounds: usize,
    journal: String,
    table: String,
}

impl Soak {
    /// Runs a scenario until the journal holds `rounds` of it; after a failure on a new pair.
    fn repeat(&mut self, scenario: &Scenario, settings: Settings, rounds: usize) -> anyhow::Result<()> {
        let name = table::title(scenario.name, settings.async_none);
        let done = self.entries()?.iter().filter(|entry| entry.scenario == name).count();
        let mut pair = None;
        for round in done..rounds {
            let on = match pair.take() {
                Some(pair) => pair,
                None => Pair::start("soak", settings)?,
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
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let held = failure.is_none();
        self.add(&Entry { scenario: name.to_owned(), seed, load, failure })?;
        Ok(held.then_some(pair))
    }

    fn add(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.journal)?;
        writeln!(file, "{}", serde_json::to_string(entry)?)?;
        std::fs::write(&self.table, table::render(&self.entries()?, self.rounds)).context("writing the table")
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
