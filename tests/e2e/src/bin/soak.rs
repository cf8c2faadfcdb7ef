//! The soak: every scenario N times with random moments, a table as Markdown. Called by `cargo xtask soak`.

use e2e::{Pair, Row, Settings, run, scenarios, seed};
use std::io::Write;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let rounds: u64 = args.next().map_or(Ok(20), |text| text.parse())?;
    let table = args.next().unwrap_or_else(|| "bench/soak.md".to_owned());
    let only = args.next();
    let mut rows = Vec::new();
    for scenario in scenarios::ALL.iter().filter(|s| only.as_ref().is_none_or(|name| s.name.contains(name))) {
        let mut pair = Pair::start("soak", Settings::default())?;
        for round in 0..rounds {
            rows.push(run(&mut pair, scenario, seed().wrapping_add(round))?);
            std::fs::write(&table, render(&rows))?;
            eprintln!("{}: {} of {rounds} held", scenario.name, round + 1);
            std::io::stderr().flush()?;
        }
    }
    eprintln!("the table is in {table}");
    Ok(())
}

/// One line a scenario (counts, p50 and p99 of the longest gap and commit), then every run with its seed.
fn render(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Soak\n\nMade by `cargo xtask soak`. Every run: load on the virtual IP, harm at a random moment, all acknowledged numbers verified, `pg_amcheck` clean on both\ncopies. Times in ms.\n\n| scenario | runs | acknowledged | gap p50 | gap p99 | commit p50 | commit p99 |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut names: Vec<&str> = rows.iter().map(|row| row.scenario).collect();
    names.dedup();
    for name in names {
        let of: Vec<&Row> = rows.iter().filter(|row| row.scenario == name).collect();
        let gaps = sorted(of.iter().map(|row| row.load.longest_gap_ms));
        let commits = sorted(of.iter().map(|row| row.load.longest_commit_ms));
        let acknowledged: u64 = of.iter().map(|row| row.load.acknowledged).sum();
        text += &format!(
            "| {name} | {} | {acknowledged} | {:.0} | {:.0} | {:.0} | {:.0} |\n",
            of.len(),
            at(&gaps, 0.5),
            at(&gaps, 0.99),
            at(&commits, 0.5),
            at(&commits, 0.99)
        );
    }
    text += "\n| scenario | seed | acknowledged | in doubt | longest gap | longest commit |\n| --- | --- | --- | --- | --- | --- |\n";
    for row in rows {
        text += &format!(
            "| {} | {} | {} | {} | {:.0} | {:.0} |\n",
            row.scenario,
            row.seed,
            row.load.acknowledged,
            row.load.in_doubt,
            row.load.longest_gap_ms,
            row.load.longest_commit_ms
        );
    }
    text
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this share of the values lies (nearest rank).
fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
