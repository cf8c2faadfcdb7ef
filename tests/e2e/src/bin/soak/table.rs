//! The table of a soak's journal, as Markdown.

use e2e::Summary;

/// One run in the journal.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub scenario: String,
    pub seed: u64,
    /// What the load saw; none if the run failed.
    pub load: Option<Summary>,
    pub failure: Option<String>,
}

/// How a scenario is called in the journal: the default mode is not named.
pub fn title(scenario: &str, async_none: bool) -> String {
    if async_none { format!("{scenario} (async=\"none\")") } else { scenario.to_owned() }
}

/// One line a scenario (counts, p50, p99 and maximum of the longest gap and commit of each run), then every run with its seed.
pub fn render(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Soak\n\nMade by `cargo xtask soak`. Every run: load on the virtual IP by four connections, harm at a random moment, every acknowledged\nnumber verified, `pg_amcheck` clean on both copies. The longest time without a commit and the longest commit of each run, in ms.\n\n\
         | scenario | runs | held | acknowledged | gap p50 | gap p99 | gap max | commit p50 | commit p99 | commit max |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.scenario.as_str()).collect();
    names.sort_by_key(|name| entries.iter().position(|entry| entry.scenario == **name));
    names.dedup();
    for name in names {
        text += &summary(name, entries);
    }
    text += "\n| scenario | seed | acknowledged | in doubt | longest gap | longest commit |\n| --- | --- | --- | --- | --- | --- |\n";
    entries.iter().for_each(|entry| text += &line(entry));
    text
}

fn summary(name: &str, entries: &[Entry]) -> String {
    let of: Vec<&Entry> = entries.iter().filter(|entry| entry.scenario == name).collect();
    let loads: Vec<&Summary> = of.iter().filter_map(|entry| entry.load.as_ref()).collect();
    let acknowledged: u64 = loads.iter().map(|load| load.acknowledged).sum();
    let gaps = spread(loads.iter().map(|load| load.longest_gap_ms));
    let commits = spread(loads.iter().map(|load| load.longest_commit_ms));
    format!("| {name} | {} | {} | {acknowledged} | {gaps} | {commits} |\n", of.len(), loads.len())
}

fn line(entry: &Entry) -> String {
    let Entry { scenario, seed, load, failure } = entry;
    match (load, failure) {
        (Some(load), _) => format!(
            "| {scenario} | {seed} | {} | {} | {:.0} | {:.0} |\n",
            load.acknowledged, load.in_doubt, load.longest_gap_ms, load.longest_commit_ms
        ),
        (None, failure) => format!(
            "| {scenario} | {seed} | FAILED: {} | | | |\n",
            failure.as_deref().unwrap_or("?").replace(['\n', '|'], " ")
        ),
    }
}

/// p50, p99 and maximum as three cells.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    format!("{:.0} | {:.0} | {:.0}", at(&values, 0.5), at(&values, 0.99), at(&values, 1.0))
}

/// The value below which this share of the values lies (nearest rank).
fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scenario: &str, gap: Option<f64>) -> Entry {
        let load = gap.map(|gap| Summary {
            acknowledged: 10,
            in_doubt: 0,
            seconds: 1.0,
            longest_gap_ms: gap,
            longest_commit_ms: 1.0,
            allowance_ms: 0.0,
        });
        let failure = load.is_none().then(|| "lost\none | two".to_owned());
        Entry { scenario: scenario.to_owned(), seed: 7, load, failure }
    }

    #[test]
    fn a_failed_run_is_counted_and_shown() {
        let text = render(&[entry("cut", Some(3.0)), entry("cut", None), entry("cut", Some(5.0))]);
        assert!(text.contains("| cut | 3 | 2 | 20 | 3 | 5 | 5 | 1 | 1 | 1 |"), "{text}");
        assert!(text.contains("| cut | 7 | FAILED: lost one   two | | | |"), "{text}");
    }
}
