//! Two real daemons, real hearts and the real command line, in namespaces that the test makes for itself. Needs root.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");
const IN_NAMESPACE: &str = "HOLDFAST_TEST_IN_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(20);
const CLUSTER: &str = r#"<cluster><lans pulse="100ms"><lan name="default">
  <node name="n1" addr="10.99.0.1"/><node name="n2" addr="10.99.0.2"/></lan></lans></cluster>"#;
const MODULE: &str =
    r#"<safe><service mode="mirror"><heart><heartbeat name="default"/></heart><user/></service></safe>"#;

/// Runs the named test again in network and process namespaces of its own; true in there.
fn inside(name: &str) -> bool {
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

struct Node {
    name: &'static str,
    root: PathBuf,
    daemon: Option<Child>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    fn new(root: &Path, name: &'static str) -> Node {
        let root = root.join(name);
        std::fs::create_dir_all(&root).unwrap();
        Node { name, root, daemon: None }
    }

    fn started(root: &Path, name: &'static str) -> Node {
        let mut node = Node::new(root, name);
        node.start();
        node
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(HOLDFAST);
        command
            .args(words)
            .env("SAFE", self.root.join("safe"))
            .env("SAFEVAR", self.root.join("var"))
            .env("HOLDFAST_NODE", self.name)
            .env_remove("SAFEMODULE");
        command
    }

    fn start(&mut self) {
        let log = std::fs::File::options().append(true).create(true).open(self.root.join("log")).unwrap();
        let daemon = self.command(&["daemon"]).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        self.daemon = Some(daemon);
        until("the daemon listens", || self.run(&["state"]).status.success());
    }

    /// kill -9, as a crash.
    fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {words:?}: {said}\n{}", self.name, self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} was expected to fail");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Signatures by node, as this one hears them; empty for a node that isn't heard.
    fn signatures(&self) -> Vec<(String, String)> {
        let answer: Value = serde_json::from_str(&self.ok(&["cluster", "confinfo", "-o", "json"])).unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let heard = |row: &Value| row["heard"] == true;
        let rows = answer["nodes"].as_array().unwrap().iter();
        rows.map(|row| (text(row, "node"), if heard(row) { text(row, "signature") } else { String::new() })).collect()
    }

    fn hears_all_alike(&self) -> bool {
        let signatures = self.signatures();
        let first = signatures.first().map(|(_, signature)| signature.clone()).unwrap_or_default();
        signatures.len() == 2 && !first.is_empty() && signatures.iter().all(|(_, signature)| *signature == first)
    }

    /// As an administrator copies the configuration: beside, then renamed.
    fn copy_cluster_to(&self, other: &Node) {
        let (from, to) = (self.root.join("var/cluster"), other.root.join("var/cluster"));
        std::fs::create_dir_all(&to).unwrap();
        for file in ["cluster.key", "cluster.xml"] {
            std::fs::copy(from.join(file), to.join(".copy")).unwrap();
            std::fs::rename(to.join(".copy"), to.join(file)).unwrap();
        }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn own_log(&self) -> String {
        self.ok(&["log", "-m", "safeadmin", "-A"])
    }
}

impl Node {
    /// Installs and configures a module of which every script writes down that it ran.
    fn set_up_module(&self) {
        self.write("pg/conf/userconfig.xml", MODULE);
        for script in ["start_prim", "stop_prim"] {
            let path = self.write(&format!("pg/bin/{script}"), "#!/bin/sh\necho \"${0##*/} $*\" >>$SAFEUSERVAR/ran\n");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.ok(&["module", "install", &self.root.join("pg").display().to_string()]);
        self.ok(&["config", "-m", "pg"]);
    }

    fn heart(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.root.join("var/run/pg/heart.pid")).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    fn kill_heart(&self) {
        kill(Pid::from_raw(self.heart().unwrap()), Signal::SIGKILL).unwrap();
    }

    fn shows(&self, state: &str) -> bool {
        let answer: Value = serde_json::from_str(&self.ok(&["state", "-m", "pg", "-o", "json"])).unwrap();
        let modules = answer["modules"].as_array().or(answer.as_array()).unwrap().clone();
        let own = modules.iter().find(|module| module["node"] == self.name);
        own.is_some_and(|own| format!("{} {}", own["state"], own["colour"]).replace('"', "") == state)
    }

    fn module_log(&self) -> String {
        self.ok(&["log", "-m", "pg", "-A"])
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pair(root: &Path) -> (Node, Node) {
    let (one, two) = (Node::started(root, "n1"), Node::started(root, "n2"));
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER)]);
    one.copy_cluster_to(&two);
    until("both hear each other", || one.hears_all_alike() && two.hears_all_alike());
    (one, two)
}

#[test]
fn two_daemons_see_each_other_lose_each_other_and_refuse_strangers() {
    if !inside("two_daemons_see_each_other_lose_each_other_and_refuse_strangers") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let (one, mut two) = pair(root.path());
    let before = one.signatures()[0].1.clone();

    two.kill();
    until("a dead daemon is missed", || one.signatures()[1].1.is_empty());
    two.start();
    until("its successor is heard", || one.hears_all_alike() && two.hears_all_alike());

    // Garbage from the peer's address, and from one that is no node's (both are this machine's here).
    let peer = UdpSocket::bind("10.99.0.2:0").unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"garbage", "10.99.0.1:4800").unwrap();
    assert!(stranger.send_to(b"garbage", "10.99.0.1:4800").is_ok());
    until("refused datagrams are told", || one.own_log().contains("refused datagrams"));
    assert!(one.hears_all_alike());

    // A new key here only: neither believes the other until it has it too.
    one.ok(&["cluster", "config"]);
    until("with another key nobody is heard", || one.signatures()[1].1.is_empty() && two.signatures()[0].1.is_empty());
    one.copy_cluster_to(&two);
    until("with the same key again", || one.hears_all_alike() && two.hears_all_alike());
    assert_ne!(one.signatures()[0].1, before);
}

#[test]
fn modules_are_installed_configured_and_shown() {
    if !inside("modules_are_installed_configured_and_shown") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let one = Node::started(root.path(), "n1");
    let said = one.refused(&["cluster", "config", &one.write("bad.xml", "<cluster><lan/></cluster>")]);
    assert!(said.contains("bad.xml:1"), "{said}");
    one.write("pg/bin/start_prim", "#!/bin/sh\n");
    let userconfig = one.write("pg/conf/userconfig.xml", MODULE);
    let package = one.root.join("pg").display().to_string();
    one.ok(&["module", "install", &package]);
    assert!(one.refused(&["config", "-m", "pg"]).contains("cluster config"));
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER)]);
    let said = one.refused(&["state", "-m", "pg"]);
    assert!(said.contains("not configured"), "{said}");
    one.ok(&["config", "-m", "pg"]);
    let state = one.ok(&["state", "-m", "pg"]);
    assert!(state.contains("STOP"), "{state}");
    std::fs::write(one.root.join("safe/modules/pg/conf/userconfig.xml"), "<safe/>").unwrap();
    assert!(one.refused(&["confcheck", "-m", "pg"]).contains("userconfig.xml:1"));
    assert!(one.refused(&["module", "install", &package]).contains("already"));
    assert!(Path::new(&userconfig).exists());
}

#[test]
fn one_daemon_at_a_time_and_an_end_in_good_order() {
    if !inside("one_daemon_at_a_time_and_an_end_in_good_order") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let mut one = Node::started(root.path(), "n1");
    let second = one.run(&["daemon"]);
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("runs already"));
    let mut daemon = one.daemon.take().unwrap();
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    let started = Instant::now();
    while daemon.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "{}", one.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(daemon.wait().unwrap().success());
    let said = one.refused(&["state"]);
    assert!(said.contains("safeadmin"), "{said}");
}

#[test]
fn hearts_outlive_the_daemon_and_their_own_death_moves_the_module() {
    if !inside("hearts_outlive_the_daemon_and_their_own_death_moves_the_module") {
        return;
    }
    // Not below /tmp, where anybody may write: scripts there are not trusted.
    let root = tempfile::tempdir_in("/var/lib").unwrap();
    let (mut one, mut two) = pair(root.path());
    one.set_up_module();
    two.set_up_module();
    one.ok(&["start", "-m", "pg"]);
    two.ok(&["start", "-m", "pg"]);
    one.ok(&["waitstate", "-m", "pg", "PRIM"]);
    two.ok(&["waitstate", "-m", "pg", "SECOND"]);

    // The daemon's death: the heart lives on and is found by the next daemon.
    let heart = one.heart();
    one.kill();
    assert!(two.shows("SECOND green"));
    one.start();
    until("the heart is adopted", || one.shows("PRIM green"));
    assert_eq!(one.heart(), heart);
    assert!(!one.module_log().contains("died"));

    // The heart's death: the daemon fences, the other node needn't wait for its time-out, the module comes back as SECOND.
    let started = Instant::now();
    one.kill_heart();
    until("the other node takes over", || two.shows("ALONE green") || two.shows("PRIM green"));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    until("the module comes back", || one.shows("SECOND green") && two.shows("PRIM green"));
    let ran = std::fs::read_to_string(one.root.join("var/modules/pg/ran")).unwrap();
    // The daemon's stops; then, since the module has no prestart, those of the next start.
    let fenced = "stop_prim PRIM STOP stopstart\nstop_prim force PRIM STOP stopstart\n";
    let started = "stop_prim STOP WAIT start\nstop_prim force STOP WAIT start\n";
    assert!(ran.ends_with(&format!("{fenced}{started}")), "{ran}");
    assert!(two.module_log().contains("remote heart dead, module fenced there"));
    assert!(!two.module_log().contains("Split brain"), "{}", two.module_log());

    // Both dead: the next daemon finds it out and does the same.
    two.kill();
    two.kill_heart();
    two.start();
    until("the module comes back", || one.shows("PRIM green") && two.shows("SECOND green"));

    // A shutdown stops the module and leaves nothing.
    let daemon = two.daemon.take().unwrap();
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM).unwrap();
    let ended = daemon.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", two.log());
    assert!(!two.root.join("var/run/pg/heart.sock").exists());
    one.ok(&["waitstate", "-m", "pg", "ALONE"]);
    one.ok(&["stop", "-m", "pg"]);
    one.ok(&["waitstate", "-m", "pg", "STOP"]);
}
