//! Two real daemons, real hearts and the real command line, in namespaces that the test makes for itself. Needs root.

mod common;

use common::{CLUSTER, MODULE, Node, PATIENCE, inside, pair, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

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
fn health_checks_are_answered_at_the_port_that_is_said() {
    if !inside("health_checks_are_answered_at_the_port_that_is_said") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let mut one = Node::new(root.path(), "n1");
    one.ready_port = Some(9110);
    one.start();
    let ask = |port: u16| -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: n1\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    until("an answer", || ask(9110).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert!(ask(9010).is_err(), "and nowhere else");
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER)]);
    one.write("pg/bin/start_prim", "#!/bin/sh\n");
    one.write("pg/conf/userconfig.xml", MODULE);
    one.ok(&["module", "install", &one.root.join("pg").display().to_string()]);
    one.ok(&["config", "-m", "pg"]);
    let ports = one.ok(&["module", "getports", "-m", "pg"]);
    assert!(ports.contains("TCP 9110"), "{ports}");
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
    // The heartbeats' time-out is 30 s here.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    until("the module comes back", || one.shows("SECOND green") && two.shows("PRIM green"));
    let ran = std::fs::read_to_string(one.root.join("var/modules/pg/ran")).unwrap();
    // The daemon's stops; then, since the module has no prestart, those of the next start.
    let fenced = "stop_prim PRIM STOP stopstart\nstop_prim force PRIM STOP stopstart\n";
    let started = "stop_prim STOP WAIT start\nstop_prim force STOP WAIT start\n";
    assert!(ran.ends_with(&format!("{fenced}{started}")), "{ran}");
    until("it says why", || two.module_log().contains("remote heart dead, module fenced there"));
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

#[test]
fn scripts_of_commands_and_wrappers() {
    if !inside("scripts_of_commands_and_wrappers") {
        return;
    }
    let root = tempfile::tempdir_in("/var/lib").unwrap();
    let one = Node::started(root.path(), "n1");
    one.ok(&["cluster", "config", &one.write("c.xml", CLUSTER)]);
    for script in ["config", "deconfig", "confcheck", "state", "level", "start_prim"] {
        let body = format!("#!/bin/sh\necho \"${{0##*/}} $* of $SAFEMODULE\"\n[ ! -e {}/fail ]\n", one.root.display());
        let path = one.write(&format!("pg/bin/{script}"), &body);
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    one.write("pg/conf/userconfig.xml", MODULE);
    one.ok(&["module", "install", &one.root.join("pg").display().to_string()]);
    let said = |words: &[&str]| String::from_utf8_lossy(&one.run(words).stderr).into_owned();
    assert!(said(&["confcheck", "-m", "pg"]).contains("confcheck STOP STOP confcheck of pg"));
    assert!(said(&["config", "-m", "pg"]).contains("config STOP STOP config of pg"));
    assert!(one.ok(&["level", "-m", "pg"]).ends_with("level STOP STOP level of pg\n"));
    let state = one.ok(&["state", "-v", "-m", "pg"]);
    assert!(state.contains("Its script state says:\nstate STOP STOP state of pg\n"), "{state}");

    let info: serde_json::Value = serde_json::from_str(&one.ok(&["confinfo", "-m", "pg", "-o", "json"])).unwrap();
    assert_eq!(info["active"]["signature"], info["current"]["signature"], "what config adds is no difference: {info}");
    assert!(info["active"]["signature"].is_string(), "{info}");

    one.write("fail", "");
    assert!(one.refused(&["confcheck", "-m", "pg"]).contains("Script confcheck ended with exit code 1; it said:"));
    assert!(one.refused(&["config", "-m", "pg"]).contains("the configuration is applied, but: Script config ended"));
    std::fs::remove_file(one.root.join("fail")).unwrap();

    let wrapper = one.root.join("safe/private/modules/pg/pg_start_wrapper");
    let ran = std::process::Command::new(wrapper).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "start_prim STOP ALONE start of pg\n");
    let listed = std::process::Command::new(one.root.join("safe/private/bin/processtree")).output().unwrap();
    assert_eq!(listed.status.code(), Some(2), "SAFEBIN has the special commands");

    // Not even a script that fails keeps anybody from removing the module.
    one.write("fail", "");
    let removed = one.run(&["deconfig", "-m", "pg"]);
    assert!(removed.status.success());
    assert!(String::from_utf8_lossy(&removed.stderr).contains("deconfig STOP STOP deconfig of pg"));
}
