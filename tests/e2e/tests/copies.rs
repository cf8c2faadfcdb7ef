//! Both copies over power cuts, swaps and an answer that differs: byte by byte the same, and nothing that was acknowledged is missing.

use anyhow::{Context, ensure};
use e2e::{Small, binary, seed, wait_until};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const APP: &str = "app";
const PATIENCE: Duration = Duration::from_secs(90);
const EXERCISE: &str = env!("CARGO_BIN_EXE_exercise");

/// `exercise` on a node, and how many of its operations are acknowledged.
struct Exercise {
    child: Child,
    acknowledged: Arc<AtomicU64>,
    file: &'static str,
    seed: u64,
}

impl Exercise {
    fn start(small: &Small, node: &str, file: &'static str) -> anyhow::Result<Exercise> {
        let seed = seed();
        eprintln!("exercise {file} on {node} with E2E_SEED={seed}");
        let run = [node, "--", EXERCISE, "run", file, &seed.to_string()];
        let mut child = small.lab.command("exec", &run).stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take().context("its output")?;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let count = acknowledged.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                count.store(line.parse().unwrap_or(0), Ordering::SeqCst);
            }
        });
        Ok(Exercise { child, acknowledged, file, seed })
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn wait_for_more(&self, operations: u64) -> anyhow::Result<()> {
        let before = self.acknowledged();
        wait_until("operations", PATIENCE, || self.acknowledged() >= before + operations)
    }

    /// It must have seen no error.
    fn stop(mut self, small: &Small, node: &str) -> anyhow::Result<()> {
        small.sh(node, &format!("touch {}.stop", self.file))?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the application saw an error: {status}");
        small.sh(node, &format!("rm {}.stop", self.file)).map(drop)
    }

    /// Its machine lost power: what the other one has is what it was after an operation that is not before the last acknowledged.
    fn verify(mut self, small: &Small, node: &str) -> anyhow::Result<()> {
        self.child.wait()?;
        // The last words may wait for the thread that reads them; fewer only make the test weaker.
        let acknowledged = self.acknowledged().to_string();
        let said = small.lab.exec(node, &[EXERCISE, "verify", self.file, &self.seed.to_string(), &acknowledged])?;
        eprintln!("acknowledged {acknowledged}: {}", said.trim());
        Ok(())
    }
}

/// fsx, where `./test` has built it: other people's idea of what a file has to do. Who runs everything must not go without it unawares.
fn fsx() -> Option<PathBuf> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/fsx");
    let found = built.canonicalize().ok();
    if found.is_none() {
        let whole = ["CI", "HOLDFAST_TEST"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!whole, "fsx is not built: run 'tests/fs/fsx.sh build'");
        eprintln!("without fsx: 'tests/fs/fsx.sh build' builds it");
    }
    found
}

fn start_fsx(small: &Small, node: &str, program: &Path) -> anyhow::Result<Child> {
    let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fs/fsx.toml").canonicalize()?;
    let seed = seed().to_string();
    eprintln!("fsx on {node} with seed {seed}");
    let run = format!("{} -q -f {} -N 3000 -S {seed} -P /tmp /data/app/fsx", program.display(), config.display());
    Ok(small.lab.command("exec", &[node, "--", "sh", "-c", &run]).spawn()?)
}

#[test]
fn copies_are_equal_after_power_cuts_and_swaps_and_a_different_answer() {
    assert!(binary("holdfast").exists(), "run './test build'");
    let small = Small::pair("e2e-copies", "").expect("a pair");
    the_secondary_loses_power(&small).expect("a power cut of the secondary");
    roles_are_swapped(&small).expect("swaps");
    the_primary_loses_power(&small).expect("a power cut of the primary");
    an_answer_differs(&small).expect("an answer that differs");
}

fn pair(small: &Small, primary: &str, secondary: &str) -> anyhow::Result<()> {
    small.wait(APP, &[(primary, "PRIM", "green"), (secondary, "SECOND", "green")])
}

/// The application sees a pause, and the copy is made whole while it goes on.
fn the_secondary_loses_power(small: &Small) -> anyhow::Result<()> {
    let exercise = Exercise::start(small, "node1", "/data/app/one")?;
    let fsx = fsx().map(|program| start_fsx(small, "node1", &program)).transpose()?;
    exercise.wait_for_more(50)?;
    small.lab.run("power-off", &["node2"])?;
    small.wait(APP, &[("node1", "ALONE", "green")])?;
    exercise.wait_for_more(50)?;
    small.lab.run("power-on", &["node2"])?;
    small.start_when_up(APP, "node2")?;
    pair(small, "node1", "node2")?;
    exercise.wait_for_more(50)?;
    exercise.stop(small, "node1")?;
    if let Some(mut fsx) = fsx {
        ensure!(fsx.wait()?.success(), "fsx saw an error");
    }
    small.copies_are_equal(APP, ["node1", "node2"])
}

/// What one node wrote the other one goes on with, and back.
fn roles_are_swapped(small: &Small) -> anyhow::Result<()> {
    for (primary, secondary) in [("node2", "node1"), ("node1", "node2")] {
        small.holdfast(secondary, &["swap", "-m", APP])?;
        pair(small, primary, secondary)?;
        let exercise = Exercise::start(small, primary, "/data/app/one")?;
        exercise.wait_for_more(200)?;
        exercise.stop(small, primary)?;
        small.copies_are_equal(APP, ["node1", "node2"])?;
    }
    Ok(())
}

fn the_primary_loses_power(small: &Small) -> anyhow::Result<()> {
    let exercise = Exercise::start(small, "node1", "/data/app/two")?;
    exercise.wait_for_more(200)?;
    small.lab.run("power-off", &["node1"])?;
    small.wait(APP, &[("node2", "ALONE", "green")])?;
    exercise.verify(small, "node2")?;
    small.lab.run("power-on", &["node1"])?;
    small.start_when_up(APP, "node1")?;
    pair(small, "node2", "node1")?;
    small.copies_are_equal(APP, ["node1", "node2"])
}

/// P3: something that the primary doesn't have lies in the secondary's copy, so that it can't do what the primary did. It is taken out with the
/// reason, and is in step again after a synchronisation.
fn an_answer_differs(small: &Small) -> anyhow::Result<()> {
    small.sh("node2", "mkdir /data/app/dir && sync /data/app/dir")?;
    small.copies_are_equal(APP, ["node1", "node2"])?;
    let marks = [small.mark(APP, "node1")?, small.mark(APP, "node2")?];
    small.in_backing(APP, "node1", "touch dir/foreign")?;
    small.sh("node2", "rmdir /data/app/dir && touch /data/app/after && sync /data/app/after")?;
    small.said(
        APP,
        "node2",
        marks[1],
        &["an operation gave a different answer on the other node", "Local state ALONE"],
    )?;
    small.said(APP, "node1", marks[0], &["Local state SECOND green"])?;
    pair(small, "node2", "node1")?;
    small.copies_are_equal(APP, ["node1", "node2"])
}
