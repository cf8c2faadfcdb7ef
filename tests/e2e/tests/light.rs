//! Light modules, alone and as followers of a mirror module on the same nodes (reference 004, 6.2 and 15.13).

use anyhow::{Context, ensure};
use e2e::{Small, wait_until};
use std::time::Duration;

const NODES: [&str; 2] = ["node1", "node2"];
/// What is waited for comes in seconds; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// On every node: a light module, and a leader with a follower. Their applications are files; every call of a script is noted.
const INSTALL: &str = r#"set -e
umask 022
modules=$SAFE/modules packages=$SAFE/Application_Modules
for module in light follower; do
    holdfast module install -m $module $packages/$module.safe
    for verb in start stop; do
        cat > $modules/$module/bin/${verb}_both <<'END'
#!/bin/sh
echo "${0##*/} $*" >> "$SAFEUSERVAR/calls"
case "${0##*/} ${1:-}" in start*) touch "/run/$SAFEMODULE.runs" ;; *) rm -f "/run/$SAFEMODULE.runs" ;; esac
END
    done
    holdfast config -m $module
done
sed -i 's|<user |<failover><![CDATA[app: if (custom.app == down) then restart();]]></failover><user |' $modules/light/conf/userconfig.xml
holdfast config -m light
mkdir -p /test1replicated
holdfast module install -m leader $packages/leader.safe
sed -i -e 's|192.168.4.10|10.90.1.30|' -e 's|pulse="700" timeout="30000"|pulse="200" timeout="2000"|' $modules/leader/conf/userconfig.xml
holdfast config -m leader
"#;

fn runs(small: &Small, node: &str, module: &str) -> bool {
    small.runs(module, node).unwrap_or(false)
}

fn calls(small: &Small, node: &str, module: &str) -> anyhow::Result<String> {
    let file = format!("$SAFEVAR/modules/{module}/calls");
    small.sh(node, &format!("cat {file} | tr '\\n' ';'; : > {file}"))
}

/// It may never have been started there, so its log need not say so.
fn is_stopped(small: &Small, module: &str, node: &str) -> bool {
    small.state(module, node).is_some_and(|(state, colour)| state == "STOP" && colour == "red")
}

fn refused(small: &Small, node: &str, command: &str) -> anyhow::Result<String> {
    match small.sh(node, &format!("holdfast {command} 2>&1")) {
        Ok(said) => anyhow::bail!("{command} was not refused: {said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn light_modules_alone_and_with_a_leader() {
    follow().unwrap_or_else(|error| panic!("{error:?}"));
}

fn follow() -> anyhow::Result<()> {
    let small = Small::up("e2e-light", &NODES, &[], &[])?;
    for node in NODES {
        small.sh(node, INSTALL)?;
    }
    it_lives_by_itself(&small).context("a light module")?;
    what_is_for_pairs_is_refused(&small).context("commands about two nodes")?;
    its_heart_dies(&small).context("the death of its heart")?;
    it_follows_a_leader(&small).context("leader and follower")
}

fn it_lives_by_itself(small: &Small) -> anyhow::Result<()> {
    small.holdfast("node1", &["start", "-m", "light"])?;
    small.wait("light", &[("node1", "UP", "green")])?;
    ensure!(is_stopped(small, "light", "node2"), "each node is a module of its own");
    let state = small.sh("node1", "holdfast state -m light -lq || echo $?")?;
    ensure!(state.split_whitespace().collect::<Vec<_>>() == ["UP", "2"], "{state}");
    ensure!(runs(small, "node1", "light") && !runs(small, "node2", "light"));
    let called = calls(small, "node1", "light")?;
    let expected = "stop_both STOP WAIT start;stop_both force STOP WAIT start;start_both WAIT UP start;";
    ensure!(called == expected, "{called}");
    let mark = small.mark("light", "node1")?;
    small.holdfast("node1", &["set", "-m", "light", "-r", "custom.app", "-v", "down"])?;
    small.said(
        "light",
        "node1",
        mark,
        &["Action restart from failover rule app", "Local state UP magenta", "Local state UP green"],
    )?;
    small.holdfast("node1", &["set", "-m", "light", "-r", "custom.app", "-v", "up"])?;
    small.sh(
        "node1",
        "sed -i 's|maxloop=\"3\"|maxloop=\"4\"|' $SAFE/modules/light/conf/userconfig.xml; holdfast config -m light",
    )?;
    small.holdfast("node2", &["start", "-m", "light"])?;
    small.wait("light", &[("node1", "UP", "green"), ("node2", "UP", "green")])?;
    small.holdfast("node2", &["stop", "-m", "light"])?;
    small.wait("light", &[("node1", "UP", "green"), ("node2", "STOP", "red")])?;
    ensure!(runs(small, "node1", "light") && !runs(small, "node2", "light"));
    small.silent("light", "node1", 0, &["Remote state", "Reason of failover"])
}

fn what_is_for_pairs_is_refused(small: &Small) -> anyhow::Result<()> {
    for node in NODES {
        for command in ["prim", "second", "swap", "failover off"] {
            let said = refused(small, node, &format!("{command} -m light"))?;
            ensure!(said.contains("this is a light module"), "{command} on {node}: {said}");
        }
    }
    Ok(())
}

fn its_heart_dies(small: &Small) -> anyhow::Result<()> {
    let mark = small.mark("light", "node1")?;
    calls(small, "node1", "light")?;
    small.lab.run("kill", &["node1", "heart", "--module", "light"])?;
    small.said("light", "node1", mark, &["Local state UP green"])?;
    let called = calls(small, "node1", "light")?;
    ensure!(
        called.starts_with("stop_both UP STOP stopstart;") && called.ends_with("start_both WAIT UP start;"),
        "{called}"
    );
    small.holdfast("node1", &["stop", "-m", "light"])?;
    small.wait("light", &[("node1", "STOP", "red")])
}

/// The follower's application runs where the leader is primary, and nowhere else once the leader is green.
fn it_follows_a_leader(small: &Small) -> anyhow::Result<()> {
    let follows = |node: &'static str, other: &'static str| -> anyhow::Result<()> {
        small.wait("follower", &[(node, "UP", "green")])?;
        wait_until("the follower's stop", PATIENCE, || is_stopped(small, "follower", other))?;
        ensure!(runs(small, node, "follower") && !runs(small, other, "follower"), "the application is elsewhere");
        Ok(())
    };
    small.first_start("leader", "node1", "node2")?;
    follows("node1", "node2")?;
    // Stopped and started without the leader.
    small.holdfast("node1", &["stop", "-m", "follower"])?;
    small.wait("follower", &[("node1", "STOP", "red")])?;
    small.wait("leader", &[("node1", "PRIM", "green"), ("node2", "SECOND", "green")])?;
    small.holdfast("node1", &["start", "-m", "follower"])?;
    follows("node1", "node2")?;
    wait_until("a swap", PATIENCE, || small.holdfast("node1", &["swap", "-m", "leader"]).is_ok())?;
    small.wait("leader", &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")])?;
    follows("node2", "node1")?;
    small.lab.run("power-off", &["node2"])?;
    small.wait("leader", &[("node1", "ALONE", "green")])?;
    small.wait("follower", &[("node1", "UP", "green")])?;
    small.holdfast("node1", &["stop", "-m", "leader"])?;
    small.wait("leader", &[("node1", "STOP", "red")])?;
    small.wait("follower", &[("node1", "STOP", "red")])
}
