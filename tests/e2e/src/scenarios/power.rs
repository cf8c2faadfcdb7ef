//! Power cuts: of the primary, of the secondary, of both at once.

use super::{Scenario, nothing_more};
use crate::{Pair, Random, Recorder, Summary};
use anyhow::ensure;
use std::time::Duration;

pub const PRIMARY: Scenario = Scenario { name: "power cut of the primary", harm: cut_primary, check: nothing_more };

pub const SECONDARY: Scenario =
    Scenario { name: "power cut of the secondary", harm: cut_secondary, check: commit_within_timeout };

fn cut_primary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("power-off", &[primary])?;
    pair.wait_state(secondary, "ALONE")?;
    std::thread::sleep(random.between_ms(500, 3000));
    pair.lab.run("power-on", &[primary])?;
    pair.start_again(primary)
}

fn cut_secondary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("power-off", &[secondary])?;
    pair.wait_state(primary, "ALONE")?;
    std::thread::sleep(random.between_ms(500, 3000));
    pair.lab.run("power-on", &[secondary])?;
    pair.start_again(secondary)
}

/// A commit that waits for a dying secondary is never held longer than the heartbeat time-out + 0.2 s. A commit that is not
/// hit takes some milliseconds itself, which are allowed on top.
fn commit_within_timeout(pair: &Pair, load: &Summary) -> anyhow::Result<()> {
    let limit = pair.settings.heartbeat_timeout_ms as f64 + 200.0;
    ensure!(
        load.longest_commit_ms <= limit,
        "the longest commit took {} ms, more than {limit}",
        load.longest_commit_ms
    );
    Ok(())
}

/// Which nodes come back, and in which order: the former primary is `p`, the former secondary `s`; together at the end of a list
/// means one right after the other.
pub const ORDERS: &[(&str, &[&str], Duration)] = &[
    ("primary first", &["p", "s"], Duration::from_secs(8)),
    ("secondary first", &["s", "p"], Duration::from_secs(8)),
    ("both together, primary first", &["p", "s"], Duration::ZERO),
    ("both together, secondary first", &["s", "p"], Duration::ZERO),
];

/// Both lose power in the same moment; then they come back in the given order.
pub fn both_at_once(pair: &mut Pair, order: &(&str, &[&str], Duration), seed: u64) -> anyhow::Result<Summary> {
    let mut random = Random::new(seed);
    eprintln!("both at once, {}, async_none {}, seed {seed}", order.0, pair.settings.async_none);
    let recorder = Recorder::start(pair)?;
    std::thread::sleep(random.between_ms(1000, 3000));
    let (primary, secondary) = pair.roles()?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pair.lab.run("power-off", &[secondary]));
        pair.lab.run("power-off", &[primary])?;
        other.join().map_err(|_| anyhow::anyhow!("the second cut panicked"))?
    })?;
    for (n, which) in order.1.iter().enumerate() {
        if n > 0 {
            std::thread::sleep(order.2);
        }
        let node = if *which == "p" { primary } else { secondary };
        pair.lab.run("power-on", &[node])?;
        pair.start_again(node)?;
    }
    pair.wait_in_step().inspect_err(|_| eprintln!("{}", pair.logs()))?;
    std::thread::sleep(Duration::from_secs(1));
    let load = recorder.stop(pair)?;
    Recorder::verify(pair)?;
    Ok(load)
}
