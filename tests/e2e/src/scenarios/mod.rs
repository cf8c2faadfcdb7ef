//! One file a kind of harm; [`ALL`] and [`BOTH`] are what `./test` and the soak run.

mod disk;
mod freeze;
mod isolation;
mod kill;
mod power;

use crate::{Pair, Random, Summary};

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    /// Does the harm and undoes it; the harness then waits for PRIM/SECOND.
    pub harm: fn(&Pair, &mut Random) -> anyhow::Result<()>,
    /// What must be true of the load beyond "nothing lost".
    pub check: fn(&Pair, &Summary) -> anyhow::Result<()>,
}

pub const ALL: &[Scenario] = &[
    power::PRIMARY,
    power::SECONDARY,
    kill::HEART,
    kill::DAEMON,
    kill::RFS_OF_PRIMARY,
    kill::RFS_OF_SECONDARY,
    isolation::REPLICATION_LAN,
    isolation::PARTITION,
    freeze::PRIMARY,
    disk::EIO_OF_PRIMARY,
    disk::EIO_OF_SECONDARY,
    disk::FULL_AT_PRIMARY,
    disk::FULL_AT_SECONDARY,
];

pub use disk::{HANGING, HANGING_SETTINGS};
pub use power::BOTH;

fn nothing_more(_: &Pair, _: &Summary) -> anyhow::Result<()> {
    Ok(())
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().chain(&BOTH).chain(&HANGING).find(|scenario| scenario.name == name)
}
