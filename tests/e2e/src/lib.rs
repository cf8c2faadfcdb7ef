//! End-to-end scenarios: a real PostgreSQL under load, a real kernel, real faults, through `holdfast lab` only.
//!
//! A scenario is one file in [`scenarios`]: it gets a running pair under load and a random number generator, does its harm at
//! a random moment, and gives back what was measured; the harness then proves that nothing acknowledged is missing. `./test`
//! runs every scenario twice, `cargo xtask soak` twenty times with a table. Every run prints its seed; `E2E_SEED=n` repeats it.

pub mod copies;
mod databases;
mod lab;
mod machine;
mod pair;
mod random;
mod recorder;
pub mod scenarios;
mod small;

pub use databases::{Database, Databases, MARIADB, REDIS};
pub use lab::{Lab, binary};
pub use machine::Machine;
pub use pair::{MODULE, PGDATA, Pair, Settings};
pub use random::Random;
pub use recorder::{Recorder, Summary};
pub use small::{Module, Small};

/// What one run of a scenario gave, a row of the soak's table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    pub scenario: &'static str,
    pub seed: u64,
    #[serde(flatten)]
    pub load: Summary,
    /// Acknowledged numbers that the database holds; the run fails unless it is all of them.
    pub verified: u64,
}

/// Runs one scenario on a pair that is PRIM/SECOND, from load to proof; leaves the pair PRIM/SECOND. What the nodes said is shown if it fails.
pub fn run(pair: &mut Pair, scenario: &scenarios::Scenario, seed: u64) -> anyhow::Result<Row> {
    eprintln!("scenario {} seed {seed}", scenario.name);
    prove(pair, scenario, seed).map_err(|error| {
        eprintln!("{}", pair.logs());
        error.context(format!("scenario {} with E2E_SEED={seed}", scenario.name))
    })
}

fn prove(pair: &mut Pair, scenario: &scenarios::Scenario, seed: u64) -> anyhow::Result<Row> {
    let mut random = Random::new(seed);
    let machine = Machine::watch()?;
    let recorder = Recorder::start(pair)?;
    std::thread::sleep(random.between_ms(1000, 4000));
    (scenario.harm)(pair, &mut random)?;
    pair.wait_in_step()?;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut load = recorder.stop(pair)?;
    load.allowance_ms = machine.allowance_ms()?;
    let verified = Recorder::verify(pair)?;
    (scenario.check)(pair, &load)?;
    pair.compare_copies()?;
    pair.check_both_copies()?;
    Ok(Row { scenario: scenario.name, seed, load, verified })
}

/// Waits for a condition, for as long as a machine under load may need. The error says what didn't come.
pub fn wait_until(what: &str, limit: std::time::Duration, mut done: impl FnMut() -> bool) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    while !done() {
        anyhow::ensure!(began.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok(())
}

/// The seed of this run: from `E2E_SEED`, or of the moment; always printed by [`run`].
pub fn seed() -> u64 {
    match std::env::var("E2E_SEED").map(|text| text.parse()) {
        Ok(Ok(seed)) => seed,
        _ => u64::from(std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.subsec_nanos())),
    }
}
