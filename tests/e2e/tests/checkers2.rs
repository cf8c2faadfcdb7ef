//! The listener for health checks, and checkers that look at more than one thing: another module, a witness.

use anyhow::{Context, ensure};
use e2e::{Module, Small};
use std::time::{Duration, Instant};

const LEADER: &str = "leader";
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
    let modules = [Module::new(LEADER, "10.90.1.21", "")];
    let small = Small::up("e2e-checkers2", &["node1", "node2"], &[], &modules)?;
    load_balancers_are_told(&small).context("health checks")
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
