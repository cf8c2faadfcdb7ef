//! What strangers, recordings and damaged files can do to a running pair: nothing but be counted and named.

use e2e::{Machine, Pair, Recorder, Settings, wait_until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

const WIRE: &str = env!("CARGO_BIN_EXE_wire");
const HEART: &str = "8888";
const RFS: &str = "5600";
const MEMBERSHIP: &str = "4800";

#[test]
fn strangers_and_recordings_change_nothing() {
    let pair = Pair::start("e2e-host", Settings::default()).expect("a pair in step");
    let machine = Machine::watch().expect("the measurement");
    let recorder = Recorder::start(&pair).expect("a load");
    let (primary, secondary) = pair.roles().expect("roles");
    assert_eq!((primary, secondary), ("node1", "node2"));
    let wire = |node: &str, args: &[&str]| {
        let command: Vec<&str> = [WIRE].iter().chain(args).copied().collect();
        pair.lab.exec(node, &command).expect("the attacker")
    };

    // Noise under the other node's address, on both kinds of datagram; noise on the replication's port of both nodes.
    wire("client", &["noise", "udp", "10.90.1.2", "10.90.1.1", HEART]);
    wire("client", &["noise", "udp", "10.90.1.2", "10.90.1.1", MEMBERSHIP]);
    wire("client", &["noise", "tcp", "10.90.2.100", "10.90.2.2", RFS]);
    wire("client", &["noise", "tcp", "10.90.2.100", "10.90.2.1", RFS]);
    // True heartbeats of node2, said again to node1 while both live.
    assert_eq!(wire("node1", &["record", HEART, "40", "/var/e2e.heartbeats"]).trim(), "40");
    let recorded = pair.lab.exec("node1", &["base64", "-w0", "/var/e2e.heartbeats"]).expect("the recording");
    let carry = format!("echo '{}' | base64 -d > /tmp/e2e.heartbeats", recorded.trim());
    pair.lab.exec("client", &["sh", "-c", &carry]).expect("carrying the recording");
    let replay = || wire("client", &["replay", "10.90.1.2", "10.90.1.1", HEART, "/tmp/e2e.heartbeats"]);
    replay();
    assert_eq!(pair.roles().expect("still in step"), (primary, secondary));
    // They tell it now and then.
    let says = |module: &str, text: &str| {
        let log = || pair.holdfast(primary, &["log", "-m", module, "-A", "-s", "1000"]).unwrap_or_default();
        let told = wait_until(text, PATIENCE, || log().contains(text));
        told.unwrap_or_else(|_| panic!("{module} doesn't tell what it dropped:\n{}", log()));
    };
    says("postgresql", "Heartbeats dropped so far: ");
    says("safeadmin", "datagram");
    let mut load = recorder.stop(&pair).expect("the load's summary");
    load.allowance_ms = machine.allowance_ms().expect("what the machine was late");
    load.at_most("the longest gap, with strangers", load.longest_gap_ms, 1000).expect("nobody was held up");
    assert_eq!(load.in_doubt, 0, "no commit ended in an error");
    Recorder::verify(&pair).expect("nothing is missing");

    // The dead don't come back by a recording: neither for the heart that knew them, nor for one that was started since.
    pair.lab.run("power-off", &[secondary]).expect("a power cut");
    pair.wait_state(primary, "ALONE").expect("alone");
    replay();
    assert_heartbeats_down(&pair, primary);
    pair.holdfast(primary, &["stop", "-m", "postgresql"]).expect("a stop");
    pair.wait_state(primary, "STOP").expect("stopped");
    pair.holdfast(primary, &["start", "-m", "postgresql"]).expect("a start");
    replay();
    std::thread::sleep(Duration::from_millis(500));
    assert_heartbeats_down(&pair, primary);
}

fn assert_heartbeats_down(pair: &Pair, node: &str) {
    let text = pair.holdfast(node, &["state", "-m", "postgresql", "-v", "-o", "json"]).expect("the state");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let modules = value["modules"].as_array().expect("modules");
    let own = modules.iter().find(|m| m["node"] == node).expect("the own node");
    let up: Vec<&serde_json::Value> = own["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .filter(|r| r["name"].as_str().is_some_and(|name| name.starts_with("heartbeat.")) && r["value"] == "up")
        .collect();
    assert!(up.is_empty(), "a recording counts as alive: {up:?}");
}

#[test]
fn damaged_packages_and_configurations_are_named_and_harm_nothing() {
    let pair = Pair::start("e2e-bad", Settings::default()).expect("a pair in step");
    let fails = |script: &str| match pair.lab.exec("node1", &["sh", "-c", script]) {
        Ok(output) => panic!("{script} was accepted: {output}"),
        Err(error) => format!("{error:#}"),
    };
    let garbage = fails("head -c 5000 /dev/urandom > /tmp/g.safe; holdfast module install -m g /tmp/g.safe");
    assert!(garbage.contains("/tmp/g.safe"), "{garbage}");
    let bad = fails(
        "f=/opt/holdfast/modules/postgresql/conf/userconfig.xml; sed -i 's/<rfs async=/<rfs asinc=/; s/<heartbeat name=\"repli\"/<heartbeat name=\"nowhere\"/' $f
         holdfast confcheck -m postgresql 2>&1; code=$?; grep -n 'asinc\\|nowhere' $f; exit $code",
    );
    for part in ["asinc", "async", "nowhere", "userconfig.xml:"] {
        assert!(bad.contains(part), "{part:?} is missing in:\n{bad}");
    }
    // Every mistake is shown with the line that grep finds it in.
    for line in bad.lines().filter(|line| line.contains("asinc=") || line.contains("name=\"nowhere\"")) {
        if let Some((number, _)) = line.split_once(':').filter(|(number, _)| number.parse::<u32>().is_ok()) {
            assert!(bad.contains(&format!("userconfig.xml:{number}:")), "line {number} is not named in:\n{bad}");
        }
    }
    assert_eq!(pair.roles().expect("still in step"), ("node1", "node2"));
}
