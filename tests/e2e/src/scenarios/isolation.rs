//! Cables and switches.

use super::{Scenario, nothing_more};
use crate::{Pair, Random};
use anyhow::ensure;
use std::time::{Duration, Instant};

pub const REPLICATION_LAN: Scenario =
    Scenario { name: "unplugged replication LAN", harm: replication_lan, check: nothing_more };
pub const PARTITION: Scenario = Scenario { name: "partition", harm: partition, check: nothing_more };

/// The replication goes on over the other network: both stay what they are.
fn replication_lan(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("unplug", &[secondary, "repli"])?;
    let end = Instant::now() + Duration::from_millis(4000) + random.between_ms(1000, 3000);
    while Instant::now() < end {
        ensure!(pair.is(primary, "PRIM", "green"), "the primary is {:?}", pair.state(primary));
        ensure!(pair.is(secondary, "SECOND", "green"), "the secondary is {:?}", pair.state(secondary));
        std::thread::sleep(Duration::from_millis(100));
    }
    pair.lab.run("plug", &[secondary, "repli"])?;
    Ok(())
}

/// Every lane is cut while both reach the client: without a quorum witness both go on alone; the former primary stays. What was acknowledged
/// by the one that yields is lost by design here (the guide says so), therefore the client is cut off from the secondary's side:
/// the virtual IP of the former primary answers first in the client's table, and the load keeps its connections there.
fn partition(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("partition", &[secondary, "client"])?;
    pair.lab.run("partition", &[primary, secondary])?;
    pair.wait_state(primary, "ALONE")?;
    std::thread::sleep(random.between_ms(3000, 5000));
    pair.lab.run("heal", &[])?;
    pair.wait("the former primary as the one that stayed", Duration::from_secs(60), || {
        pair.state(primary).is_some_and(|now| now.0 == "PRIM")
    })
}
