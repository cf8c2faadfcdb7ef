//! The Debian package and its unit, in lab nodes with systemd: what an administrator does with them.

use e2e::{Lab, binary, wait_until};
use std::time::{Duration, Instant};

const NODE: &str = "node1";
/// systemd does it at once or within its own time-outs; a machine under load may need longer.
const SOON: Duration = Duration::from_secs(90);

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
        assert!(began.elapsed() < SOON, "systemd doesn't answer");
        std::thread::sleep(Duration::from_millis(100));
    }
    run(&lab, NODE, &install);
    assert!(is_active(&lab, NODE), "started by its installation");
    assert_eq!(run(&lab, NODE, "systemctl is-enabled holdfast"), "enabled");
    assert_eq!(run(&lab, NODE, "systemctl is-active safeadmin"), "active", "the reference's name of the unit");
    run(&lab, NODE, "getent group holdfast");
    assert_eq!(run(&lab, NODE, "holdfast state"), "No module is installed.");

    let before = main_pid(&lab, NODE);
    run(&lab, NODE, &format!("kill -KILL {before}"));
    wait_for_next(&lab, NODE, &before, SOON);

    // A daemon whose loop stands still.
    run(&lab, NODE, "mkdir -p /etc/systemd/system/holdfast.service.d");
    let shorter = "printf '[Service]\\nWatchdogSec=5s\\n' >/etc/systemd/system/holdfast.service.d/test.conf";
    lab.exec(NODE, &["sh", "-c", shorter]).expect("a drop-in");
    run(&lab, NODE, "systemctl daemon-reload");
    run(&lab, NODE, "systemctl restart holdfast");
    let before = main_pid(&lab, NODE);
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(main_pid(&lab, NODE), before, "a daemon that lives is left alone");
    run(&lab, NODE, &format!("kill -STOP {before}"));
    wait_for_next(&lab, NODE, &before, SOON);
    let journal = || run(&lab, NODE, "journalctl --no-pager -u holdfast");
    wait_until("the watchdog's word", SOON, || journal().contains("Watchdog timeout")).expect("it was the watchdog");

    let before = main_pid(&lab, NODE);
    run(&lab, NODE, &install);
    wait_for_next(&lab, NODE, &before, SOON);

    lab.run("reboot", &[NODE]).expect("a reboot");
    wait_for_next(&lab, NODE, "0", SOON);

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
        // An address of a network that is there, or the module waits for the network.
        let install = "set -e; holdfast module install -m mirror $SAFE/Application_Modules/mirror.safe
            sed -i 's|192.168.4.10|10.90.1.77|' $SAFE/modules/mirror/conf/userconfig.xml; holdfast config -m mirror";
        lab.exec(node, &["sh", "-c", install]).expect("a module");
    }
    run(&lab, NODE, "holdfast prim -m mirror");
    let state = |lab: &Lab| lab.exec(NODE, &["holdfast", "state", "-m", "mirror"]).unwrap_or_default();
    wait_until("ALONE", SOON, || state(&lab).contains("ALONE (green)")).expect("a primary");
    the_journal_has_the_modules_log(&lab);
    let heart = run(&lab, NODE, "cat /var/holdfast/run/mirror/heart.pid");
    let before = main_pid(&lab, NODE);
    run(&lab, NODE, "systemctl kill --kill-whom=main --signal=KILL holdfast");
    wait_for_next(&lab, NODE, &before, SOON);
    assert_eq!(run(&lab, NODE, "cat /var/holdfast/run/mirror/heart.pid"), heart, "the heart lived on");
    wait_until("ALONE", SOON, || state(&lab).contains("ALONE (green)")).expect("adopted by the next daemon");
    run(&lab, NODE, "systemctl stop holdfast");
    run(&lab, NODE, "test ! -e /var/holdfast/run/mirror/heart.sock");
    the_machine_is_restarted(&lab, "node2");
}

/// Lines of the log are entries of the journal, once, with fields to choose by.
fn the_journal_has_the_modules_log(lab: &Lab) {
    let chosen =
        "journalctl --no-pager -t holdfast HOLDFAST_MODULE=mirror HOLDFAST_PROCESS=heart HOLDFAST_LEVEL=E -o cat";
    let said = || lab.exec(NODE, &["sh", "-c", chosen]).unwrap_or_default();
    wait_until("the journal", SOON, || said().contains("Local state ALONE green")).expect("an entry");
    let all = run(lab, NODE, "journalctl --no-pager -o cat");
    let times = all.lines().filter(|line| line.contains("Local state ALONE green")).count();
    assert_eq!(times, said().lines().filter(|line| line.contains("Local state ALONE green")).count(), "{all}");
}

/// `holdfast reboot`: the module is stopped in good order, then systemd restarts the machine. (A machine of namespaces only ends there.)
fn the_machine_is_restarted(lab: &Lab, node: &str) {
    let said = |command: &[&str]| lab.exec(node, command).unwrap_or_default();
    run(lab, node, "holdfast prim -m mirror");
    let alone = || said(&["holdfast", "state", "-m", "mirror"]).contains("ALONE (green)");
    wait_until("ALONE", SOON, alone).expect("a primary");
    // It may not live to see its end.
    lab.exec(node, &["holdfast", "reboot"]).ok();
    let off = || lab.exec(node, &["true"]).is_err();
    wait_until("the end of the machine", SOON, off).expect("systemd restarts it");
    lab.run("power-off", &[node]).ok();
    lab.run("power-on", &[node]).expect("power");
    wait_until("the daemon", SOON, || is_active(lab, node)).expect("started at boot");
    let log = || said(&["holdfast", "log", "-m", "mirror", "-A"]);
    wait_until("the log", SOON, || log().contains("End of stop")).expect("stopped in good order");
    assert!(log().contains("Action shutdown called by SYSTEM"), "{}", log());
    assert!(!log().contains("Previous halt unexpected"), "{}", log());
}
