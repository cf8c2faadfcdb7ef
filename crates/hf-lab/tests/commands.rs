//! What each command does, as its page says (docs/user/lab.md).

mod common;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Lab, eventually};

/// What comes at once or never; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn wrong_names_get_one_line_and_code_2() {
    let lab = Lab::up("names", &["--nodes", "1"]);
    let cases: &[&[&str]] = &[
        &["exec", "node9", "--", "true"],
        &["power-off", "node2"],
        &["power-off", "client"],
        &["unplug", "node1", "repl"],
        &["partition", "node1", "node3"],
        &["partition", "node1", "node1"],
        &["freeze", "client"],
        &["kill", "node1", "web"],
        &["kill", "node7", "heart"],
        &["up"],
    ];
    for case in cases {
        let output = lab.run(case);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{case:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{case:?}: {text}");
    }
    let nobody = Lab::unused("nobody");
    for case in [&["status"][..], &["down"], &["up", "--init", "openrc"], &["up", "--nodes", "0"]] {
        assert_eq!(nobody.run(case).status.code(), Some(2), "{case:?}");
    }
    assert!(!nobody.run_dir().exists());
}

#[test]
fn exec_passes_code_input_output_and_signals() {
    let lab = Lab::up("exec", &["--nodes", "1"]);
    assert_eq!(lab.sh("node1", "exit 7").status.code(), Some(7));
    assert_eq!(lab.sh("node1", "kill -9 $$").status.code(), Some(137));
    let output = lab.sh("node1", "echo out; echo err >&2");
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");

    let mut child = lab
        .command(&["exec", "client", "--", "tr", "a-z", "A-Z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through\n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"THROUGH\n");

    // What runs inside ends with the command on the host.
    let mut child = lab.background("node1", "exec sleep 4711");
    let is_sleep = |pid: i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c == b"sleep\x004711\x00");
    let runs = || lab.pids().into_iter().any(is_sleep);
    eventually("sleep runs", PATIENCE, runs);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("sleep ends", PATIENCE, || !runs());
}

#[test]
fn a_node_is_a_machine_of_its_own() {
    let lab = Lab::up("own", &[]);
    let ask = |node: &str, script: &str| lab.sh_ok(node, script).trim().to_owned();
    assert_eq!(ask("node1", "hostname; cat /etc/hostname"), "node1\nnode1");
    for own in [
        "cat /proc/sys/kernel/random/boot_id",
        "cat /etc/machine-id",
        "readlink /proc/self/ns/ipc",
        "readlink /proc/self/ns/net",
    ] {
        assert_ne!(ask("node1", own), ask("node2", own), "{own}");
    }
    assert_eq!(
        ask("node1", "echo $SAFE $SAFEVAR; command -v holdfast; command -v safekit"),
        "/opt/holdfast /var/holdfast\n/opt/holdfast/holdfast\n/opt/holdfast/safekit"
    );
    assert_eq!(ask("node2", "cat /proc/1/cgroup | grep ^0"), "0::/init.scope");
    let addresses = ask("node2", "ip -o addr show scope global | awk '{print $2, $4}'");
    for address in ["eth0 10.90.1.2/24", "eth1 10.90.2.2/24", "eth0 fd90:1::2/64"] {
        assert!(addresses.contains(address), "{addresses}");
    }
    // Nothing that a node writes shows on the host or on the other node.
    lab.sh_ok("node1", "echo x >/etc/of-node1; echo x >/srv/of-node1; echo x >/tmp/of-node1");
    for place in ["/etc", "/srv", "/tmp"] {
        assert!(!std::path::Path::new(place).join("of-node1").exists());
        assert!(!lab.sh("node2", &format!("test -e {place}/of-node1")).status.success());
    }
    assert!(!lab.sh("node1", "touch /usr/of-node1").status.success());
    // The cluster's configuration and its key are there, the same on both.
    let key = ask("node1", "stat -c %a /var/holdfast/cluster/cluster.key; cat /var/holdfast/cluster/cluster.key");
    assert_eq!(key.len(), "600\n".len() + 64);
    assert_eq!(
        key,
        ask("node2", "stat -c %a /var/holdfast/cluster/cluster.key; cat /var/holdfast/cluster/cluster.key")
    );
    assert!(ask("node1", "cat /var/holdfast/cluster/cluster.xml").contains("addr=\"10.90.2.2\""));
}

#[test]
fn an_unplugged_cable_has_no_carrier_and_stays_unplugged_over_a_power_cycle() {
    let lab = Lab::up("plug", &[]);
    let carrier = |card: &str| lab.sh_ok("node1", &format!("cat /sys/class/net/{card}/carrier")).trim().to_owned();
    assert!(lab.reaches("node1", "node2-repli"));
    lab.ok(&["unplug", "node1", "repli"]);
    assert_eq!((carrier("eth0"), carrier("eth1")), ("1".into(), "0".into()));
    assert!(!lab.reaches("node2", "node1-repli"));
    assert!(lab.reaches("node2", "node1"));
    lab.ok(&["power-off", "node1"]);
    lab.ok(&["power-on", "node1"]);
    assert_eq!(carrier("eth1"), "0");
    lab.ok(&["plug", "node1", "repli"]);
    assert_eq!(carrier("eth1"), "1");
    assert!(lab.reaches("node2", "node1-repli"));
}

#[test]
fn a_partition_keeps_the_carrier_and_the_client() {
    let lab = Lab::up("part", &["--nodes", "3"]);
    lab.ok(&["partition", "node1", "node2"]);
    for (from, to, reached) in [
        ("node1", "node2", false),
        ("node2", "node1-repli", false),
        ("node1", "node3", true),
        ("client", "node1", true),
        ("client", "node2-repli", true),
    ] {
        assert_eq!(lab.reaches(from, to), reached, "{from} to {to}");
    }
    assert_eq!(lab.sh_ok("node1", "cat /sys/class/net/eth0/carrier"), "1\n");
    lab.ok(&["heal"]);
    assert!(lab.reaches("node1", "node2"));
    lab.ok(&["partition", "node1", "node2", "--lan", "repli"]);
    assert!(lab.reaches("node1", "node2"));
    assert!(!lab.reaches("node1", "node2-repli"));
}

#[test]
fn a_one_way_partition_drops_only_what_the_first_sends() {
    let lab = Lab::up("oneway", &["--lan", "default"]);
    assert!(lab.reaches("node1", "node2"));
    lab.ok(&["partition", "node1", "node2", "--one-way"]);
    // Ask and answer each way: node2 still hears nothing of node1, node1 hears node2.
    let received = |node: &str| -> u64 {
        let text = lab.sh_ok(node, "nstat -asz IcmpInMsgs | awk '/IcmpInMsgs/{print $2}'");
        text.trim().parse().unwrap()
    };
    let before = (received("node1"), received("node2"));
    // Neighbours are known from before, so that only the ping itself crosses.
    lab.sh("node2", "ping -c 3 -i 0.2 -W 1 node1");
    lab.sh("node1", "ping -c 3 -i 0.2 -W 1 node2");
    assert!(received("node1") >= before.0 + 3);
    assert_eq!(received("node2"), before.1);
}

#[test]
fn a_frozen_node_is_silent_and_its_kernel_answers_only_with_process_only() {
    let lab = Lab::up("freeze", &["--lan", "default"]);
    let mut counter = lab.background("node1", "while :; do date +%s%N > /tmp/t; sleep 0.01; done");
    let value = || std::fs::read_to_string(format!("/proc/{}/root/tmp/t", init_of(&lab, "node1")));
    eventually("the counter runs", PATIENCE, || value().is_ok());
    lab.ok(&["freeze", "node1"]);
    let stood = value().unwrap();
    assert!(!lab.reaches("client", "node1"));
    assert_eq!(value().unwrap(), stood);
    assert_eq!(lab.status()["machines"][0]["power"], "frozen");
    lab.ok(&["thaw", "node1"]);
    eventually("it goes on", PATIENCE, || value().unwrap() != stood);
    assert!(lab.reaches("client", "node1"));
    lab.ok(&["freeze", "node1", "--process-only"]);
    assert!(lab.reaches("client", "node1"));
    lab.ok(&["thaw", "node1"]);
    counter.kill().unwrap();
    counter.wait().unwrap();
}

/// The host's number of a machine's PID 1.
fn init_of(lab: &Lab, machine: &str) -> i64 {
    let text = std::fs::read_to_string(lab.run_dir().join(format!("{machine}.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["init"]["pid"].as_i64().unwrap()
}

#[test]
fn reboot_keeps_what_was_written_and_gives_a_fresh_boot_id() {
    let lab = Lab::up("reboot", &["--nodes", "1"]);
    let boot_id = || lab.sh_ok("node1", "cat /proc/sys/kernel/random/boot_id");
    let before = boot_id();
    lab.sh_ok("node1", "echo not-synced > /srv/file");
    lab.ok(&["reboot", "node1"]);
    assert_eq!(lab.sh_ok("node1", "cat /srv/file"), "not-synced\n");
    assert_ne!(boot_id(), before);
}

#[test]
fn two_labs_live_side_by_side_and_two_nodes_are_up_in_time() {
    let started = Instant::now();
    let one = Lab::up("one", &[]);
    println!("two nodes were up after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let two = Lab::up("two", &[]);
    one.sh_ok("node1", "echo one > /srv/who");
    assert!(!two.sh("node1", "test -e /srv/who").status.success());
    two.ok(&["down"]);
    assert!(one.reaches("client", "node2"));
    assert_eq!(one.sh_ok("node1", "cat /srv/who"), "one\n");
}

#[test]
fn a_disk_fails_slows_and_heals_and_a_new_one_is_empty() {
    let lab = Lab::up("disk", &["--nodes", "1"]);
    let synced = |name: &str| lab.sh("node1", &format!("echo x > /srv/{name} && sync /srv/{name}"));
    assert!(synced("before").status.success());
    lab.ok(&["disk", "node1", "slow", "1s"]);
    let started = Instant::now();
    assert!(synced("slow").status.success());
    let slow = started.elapsed();
    assert!(slow > Duration::from_secs(1));
    lab.ok(&["disk", "node1", "heal"]);
    let started = Instant::now();
    assert!(synced("healed").status.success());
    assert!(started.elapsed() < slow, "{:?} after {slow:?}", started.elapsed());
    lab.ok(&["disk", "node1", "eio"]);
    assert!(!synced("failing").status.success());
    // A disk that hangs does not hold up a power cut.
    lab.ok(&["disk", "node1", "hang"]);
    let mut hung = lab.background("node1", "sync");
    std::thread::sleep(Duration::from_millis(200));
    lab.ok(&["power-off", "node1"]);
    hung.wait().unwrap();
    lab.ok(&["power-on", "node1"]);
    assert_eq!(lab.sh_ok("node1", "ls /srv"), "before\nhealed\nslow\n");
    assert_eq!(lab.run(&["disk", "node1", "replace"]).status.code(), Some(1));
    lab.ok(&["power-off", "node1"]);
    lab.ok(&["disk", "node1", "replace"]);
    lab.ok(&["power-on", "node1"]);
    assert_eq!(lab.sh_ok("node1", "ls /srv"), "");
    assert_eq!(lab.run(&["disk", "node1", "slow"]).status.code(), Some(2));
}

#[test]
fn a_full_disk_is_full_until_unfilled() {
    let lab = Lab::up("fill", &["--nodes", "1"]);
    let write = |mib: u32| {
        let script = format!("dd if=/dev/zero of=/srv/f bs=1M count={mib} conv=fsync 2>&1");
        lab.sh("node1", &script)
    };
    lab.ok(&["fill", "node1", "--leave", "8M"]);
    assert!(write(2).status.success());
    let full = write(20);
    assert!(!full.status.success());
    assert!(String::from_utf8_lossy(&full.stdout).contains("No space left"));
    lab.ok(&["unfill", "node1"]);
    assert!(write(20).status.success());
    lab.sh_ok("node1", "rm /srv/f");
    lab.ok(&["fill", "node1"]);
    assert!(!write(1).status.success());
    lab.ok(&["unfill", "node1"]);
}

#[test]
fn a_bad_link_is_slow_and_loses_frames_and_stays_bad_over_a_power_cycle() {
    let lab = Lab::up("shape", &["--lan", "default"]);
    let answered = |count: u32| -> u32 {
        let script = format!("ping -q -n -i 0.01 -c {count} -W 1 node1");
        let text = String::from_utf8_lossy(&lab.sh("node2", &script).stdout).into_owned();
        let before = text.split(" received").next().unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(answered(50), 50);
    lab.ok(&["shape", "node1", "default", "--loss", "30%", "--rate", "1mbit"]);
    let lossy = |n: u32| (40..180).contains(&n);
    let got = answered(200);
    assert!(lossy(got), "{got} of 200 with 30% each way");
    lab.ok(&["power-off", "node1"]);
    lab.ok(&["power-on", "node1"]);
    let got = answered(200);
    assert!(lossy(got), "{got} of 200 after the power cycle");
    assert!(lab.sh_ok("node1", "tc qdisc show dev eth0").contains("rate 1Mbit"));
    lab.ok(&["unshape", "node1", "default"]);
    assert_eq!(answered(50), 50);
    let delayed = lab.run(&["shape", "node1", "default", "--delay", "5ms"]);
    // With netem it works; without, the error says what is missing.
    let text = String::from_utf8_lossy(&delayed.stderr);
    assert!(delayed.status.success() || text.contains("netem"), "{text}");
    assert_eq!(lab.run(&["shape", "node1", "default"]).status.code(), Some(2));
}
