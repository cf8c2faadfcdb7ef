//! The Debian package and its unit, in lab nodes with systemd: what an administrator does with them.

use e2e::{Lab, binary};
use std::time::{Duration, Instant};

const NODE: &str = "node1";

fn run(lab: &Lab, node: &str, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    lab.exec(node, &words).unwrap_or_else(|error| panic!("{error:#}")).trim().to_owned()
}

fn main_pid(lab: &Lab, node: &str) -> String {
    run(lab, node, "systemctl show --property=MainPID --value holdfast")
}

fn is_active(lab: &Lab, node: &str) -> bool {
    lab.exec(node, &["systemctl", "is-active", "holdfast"]).is_ok()
}

/// Waits for another daemon than `before`.
fn wait_for_next(lab: &Lab, node: &str, before: &str, limit: Duration) {
    let began = Instant::now();
    while !is_active(lab, node) || main_pid(lab, node) == before || main_pid(lab, node) == "0" {
        assert!(began.elapsed() < limit, "no other daemon: {}", run(lab, node, "journalctl --no-pager -u holdfast"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_debian_package() {
    let dir = binary("holdfast").canonicalize().expect("a built binary").parent().expect("its directory").to_owned();
    let packages =
        std::fs::read_dir(&dir).expect("the directory of the binary").filter_map(|entry| Some(entry.ok()?.path()));
    let package = packages.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.expect("a package: cargo xtask deb --profile lab --no-build");
    let install = format!("dpkg -i {}", package.display());
    let lab = Lab::up("e2e-deb", &["--nodes", "1", "--init", "systemd", "--no-daemon"]).expect("a node with systemd");

    let began = Instant::now();
    while lab.exec(NODE, &["systemctl", "list-units"]).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "systemd doesn't answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    run(&lab, NODE, &install);
    assert!(is_active(&lab, NODE), "started by its installation");
    assert_eq!(run(&lab, NODE, "systemctl is-enabled holdfast"), "enabled");
    run(&lab, NODE, "getent group holdfast");
    assert_eq!(run(&lab, NODE, "holdfast state"), "No module is installed.");

    let before = main_pid(&lab, NODE);
    run(&lab, NODE, &format!("kill -KILL {before}"));
    wait_for_next(&lab, NODE, &before, Duration::from_secs(10));

    // A daemon whose loop stands still.
    run(&lab, NODE, "mkdir -p /etc/systemd/system/holdfast.service.d");
    let shorter = "printf '[Service]\\nWatchdogSec=2s\\n' >/etc/systemd/system/holdfast.service.d/test.conf";
    lab.exec(NODE, &["sh", "-c", shorter]).expect("a drop-in");
    run(&lab, NODE, "systemctl daemon-reload");
    run(&lab, NODE, "systemctl restart holdfast");
    let before = main_pid(&lab, NODE);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(main_pid(&lab, NODE), before, "a daemon that lives is left alone");
    run(&lab, NODE, &format!("kill -STOP {before}"));
    wait_for_next(&lab, NODE, &before, Duration::from_secs(30));
    assert!(run(&lab, NODE, "journalctl --no-pager -u holdfast").contains("Watchdog timeout"));

    let before = main_pid(&lab, NODE);
    run(&lab, NODE, &install);
    wait_for_next(&lab, NODE, &before, Duration::from_secs(10));

    lab.run("reboot", &[NODE]).expect("a reboot");
    wait_for_next(&lab, NODE, "0", Duration::from_secs(30));

    run(&lab, NODE, "dpkg -r holdfast");
    assert!(!is_active(&lab, NODE));
    run(&lab, NODE, "test ! -e /opt/holdfast/holdfast");
    run(&lab, NODE, "test -d /var/holdfast/db");
}

#[test]
fn modules_outlive_the_daemon_under_systemd() {
    let lab = Lab::up("e2e-sd", &["--init", "systemd"]).expect("two nodes with systemd");
    for node in ["node1", "node2"] {
        assert!(is_active(&lab, node));
        let install =
            "holdfast module install -m mirror $SAFE/Application_Modules/mirror.safe && holdfast config -m mirror";
        lab.exec(node, &["sh", "-c", install]).expect("a module");
    }
    run(&lab, NODE, "holdfast prim -m mirror");
    let state = |lab: &Lab| run(lab, NODE, "holdfast state -m mirror");
    let began = Instant::now();
    while !state(&lab).contains("ALONE") {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", state(&lab));
        std::thread::sleep(Duration::from_millis(100));
    }
    let heart = run(&lab, NODE, "cat /var/holdfast/run/mirror/heart.pid");
    let before = main_pid(&lab, NODE);
    run(&lab, NODE, "systemctl kill --kill-whom=main --signal=KILL holdfast");
    wait_for_next(&lab, NODE, &before, Duration::from_secs(10));
    assert_eq!(run(&lab, NODE, "cat /var/holdfast/run/mirror/heart.pid"), heart, "the heart lived on");
    assert!(state(&lab).contains("ALONE"), "{}", state(&lab));
    run(&lab, NODE, "systemctl stop holdfast");
    run(&lab, NODE, "test ! -e /var/holdfast/run/mirror/heart.sock");
}
