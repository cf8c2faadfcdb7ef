//! Power cuts: of the primary, of the secondary, of both at once.

use super::{Scenario, nothing_more};
use crate::{Pair, Random, Summary};
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
    load.at_most("the longest commit", load.longest_commit_ms, pair.settings.heartbeat_timeout_ms + 200)
}

/// Where the second node gets power this much later than the first one, or right after it.
const LATER: Duration = Duration::from_secs(8);

pub const BOTH: [Scenario; 4] = [
    Scenario {
        name: "power cut of both, primary back first",
        harm: |pair, _| cut_both(pair, true, LATER),
        check: nothing_more,
    },
    Scenario {
        name: "power cut of both, secondary back first",
        harm: |pair, _| cut_both(pair, false, LATER),
        check: nothing_more,
    },
    Scenario {
        name: "power cut of both, back together, primary first",
        harm: |pair, _| cut_both(pair, true, Duration::ZERO),
        check: nothing_more,
    },
    Scenario {
        name: "power cut of both, back together, secondary first",
        harm: |pair, _| cut_both(pair, false, Duration::ZERO),
        check: nothing_more,
    },
];

/// Both lose power in the same moment; then they come back in the given order, `pause` between them.
fn cut_both(pair: &Pair, primary_first: bool, pause: Duration) -> anyhow::Result<()> {
    let (primary, secondary) = pair.roles()?;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pair.lab.run("power-off", &[secondary]));
        pair.lab.run("power-off", &[primary])?;
        other.join().map_err(|_| anyhow::anyhow!("the second cut panicked"))?
    })?;
    let nodes = if primary_first { [primary, secondary] } else { [secondary, primary] };
    for (n, node) in nodes.into_iter().enumerate() {
        std::thread::sleep(if n == 0 { Duration::ZERO } else { pause });
        pair.lab.run("power-on", &[node])?;
        pair.start_again(node)?;
    }
    Ok(())
}
