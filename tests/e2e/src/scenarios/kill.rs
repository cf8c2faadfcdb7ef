//! kill -9 of our own processes.

use super::{Scenario, nothing_more};
use crate::pair::MODULE;
use crate::{Pair, Random, Summary};
use anyhow::ensure;
use std::time::Duration;

pub const HEART: Scenario = Scenario { name: "kill -9 of the primary's heart", harm: heart, check: nothing_more };
pub const DAEMON: Scenario = Scenario { name: "kill -9 of the primary's daemon", harm: daemon, check: barely_noticed };
pub const RFS_OF_PRIMARY: Scenario =
    Scenario { name: "kill -9 of the primary's rfs", harm: rfs_of_primary, check: only_a_pause };
pub const RFS_OF_SECONDARY: Scenario =
    Scenario { name: "kill -9 of the secondary's rfs", harm: rfs_of_secondary, check: only_a_pause };

/// The other node takes over without waiting for a time-out; the killed module comes back as SECOND: by itself the first four times within two
/// minutes, then an administrator starts it.
fn heart(pair: &Pair, _: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("kill", &[primary, "heart", "--module", MODULE])?;
    pair.wait("the other node's takeover", Duration::from_secs(60), || {
        pair.state(secondary).is_some_and(|now| now.0 == "ALONE" || now.0 == "PRIM")
    })?;
    pair.wait("the end of the fencing", Duration::from_secs(60), || {
        pair.is(primary, "STOP", "red") || pair.is(primary, "SECOND", "green")
    })?;
    let log = pair.holdfast(primary, &["log", "-m", MODULE, "-s", "60", "-A"])?;
    if log.lines().rfind(|line| line.contains("Process heart died")).is_some_and(|line| line.contains("too often")) {
        pair.start_again(primary)?;
    }
    Ok(())
}

fn daemon(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, _) = pair.roles()?;
    pair.lab.run("kill", &[primary, "daemon"])?;
    std::thread::sleep(random.between_ms(2000, 4000));
    Ok(())
}

fn rfs_of_primary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, _) = pair.roles()?;
    kill_rfs(pair, primary, random)
}

fn rfs_of_secondary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (_, secondary) = pair.roles()?;
    kill_rfs(pair, secondary, random)
}

fn kill_rfs(pair: &Pair, node: &str, random: &mut Random) -> anyhow::Result<()> {
    pair.lab.run("kill", &[node, "rfs", "--module", MODULE])?;
    std::thread::sleep(random.between_ms(2000, 4000));
    Ok(())
}

/// The modules go on without the daemon: commits don't even slow down.
fn barely_noticed(_: &Pair, load: &Summary) -> anyhow::Result<()> {
    ensure!(load.in_doubt <= 4, "{} commits ended in an error, though the module kept running", load.in_doubt);
    load.at_most("the longest gap", load.longest_gap_ms, 1000)
}

/// The database sees a pause and no error: no commit's fate is in doubt but those that were under way at the end of the load.
fn only_a_pause(_: &Pair, load: &Summary) -> anyhow::Result<()> {
    ensure!(load.in_doubt <= 4, "{} commits ended in an error, not only in a pause", load.in_doubt);
    Ok(())
}
