//! A farm on two nodes, which depends on a mirror module on the same two (reference 004, 4.3, 6.2 and 15.3).

use anyhow::{Context, ensure};
use e2e::{Module, Small, wait_until};
use std::time::Duration;

const NODES: [&str; 2] = ["node1", "node2"];
const DB: &str = "db";
const DB_ADDRESS: &str = "10.90.1.26";
/// What is waited for comes in seconds; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// On every node: the farm of the package. Its application is a file.
const INSTALL: &str = r#"set -e
umask 022
holdfast module install -m web $SAFE/Application_Modules/farm.safe
for verb in start stop; do
    cat > $SAFE/modules/web/bin/${verb}_both <<'END'
#!/bin/sh
case "${0##*/} ${1:-}" in start*) touch "/run/$SAFEMODULE.runs" ;; *) rm -f "/run/$SAFEMODULE.runs" ;; esac
END
done
sed -i -e 's|192.168.4.20|10.90.1.27|' -e 's|maxloop="3"|maxloop="50"|' -e 's|<user |<check><module name="db" ident="db"><to addr="10.90.1.26" interval="1s" timeout="2s"/></module></check>\n<failover period="1000" handle_time="5000"><![CDATA[app: if (custom.app == down) then stopstart();]]></failover>\n<user |' $SAFE/modules/web/conf/userconfig.xml
holdfast config -m web 2>&1
"#;

fn is(small: &Small, node: &str, state: &str, colour: &str) -> bool {
    small.state("web", node).is_some_and(|now| now == (state.to_owned(), colour.to_owned()))
}

fn both(small: &Small, state: &str, colour: &str) -> anyhow::Result<()> {
    let what = format!("{state} ({colour}) on both");
    wait_until(&what, PATIENCE, || NODES.iter().all(|node| is(small, node, state, colour)))
}

fn runs(small: &Small, node: &str) -> bool {
    small.runs("web", node).unwrap_or(false)
}

#[test]
fn a_farm_beside_the_mirror_that_it_needs() {
    farm().unwrap_or_else(|error| panic!("{error:?}"));
}

fn farm() -> anyhow::Result<()> {
    let small = Small::up("e2e-farm", &NODES, &[], &[Module::new(DB, DB_ADDRESS, "")])?;
    for node in NODES {
        let said = small.sh(node, INSTALL)?;
        ensure!(said.contains("accepted, not applied yet"), "config says what comes later: {said}");
    }
    it_waits_for_the_mirror(&small).context("a farm and the mirror that it needs")?;
    one_node_fails_and_the_other_goes_on(&small).context("one node of a farm")?;
    it_begins_anew_with_the_mirror(&small).context("a mirror that moves")
}

/// 15.3: it starts only when the mirror module is started.
fn it_waits_for_the_mirror(small: &Small) -> anyhow::Result<()> {
    for node in NODES {
        small.holdfast(node, &["start", "-m", "web"])?;
    }
    both(small, "WAIT", "red")?;
    for node in NODES {
        small.said("web", node, 0, &["Action wait from failover rule module_failure"])?;
        ensure!(!runs(small, node), "{node} runs it without the mirror");
    }
    small.first_start(DB, "node1", "node2")?;
    both(small, "UP", "green")?;
    ensure!(NODES.iter().all(|node| runs(small, node)), "the application runs on both");
    let ports = small.sh("node1", "holdfast module getports -m web")?;
    ensure!(ports.contains("4806"), "the second module: {ports}");
    let held = small.sh("node1", "ip -4 addr show to 10.90.1.27")?;
    ensure!(held.trim().is_empty(), "no address is set yet: {held}");
    for node in NODES {
        let said = small.sh(node, "holdfast prim -m web 2>&1 || true")?;
        ensure!(said.contains("this is a farm module"), "{said}");
    }
    Ok(())
}

/// 4.3.2 and 4.4: what happens to one is nothing to the other.
fn one_node_fails_and_the_other_goes_on(small: &Small) -> anyhow::Result<()> {
    let marks = [small.mark("web", "node1")?, small.mark("web", "node2")?];
    small.holdfast("node1", &["set", "-m", "web", "-r", "custom.app", "-v", "down"])?;
    small.said("web", "node1", marks[0], &["Action stopstart from failover rule app"])?;
    small.holdfast("node1", &["set", "-m", "web", "-r", "custom.app", "-v", "up"])?;
    both(small, "UP", "green")?;
    let mark = small.mark("web", "node1")?;
    small.holdfast("node1", &["stop", "-m", "web"])?;
    small.said("web", "node1", mark, &["End of stop", "Local state STOP red"])?;
    ensure!(!runs(small, "node1") && runs(small, "node2"), "one is stopped, the other one runs");
    small.holdfast("node1", &["start", "-m", "web"])?;
    both(small, "UP", "green")?;
    small.silent("web", "node2", marks[1], &["Local state", "Remote state"])
}

fn it_begins_anew_with_the_mirror(small: &Small) -> anyhow::Result<()> {
    let marks = [small.mark("web", "node1")?, small.mark("web", "node2")?];
    wait_until("a swap", PATIENCE, || small.holdfast("node1", &["swap", "-m", DB]).is_ok())?;
    small.wait(DB, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")])?;
    for (node, mark) in NODES.into_iter().zip(marks) {
        small.said("web", node, mark, &["Local state WAIT", "Local state UP green"])?;
    }
    both(small, "UP", "green")?;
    for node in ["node1", "node2"] {
        small.holdfast(node, &["stop", "-m", DB])?;
        small.wait(DB, &[(node, "STOP", "red")])?;
    }
    both(small, "WAIT", "red")?;
    for node in NODES {
        small.holdfast(node, &["stop", "-m", "web"])?;
    }
    both(small, "STOP", "red")
}
