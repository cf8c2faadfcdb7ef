//! A lab that is gone when the test is, however that ends.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_hf-lab-alone");

/// A lab of this test.
pub struct Lab {
    pub name: String,
}

impl Lab {
    /// A name that no other test or run has.
    pub fn unused(test: &str) -> Self {
        let name = format!("t{}-{test}", std::process::id());
        assert!(name.len() <= 24, "{name}");
        Self { name }
    }

    /// A lab without daemons that is up.
    pub fn up(test: &str, args: &[&str]) -> Self {
        let lab = Self::unused(test);
        let mut all = vec!["up", "--no-daemon"];
        all.extend(args);
        lab.ok(&all);
        lab
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["lab", "--name", &self.name]).args(args);
        command
    }

    /// Runs a lab command to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().expect("the lab's binary runs")
    }

    /// Runs a lab command that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell script in a machine.
    pub fn sh(&self, machine: &str, script: &str) -> Output {
        self.run(&["exec", machine, "--", "sh", "-c", script])
    }

    /// Runs a shell script in a machine that must succeed; what it printed.
    pub fn sh_ok(&self, machine: &str, script: &str) -> String {
        self.ok(&["exec", machine, "--", "sh", "-c", script])
    }

    /// Starts a shell script in a machine and leaves it running.
    pub fn background(&self, machine: &str, script: &str) -> Child {
        self.command(&["exec", machine, "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the lab's binary runs")
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["status", "-o", "json"])).expect("status is JSON")
    }

    /// Whether one ping of `from` to `to` is answered.
    pub fn reaches(&self, from: &str, to: &str) -> bool {
        // The first packet may wait a second for a neighbour that was not there before.
        self.sh(from, &format!("ping -q -n -c 3 -i 0.3 -W 1 {to}")).status.success()
    }

    pub fn run_dir(&self) -> PathBuf {
        Path::new("/run/holdfast-lab").join(&self.name)
    }

    pub fn image_dir(&self) -> PathBuf {
        Path::new("/var/lib/holdfast-lab").join(&self.name)
    }

    pub fn cgroup(&self) -> PathBuf {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let line = mounts.lines().find(|l| l.contains(" - cgroup2 ")).expect("cgroup2 is mounted");
        let at = line.split(' ').nth(4).expect("a mount point");
        Path::new(at).join("holdfast-lab").join(&self.name)
    }

    /// Every process in the lab's cgroups.
    pub fn pids(&self) -> Vec<i32> {
        fn collect(dir: &Path, into: &mut Vec<i32>) {
            let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            into.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    collect(&entry.path(), into);
                }
            }
        }
        let mut pids = Vec::new();
        collect(&self.cgroup(), &mut pids);
        pids
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // 2: the test took it down itself.
        let output = self.run(&["down"]);
        let code = output.status.code();
        if !std::thread::panicking() {
            assert!(matches!(code, Some(0 | 2)), "down: {output:?}");
        }
    }
}

/// Polls until `done` holds.
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
