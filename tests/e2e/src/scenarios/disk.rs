//! Disks that fail, fill up or hang (guide, P11).

use super::{Scenario, nothing_more};
use crate::pair::{MODULE, PGDATA};
use crate::{Pair, Random, Settings, Summary, wait_until};
use anyhow::{Context, ensure};
use std::time::Duration;

pub const EIO_OF_PRIMARY: Scenario =
    Scenario { name: "EIO of the primary's disk", harm: fail_primary, check: nothing_more };
pub const EIO_OF_SECONDARY: Scenario =
    Scenario { name: "EIO of the secondary's disk", harm: fail_secondary, check: goes_on_alone };
pub const FULL_AT_PRIMARY: Scenario =
    Scenario { name: "full disk at the primary", harm: fill_primary, check: nothing_more };
pub const FULL_AT_SECONDARY: Scenario =
    Scenario { name: "full disk at the secondary", harm: fill_secondary, check: goes_on_alone };

/// Short time-outs: what is tested is that they hold. For [`HANGING`].
pub const HANGING_SETTINGS: Settings = Settings { patience_s: Some(HANG_S), ..Settings::USUAL };
const HANG_S: u64 = 8;
pub const HANGING: [Scenario; 2] = [
    Scenario { name: "hung disk at the primary", harm: hang_primary, check: moved_in_time },
    Scenario { name: "hung disk at the secondary", harm: hang_secondary, check: held_in_time },
];

/// The other node takes over; nothing that this one can't store was acknowledged.
fn fail_primary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("disk", &[primary, "eio"])?;
    pair.wait_state(secondary, "ALONE")?;
    std::thread::sleep(random.between_ms(500, 2000));
    replug(pair, primary)
}

fn fail_secondary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    let before = log(pair, primary)?;
    pair.lab.run("disk", &[secondary, "eio"])?;
    pair.wait_state(primary, "ALONE")?;
    says(pair, primary, &before, "the other node's disk failed")?;
    std::thread::sleep(random.between_ms(500, 2000));
    replug(pair, secondary)
}

/// A file system that met such errors wants to be mounted anew.
fn replug(pair: &Pair, node: &str) -> anyhow::Result<()> {
    pair.lab.run("power-off", &[node])?;
    pair.lab.run("power-on", &[node])?;
    pair.start_again(node)
}

/// The application sees ENOSPC, and nothing else happens; with room it goes on.
fn fill_primary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    // Room in the write-ahead log: PostgreSQL itself ends when it can't make the next segment.
    sql(pair, "SELECT pg_switch_wal()")?;
    sql(pair, "CREATE TABLE e2e_now (n int); INSERT INTO e2e_now VALUES (1)")?;
    pair.lab.run("fill", &[primary, "--leave", "0"])?;
    let write = format!("dd if=/dev/zero of={PGDATA}/e2e.big bs=64k count=16 conv=fsync 2>&1");
    let refused = match pair.lab.exec(primary, &["sh", "-c", &write]) {
        Ok(said) => said,
        Err(error) => format!("{error:#}"),
    };
    ensure!(refused.contains("No space left on device"), "a full disk took a megabyte: {refused}");
    std::thread::sleep(random.between_ms(1000, 2000));
    ensure!(pair.roles()? == (primary, secondary), "the full disk changed the roles");
    pair.lab.run("unfill", &[primary])?;
    pair.lab.exec(primary, &["sh", "-c", &write])?;
    pair.lab.exec(primary, &["rm", &format!("{PGDATA}/e2e.big")])?;
    sql(pair, "DROP TABLE e2e_now")?;
    ensure!(pair.roles()? == (primary, secondary), "a write after the full disk changed the roles");
    Ok(())
}

/// The secondary leaves and says why; with room it is in step again.
fn fill_secondary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    let before = log(pair, primary)?;
    pair.lab.run("fill", &[secondary, "--leave", "0"])?;
    sql(pair, "CREATE TABLE e2e_big AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)")?;
    pair.wait_state(primary, "ALONE")?;
    says(pair, primary, &before, "No space left on device")?;
    std::thread::sleep(random.between_ms(500, 2000));
    pair.lab.run("unfill", &[secondary])?;
    sql(pair, "DROP TABLE e2e_big")
}

fn hang_primary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("disk", &[primary, "hang"])?;
    pair.wait_state(secondary, "ALONE")?;
    std::thread::sleep(random.between_ms(500, 2000));
    replug(pair, primary)
}

fn hang_secondary(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("disk", &[secondary, "hang"])?;
    pair.wait_state(primary, "ALONE")?;
    std::thread::sleep(random.between_ms(500, 2000));
    replug(pair, secondary)
}

/// The secondary says itself what happened: nobody waits for a time-out of 30 s. (What is left is a busy machine's.)
fn goes_on_alone(_: &Pair, load: &Summary) -> anyhow::Result<()> {
    load.at_most("the longest gap", load.longest_gap_ms, 5000)
}

/// The disk is given `locktimeout`; then the heart moves the application, which takes the time of a failover.
fn moved_in_time(_: &Pair, load: &Summary) -> anyhow::Result<()> {
    load.at_most("the longest gap", load.longest_gap_ms, HANG_S * 1000 + 12_000)
}

/// The guide's table: `sendtimeout` or `locktimeout`, then at most two seconds until the other heart has promised.
fn held_in_time(_: &Pair, load: &Summary) -> anyhow::Result<()> {
    load.at_most("the longest commit", load.longest_commit_ms, HANG_S * 1000 + 3000)
}

fn sql(pair: &Pair, statement: &str) -> anyhow::Result<()> {
    let address = format!("host={} user=postgres dbname=postgres", pair.settings.vip());
    pair.lab.exec("client", &["psql", "-v", "ON_ERROR_STOP=1", "-qAt", "-c", statement, &address]).map(drop)
}

fn says(pair: &Pair, node: &str, before: &str, reason: &str) -> anyhow::Result<()> {
    let told = |log: &str| log.lines().any(|line| line.contains(reason) && !before.contains(line));
    let said = wait_until(reason, Duration::from_secs(60), || log(pair, node).is_ok_and(|after| told(&after)));
    said.with_context(|| format!("the log of {node} says\n{}", log(pair, node).unwrap_or_default()))
}

fn log(pair: &Pair, node: &str) -> anyhow::Result<String> {
    pair.holdfast(node, &["log", "-m", MODULE, "-s", "200", "-A"])
}
