//! The listener for health checks, and checkers that look at more than one thing: another module, a witness.

use anyhow::{Context, ensure};
use e2e::{Module, Small};
use std::time::{Duration, Instant};

const NODES: [&str; 2] = ["node1", "node2"];
const LEADER: &str = "leader";
const FOLLOWER: &str = "follower";
/// A mirror with a `<splitbrain>` checker.
const WITNESSED: &str = "witnessed";
/// Prints the listener's process; fails while there is none.
const LISTENER: &str = "for d in /proc/[0-9]*; do
    tr '\\0' ' ' < $d/cmdline 2>/dev/null | grep -q '^[^ ]*holdfast ready $' && echo ${d#/proc/} && exit 0; done; exit 1";

fn until(what: &str, done: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done().with_context(|| what.to_owned())? {
        ensure!(began.elapsed() < Duration::from_secs(90), "{what}: not within 90 s");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Status and headers of an answer on the port for health checks, as the client gets it; `000` if there is none.
fn ask(small: &Small, node: u8, path: &str) -> anyhow::Result<String> {
    let url = format!("http://10.90.1.{node}:9010{path}");
    small.sh("client", &format!("curl -s -m 5 -i {url} || echo 000"))
}

fn becomes(small: &Small, node: u8, module: &str, status: &str) -> anyhow::Result<()> {
    let path = format!("/var/modules/{module}/ready.txt");
    until(&format!("{path} of node{node} is {status}"), || {
        Ok(ask(small, node, &path)?.starts_with(&format!("HTTP/1.1 {status} ")))
    })
}

fn run_of(small: &Small, node: u8, module: &str) -> anyhow::Result<String> {
    let answer = ask(small, node, &format!("/var/modules/{module}/ready.txt"))?;
    let run = answer.lines().find_map(|line| line.strip_prefix("Holdfast-Run: "));
    Ok(run.with_context(|| answer.clone())?.trim().to_owned())
}

#[test]
fn another_module_is_looked_at() {
    look().unwrap_or_else(|error| panic!("{error:?}"));
}

fn look() -> anyhow::Result<()> {
    let modules = [Module::new(LEADER, "10.90.1.21", ""), Module::new(WITNESSED, "10.90.1.22", "")];
    let small = Small::up("e2e-checkers2", &NODES, &[], &modules)?;
    a_follower_waits_for_its_leader(&small).context("leader and follower")?;
    load_balancers_are_told(&small).context("health checks")?;
    a_follower_goes_with_its_leader(&small).context("leader and follower")?;
    one_of_two_nodes_reaches_the_witness(&small).context("split brain")
}

/// Reference 004, 15.13: a light module on each node, which depends on a mirror.
fn a_follower_waits_for_its_leader(small: &Small) -> anyhow::Result<()> {
    let userconfig = format!(
        r#"<safe><service mode="light" maxloop="50">
        <check><module name="{LEADER}"><to addr="127.0.0.1" interval="1s" timeout="2s"/></module></check>
        <user/><failover handle_time="5000" period="1000"></failover></service></safe>"#
    );
    for node in NODES {
        small.sh(
            node,
            &format!(
                "set -e; umask 022; d=/var/small/{FOLLOWER}; mkdir -p $d/conf $d/bin; cat > $d/conf/userconfig.xml <<'END'\n{userconfig}\nEND
                 mkdir -p $SAFE/private/modules/{FOLLOWER}; echo 3 > $SAFE/private/modules/{FOLLOWER}/id
                 printf '#!/bin/sh\necho started >> /run/{FOLLOWER}.starts\n' > $d/bin/start_both
                 printf '#!/bin/sh\necho stopped\n' > $d/bin/stop_both; chmod 755 $d/bin/*
                 holdfast module install -m {FOLLOWER} $d; holdfast config -m {FOLLOWER}; holdfast start -m {FOLLOWER}"
            ),
        )?;
        small.wait(FOLLOWER, &[(node, "WAIT", "red")])?;
        let lines = [
            "Resource module.leader_127.0.0.1 set to down by modulecheck",
            "Action wait from failover rule module_failure",
        ];
        small.said(FOLLOWER, node, 0, &lines)?;
    }
    Ok(())
}

/// The leader is PRIM on node2 by now.
fn a_follower_goes_with_its_leader(small: &Small) -> anyhow::Result<()> {
    small.wait(FOLLOWER, &[("node2", "UP", "green"), ("node1", "WAIT", "red")])?;
    let mark = small.mark(FOLLOWER, "node2")?;
    small.holdfast("node2", &["restart", "-m", LEADER])?;
    small.said(FOLLOWER, "node2", mark, &["Action stopstart called by modulecheck", "Local state UP green"])?;
    small.holdfast("node2", &["swap", "-m", LEADER])?;
    small.wait(FOLLOWER, &[("node1", "UP", "green"), ("node2", "WAIT", "red")])?;
    for node in NODES {
        small.holdfast(node, &["stop", "-m", FOLLOWER])?;
    }
    for node in ["node2", "node1"] {
        small.holdfast(node, &["stop", "-m", LEADER])?;
        small.wait(LEADER, &[(node, "STOP", "red")])?;
    }
    Ok(())
}

/// Reference 004, 13.17. The client is the witness.
fn one_of_two_nodes_reaches_the_witness(small: &Small) -> anyhow::Result<()> {
    let check = "<splitbrain ident=\"witness\" exec=\"ping\" arg=\"10.90.1.200 10.90.1.100\"/>";
    for node in NODES {
        let file = format!("$SAFE/modules/{WITNESSED}/conf/userconfig.xml");
        small
            .sh(node, &format!("set -e; sed -i 's|<check>|<check>{check}|' {file}; holdfast config -m {WITNESSED}"))?;
    }
    small.first_start(WITNESSED, "node1", "node2")?;
    let marks = [small.mark(WITNESSED, "node1")?, small.mark(WITNESSED, "node2")?];
    small.lab.run("partition", &["node1", "client"])?;
    small.said(WITNESSED, "node1", marks[0], &["Resource splitbrain.witness set to down by splitbraincheck"])?;
    small.wait(WITNESSED, &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")])?;
    small.lab.run("partition", &["node1", "node2"])?;
    until("the other node is primary", || {
        let before = has_address(small, "node1")?;
        let (other, state) = (has_address(small, "node2")?, small.state(WITNESSED, "node2"));
        ensure!(!(before && other && has_address(small, "node1")?), "both nodes have the address");
        Ok(state.is_some_and(|(state, colour)| state == "ALONE" && colour == "green"))
    })?;
    small.wait(WITNESSED, &[("node1", "WAIT", "red"), ("node2", "ALONE", "green")])?;
    let lines = [
        "Resource splitbrain.uptodate set to down by splitbraincheck",
        "Action wait from failover rule splitbrain_failure",
        "Local state WAIT red",
    ];
    small.said(WITNESSED, "node1", marks[0], &lines)?;
    small.silent(WITNESSED, "node1", marks[0], &["Local state ALONE"])?;
    small.sh("node2", &format!("echo by node2 > /data/{WITNESSED}/one && sync /data/{WITNESSED}/one"))?;
    small.lab.run("heal", &[])?;
    small.wait(WITNESSED, &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")])?;
    small.silent(WITNESSED, "node1", marks[0], &["Both nodes went on by themselves"])?;
    ensure!(small.sh("node1", &format!("cat /data/{WITNESSED}/one"))?.trim() == "by node2", "the data follows");
    Ok(())
}

fn has_address(small: &Small, node: &str) -> anyhow::Result<bool> {
    Ok(small.sh(node, "ip -o address show")?.contains(" 10.90.1.22/"))
}

/// Reference 004, 13.5.3.
fn load_balancers_are_told(small: &Small) -> anyhow::Result<()> {
    for node in [1, 2] {
        becomes(small, node, LEADER, "404")?;
    }
    small.first_start(LEADER, "node1", "node2")?;
    becomes(small, 1, LEADER, "200")?;
    becomes(small, 2, LEADER, "404")?;
    let first = run_of(small, 1, LEADER)?;
    small.holdfast("node1", &["restart", "-m", LEADER])?;
    until("the application runs anew", || Ok(run_of(small, 1, LEADER).is_ok_and(|run| run != first)))?;
    small.holdfast("node1", &["swap", "-m", LEADER])?;
    becomes(small, 2, LEADER, "200")?;
    becomes(small, 1, LEADER, "404")?;
    strangers_get_nothing(small)?;
    let before = small.sh("node2", LISTENER)?;
    small.lab.run("kill", &["node2", "daemon"])?;
    until("another daemon's listener", || Ok(small.sh("node2", LISTENER).is_ok_and(|now| now != before)))?;
    becomes(small, 2, LEADER, "200").context("after the daemon's death")?;
    small.wait(LEADER, &[("node2", "PRIM", "green"), ("node1", "SECOND", "green")])
}

/// The process that reads what they send has no rights, no files and no network.
fn strangers_get_nothing(small: &Small) -> anyhow::Result<()> {
    let health = ask(small, 1, "/health")?;
    ensure!(health.starts_with("HTTP/1.1 200 "), "{health}");
    for path in ["/", "/var/modules/../../etc/passwd", "/var/cluster/cluster.key"] {
        let said = small.sh("client", &format!("curl -s -m 5 -i --path-as-is http://10.90.1.1:9010{path}"))?;
        ensure!(said.starts_with("HTTP/1.1 404 "), "{path}: {said}");
    }
    let process = small.sh(
        "node1",
        &format!(
            "p=$({LISTENER})
         grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs):' /proc/$p/status; echo root $(ls -A /proc/$p/root/ | wc -l)
         echo net $(wc -l < /proc/$p/net/dev)"
        ),
    )?;
    for part in [
        "Uid:\t65534\t65534",
        "Gid:\t65534\t65534",
        "Groups:\t \n",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        "root 0",
        "net 3",
    ] {
        ensure!(process.contains(part), "{part:?} in {process}");
    }
    Ok(())
}
