//! A machine that stands still for a minute and wakes.

use super::{Scenario, nothing_more};
use crate::pair::MODULE;
use crate::{Pair, Random};
use anyhow::ensure;
use std::time::Duration;

pub const PRIMARY: Scenario = Scenario { name: "freeze of the primary for 60 s", harm: freeze, check: nothing_more };

fn freeze(pair: &Pair, _: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    let before = log(pair, primary)?;
    pair.lab.run("freeze", &[primary])?;
    pair.wait_state(secondary, "ALONE")?;
    std::thread::sleep(Duration::from_secs(60));
    pair.lab.run("thaw", &[primary])?;
    pair.wait_in_step()?;
    let after = log(pair, primary)?;
    let since: Vec<&str> = after.lines().filter(|line| !before.contains(*line)).collect();
    let alone = since.iter().any(|line| line.contains("Local state ALONE"));
    ensure!(!alone, "the node that woke went ALONE: {since:#?}");
    Ok(())
}

fn log(pair: &Pair, node: &str) -> anyhow::Result<String> {
    pair.holdfast(node, &["log", "-m", MODULE, "-s", "200"])
}
