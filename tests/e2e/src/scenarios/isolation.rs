//! Cables and switches.

use super::{Scenario, nothing_more};
use crate::{Pair, Random};
use std::time::Duration;

pub const REPLICATION_LAN: Scenario =
    Scenario { name: "unplugged replication LAN", harm: replication_lan, check: nothing_more };
pub const PARTITION: Scenario = Scenario { name: "partition", harm: partition, check: nothing_more };

/// Hearts still hear each other: the primary goes on alone after the secondary has confirmed that it is outdated; nobody takes over.
fn replication_lan(pair: &Pair, random: &mut Random) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    pair.lab.run("unplug", &[secondary, "repli"])?;
    pair.wait_state(primary, "ALONE")?;
    std::thread::sleep(random.between_ms(1000, 3000));
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
