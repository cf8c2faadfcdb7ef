//! Real daemons, real hearts and the real command line, in namespaces that the test makes for itself. Needs root.
#![allow(dead_code)] // each test file uses its own part

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");
pub const IN_NAMESPACE: &str = "HOLDFAST_TEST_IN_NAMESPACE";
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const CLUSTER: &str = r#"<cluster><lans pulse="100ms"><lan name="default">
  <node name="n1" addr="10.99.0.1"/><node name="n2" addr="10.99.0.2"/></lan></lans></cluster>"#;
pub const MODULE: &str =
    r#"<safe><service mode="mirror"><heart><heartbeat name="default"/></heart><user/></service></safe>"#;

/// Runs the named test again in network and process namespaces of its own; true in there.
pub fn inside(name: &str) -> bool {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        for arguments in ["link set lo up", "addr add 10.99.0.1/32 dev lo", "addr add 10.99.0.2/32 dev lo"] {
            let ip = Command::new("ip").args(arguments.split(' ')).status().unwrap();
            assert!(ip.success(), "ip {arguments}");
        }
        return true;
    }
    let test = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    // Of its processes none is left, whatever happens.
    unshare.args(["--net", "--mount-proc", "--pid", "--fork", "--kill-child", "--"]).arg(test).args([
        "--exact",
        name,
        "--nocapture",
    ]);
    assert!(unshare.env(IN_NAMESPACE, "1").status().unwrap().success(), "see above (this test needs root)");
    false
}

pub struct Node {
    pub name: &'static str,
    pub root: PathBuf,
    pub daemon: Option<Child>,
    /// Where its listener for health checks is, if not at the usual port.
    pub ready_port: Option<u16>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    pub fn new(root: &Path, name: &'static str) -> Node {
        let root = root.join(name);
        std::fs::create_dir_all(&root).unwrap();
        Node { name, root, daemon: None, ready_port: None }
    }

    pub fn started(root: &Path, name: &'static str) -> Node {
        let mut node = Node::new(root, name);
        node.start();
        node
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(HOLDFAST);
        command
            .args(words)
            .env("SAFE", self.root.join("safe"))
            .env("SAFEVAR", self.root.join("var"))
            .env("HOLDFAST_NODE", self.name)
            .env_remove("SAFEMODULE")
            .envs(self.ready_port.map(|port| ("HOLDFAST_READY_PORT", port.to_string())));
        command
    }

    pub fn start(&mut self) {
        let log = std::fs::File::options().append(true).create(true).open(self.root.join("log")).unwrap();
        let daemon = self.command(&["daemon"]).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.daemon = Some(daemon);
        until("the daemon listens", || self.run(&["state"]).status.success());
    }

    /// kill -9, as a crash.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {words:?}: {said}\n{}", self.name, self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} was expected to fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Signatures by node, as this one hears them; empty for a node that isn't heard.
    pub fn signatures(&self) -> Vec<(String, String)> {
        let answer: Value = serde_json::from_str(&self.ok(&["cluster", "confinfo", "-o", "json"])).unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let heard = |row: &Value| row["heard"] == true;
        let rows = answer["nodes"].as_array().unwrap().iter();
        rows.map(|row| (text(row, "node"), if heard(row) { text(row, "signature") } else { String::new() })).collect()
    }

    pub fn hears_all_alike(&self) -> bool {
        let signatures = self.signatures();
        let first = signatures.first().map(|(_, signature)| signature.clone()).unwrap_or_default();
        signatures.len() == 2 && !first.is_empty() && signatures.iter().all(|(_, signature)| *signature == first)
    }

    /// As an administrator copies the configuration: beside, then renamed.
    pub fn copy_cluster_to(&self, other: &Node) {
        let (from, to) = (self.root.join("var/cluster"), other.root.join("var/cluster"));
        std::fs::create_dir_all(&to).unwrap();
        for file in ["cluster.key", "cluster.xml"] {
            std::fs::copy(from.join(file), to.join(".copy")).unwrap();
            std::fs::rename(to.join(".copy"), to.join(file)).unwrap();
        }
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn own_log(&self) -> String {
        self.ok(&["log", "-m", "safeadmin", "-A"])
    }
}

impl Node {
    /// Installs and configures a module of which every script writes down that it ran.
    pub fn set_up_module(&self) {
        self.write("pg/conf/userconfig.xml", MODULE);
        for script in ["start_prim", "stop_prim"] {
            let path = self.write(&format!("pg/bin/{script}"), "#!/bin/sh\necho \"${0##*/} $*\" >>$SAFEUSERVAR/ran\n");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.ok(&["module", "install", &self.root.join("pg").display().to_string()]);
        self.ok(&["config", "-m", "pg"]);
    }

    pub fn heart(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.root.join("var/run/pg/heart.pid")).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    pub fn kill_heart(&self) {
        kill(Pid::from_raw(self.heart().unwrap()), Signal::SIGKILL).unwrap();
    }

    pub fn shows(&self, state: &str) -> bool {
        let answer: Value = serde_json::from_str(&self.ok(&["state", "-m", "pg", "-o", "json"])).unwrap();
        let modules = answer["modules"].as_array().or(answer.as_array()).unwrap().clone();
        let own = modules.iter().find(|module| module["node"] == self.name);
        own.is_some_and(|own| format!("{} {}", own["state"], own["colour"]).replace('"', "") == state)
    }

    pub fn module_log(&self) -> String {
        self.ok(&["log", "-m", "pg", "-A"])
    }
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn pair(root: &Path) -> (Node, Node) {
    let (one, two) = (Node::started(root, "n1"), Node::started(root, "n2"));
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER)]);
    one.copy_cluster_to(&two);
    until("both hear each other", || one.hears_all_alike() && two.hears_all_alike());
    (one, two)
}
