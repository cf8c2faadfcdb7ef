//! What may change while a module runs: its configuration, the cluster's key and networks; and what a stall, another key or a heart's death does
//! not do.

use anyhow::{Context, ensure};
use e2e::Small;
use std::time::{Duration, Instant};

const APP: &str = "app";
const IN_STEP: [(&str, &str, &str); 2] = [("node1", "PRIM", "green"), ("node2", "SECOND", "green")];

fn until(what: &str, done: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done()? {
        ensure!(began.elapsed() < Duration::from_secs(60), "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Exchanges text in the module's edited userconfig.xml.
fn edit(small: &Small, node: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let file = format!("$SAFE/modules/{APP}/conf/userconfig.xml");
    small.sh(node, &format!("grep -q '{from}' {file} && sed -i 's|{from}|{to}|' {file}")).map(drop)
}

fn refused(small: &Small, node: &str, args: &[&str]) -> anyhow::Result<String> {
    match small.holdfast(node, args) {
        Ok(said) => anyhow::bail!("{args:?} was not refused: {said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// All that a command says, sentences for people included.
fn said(small: &Small, node: &str, command: &str) -> anyhow::Result<String> {
    small.sh(node, &format!("holdfast {command} 2>&1"))
}

/// How often the application was started.
fn starts(small: &Small, node: &str) -> anyhow::Result<usize> {
    Ok(small.sh(node, &format!("cat /data/{APP}/starts"))?.lines().count())
}

#[test]
fn a_pair_goes_on_while_things_change() {
    follow().unwrap_or_else(|error| panic!("{error:?}"));
}

fn follow() -> anyhow::Result<()> {
    let small = Small::pair("e2e-changes", "")?;
    a_key_is_handed_over(&small).context("another key")?;
    a_module_has_a_key_of_its_own(&small).context("a module's key")?;
    copied_files_are_judged(&small).context("files that were copied")?;
    a_stall_takes_nothing_over(&small).context("a stall")?;
    a_configuration_is_applied(&small).context("config while the module runs")?;
    another_key_is_named(&small).context("advice")?;
    a_dead_heart_leaves_nothing_hanging(&small).context("a heart's death")
}

fn a_key_is_handed_over(small: &Small) -> anyhow::Result<()> {
    let marks = [small.mark(APP, "node1")?, small.mark(APP, "node2")?];
    let told = said(small, "node1", "cluster genkey")?;
    ensure!(told.contains("What runs goes on (app)"), "{told}");
    let key = small.sh("node1", "cat $SAFEVAR/cluster/cluster.key")?;
    ensure!(small.sh("node1", "cat $SAFEVAR/cluster/cluster.key.before")?.trim() != key.trim(), "the same key");
    // Longer than the heartbeats' time-out, with the two nodes on different keys.
    std::thread::sleep(Duration::from_secs(3));
    small.wait(APP, &IN_STEP)?;
    nobody_fell_silent(small, marks)?;
    small.lab.run("kill", &["node1", "rfs", "--module", APP])?;
    small.wait(APP, &IN_STEP).context("rfs connects anew while the keys differ")?;
    let marks = [small.mark(APP, "node1")?, small.mark(APP, "node2")?];
    let copy = format!("cd $SAFEVAR/cluster && umask 077 && echo {} > k && mv k cluster.key", key.trim());
    small.sh("node2", &copy)?;
    for node in ["node1", "node2"] {
        let over = || Ok(small.sh(node, "test ! -e $SAFEVAR/cluster/cluster.key.before && echo over").is_ok());
        until(&format!("the key before is forgotten on {node}"), over)?;
    }
    small.wait(APP, &IN_STEP)?;
    nobody_fell_silent(small, marks)?;
    small.lab.run("kill", &["node1", "rfs", "--module", APP])?;
    small.wait(APP, &IN_STEP).context("rfs connects anew with the new key")
}

/// Reference 004, 9.6 and 10.5; and what is looked at when a stopped module is configured.
fn a_module_has_a_key_of_its_own(small: &Small) -> anyhow::Result<()> {
    let stop = || -> anyhow::Result<()> {
        for node in ["node2", "node1"] {
            small.holdfast(node, &["stop", "-m", APP])?;
            small.holdfast(node, &["waitstop", "-m", APP])?;
        }
        Ok(())
    };
    let start = |node| small.holdfast(node, &["start", "-m", APP]);
    let told = said(small, "node1", &format!("module genkey -m {APP}"))?;
    ensure!(told.contains("private/module_keys/app.key"), "{told}");
    let why = refused(small, "node1", &["config", "-m", APP])?;
    ensure!(why.contains("the module's own key is another one"), "{why}");
    stop()?;
    owners_are_compared(small)?;
    // One node with the key, one without: neither believes the other.
    start("node2")?;
    start("node1")?;
    let mark = small.mark(APP, "node1")?;
    until("the seal is refused", || {
        Ok(small.log(APP, "node1")?.iter().skip(mark).any(|line| line.contains("with a bad seal")))
    })?;
    ensure!(small.state(APP, "node2").is_none_or(|(state, _)| state != "SECOND"), "it was heard");
    let advised = |text: &str| {
        text.contains("node2 is there and sends heartbeats") && text.contains("another key of the module app")
    };
    until("the reason is told (7.13)", || Ok(small.log(APP, "node1")?.iter().any(|line| advised(line))))?;
    until("the state tells it, too", || Ok(advised(&small.holdfast("node1", &["state", "-m", APP])?)))?;
    stop()?;
    let key = small.sh("node1", "cat $SAFE/private/module_keys/app.key")?;
    let copy =
        format!("umask 077 && cd $SAFE/private && mkdir -p module_keys && echo {} > module_keys/app.key", key.trim());
    small.sh("node2", &copy)?;
    small.holdfast("node2", &["config", "-m", APP])?;
    start("node1")?;
    small.wait(APP, &[("node1", "ALONE", "green")])?;
    start("node2")?;
    small.wait(APP, &IN_STEP)
}

/// A number that is another user's on the other node; a file with a name outside.
fn owners_are_compared(small: &Small) -> anyhow::Result<()> {
    for (node, name) in [("node1", "hfone"), ("node2", "hftwo")] {
        small.sh(node, &format!("echo '{name}:x:47110:47110::/:/bin/sh' >> /etc/passwd"))?;
    }
    small.sh("node1", "touch /data/app/owned && chown 47110 /data/app/owned && ln /data/app/owned /data/outside")?;
    let why = refused(small, "node1", &["config", "-m", APP])?;
    ensure!(why.contains("hfone (47110), and on node2 47110 is hftwo"), "{why}");
    small.sh("node2", "sed 's/^hftwo/hfone/' /etc/passwd > /tmp/passwd && cp /tmp/passwd /etc/passwd")?;
    let told = said(small, "node1", &format!("config -m {APP}"))?;
    ensure!(told.contains("owned (1 elsewhere)") && !told.contains("hftwo"), "{told}");
    small.sh("node1", "rm /data/outside").map(drop)
}

fn nobody_fell_silent(small: &Small, marks: [usize; 2]) -> anyhow::Result<()> {
    for (node, mark) in ["node1", "node2"].into_iter().zip(marks) {
        small.silent(APP, node, mark, &["Reason of failover", "Remote state UNKNOWN"])?;
    }
    Ok(())
}

/// A cluster.xml without one of the module's networks: the command refuses it, and a copy of it changes nothing for what runs.
fn copied_files_are_judged(small: &Small) -> anyhow::Result<()> {
    let other = "sed 's/name=\"repli\"/name=\"other\"/' $SAFEVAR/cluster/cluster.xml > /tmp/other.xml";
    small.sh("node2", other)?;
    let why = refused(small, "node2", &["cluster", "config", "/tmp/other.xml"])?;
    ensure!(why.contains("app has to be stopped first") && why.contains("holdfast stop -m app"), "{why}");
    let mark = small.mark(APP, "node2")?;
    small.sh(
        "node2",
        "cd $SAFEVAR/cluster && cp cluster.xml /tmp/before.xml && cp /tmp/other.xml x && mv x cluster.xml",
    )?;
    until("the log says so", || {
        Ok(small.log(APP, "node2")?.iter().skip(mark).any(|line| line.contains("can't follow while it runs")))
    })?;
    small.wait(APP, &IN_STEP)?;
    small.sh("node2", "cd $SAFEVAR/cluster && cp /tmp/before.xml x && mv x cluster.xml")?;
    small.silent(APP, "node2", mark, &["Reason of failover", "Remote state UNKNOWN"])
}

fn a_stall_takes_nothing_over(small: &Small) -> anyhow::Result<()> {
    let mark = small.mark(APP, "node2")?;
    let pid = "$(cut -d' ' -f1 $SAFEVAR/run/app/heart.pid)";
    small.sh("node2", &format!("kill -STOP {pid}; sleep 3; kill -CONT {pid}"))?;
    until("the stall is told", || {
        Ok(small.log(APP, "node2")?.iter().skip(mark).any(|line| line.contains("stood still for")))
    })?;
    small.wait(APP, &IN_STEP)?;
    small.silent(APP, "node2", mark, &["Reason of failover", "Local state ALONE"])
}

fn a_configuration_is_applied(small: &Small) -> anyhow::Result<()> {
    edit(small, "node1", "timeout=\"2s\"", "timeout=\"1500ms\"")?;
    let why = refused(small, "node1", &["config", "-m", APP])?;
    ensure!(why.contains("only where it is ALONE (green) or WAIT (red)"), "{why}");
    small.holdfast("node2", &["stop", "-m", APP])?;
    small.wait(APP, &[("node1", "ALONE", "green"), ("node2", "STOP", "red")])?;
    let before = starts(small, "node1")?;

    edit(small, "node1", "<vip>", "<vip tcpreset=\"off\">")?;
    let why = refused(small, "node1", &["config", "-m", APP])?;
    ensure!(why.contains("<vip> tcpreset: on -> off") && !why.contains("timeout"), "{why}");
    let dry = said(small, "node1", "config -m app --dry-run")?;
    ensure!(dry.contains("tcpreset: on -> off (needs a stop)") && dry.contains("timeout: 2000 ms -> 1500 ms"), "{dry}");
    edit(small, "node1", "<vip tcpreset=\"off\">", "<vip>")?;

    edit(
        small,
        "node1",
        "<user nicestoptimeout=\"20\" forcestoptimeout=\"20\"/>",
        "<user nicestoptimeout=\"9\"><var name=\"COLOUR\" value=\"blue\"/></user>",
    )?;
    small.sh("node1", &format!("echo 'echo colour $COLOUR' >> $SAFE/modules/{APP}/bin/stop_prim"))?;
    let dry = said(small, "node1", "config -m app --dry-run")?;
    ensure!(dry.contains("the application isn't touched") && dry.contains("Nothing was applied"), "{dry}");
    let told = said(small, "node1", "config -m app")?;
    for part in ["timeout: 2000 ms -> 1500 ms", "<var COLOUR> is new", "scripts: stop_prim", "isn't touched"] {
        ensure!(told.contains(part), "{part:?} in {told}");
    }
    ensure!(starts(small, "node1")? == before, "the application was started again");
    small.wait(APP, &[("node1", "ALONE", "green")])?;
    edit(small, "node2", "timeout=\"2s\"", "timeout=\"1500ms\"")?;
    small.holdfast("node2", &["config", "-m", APP])?;
    small.holdfast("node2", &["start", "-m", APP])?;
    small.wait(APP, &IN_STEP)?;
    small.holdfast("node1", &["swap", "-m", APP])?;
    small.wait(APP, &[("node1", "SECOND", "green"), ("node2", "PRIM", "green")])?;
    let userlog = small.sh("node1", &format!("cat $SAFEVAR/modules/{APP}/userlog.ulog"))?;
    ensure!(userlog.contains("colour blue"), "the new script with the new variable: {userlog}");
    small.holdfast("node1", &["swap", "-m", APP])?;
    small.wait(APP, &IN_STEP)
}

fn another_key_is_named(small: &Small) -> anyhow::Result<()> {
    small.holdfast("node2", &["stop", "-m", APP])?;
    small.wait(APP, &[("node1", "ALONE", "green"), ("node2", "STOP", "red")])?;
    let key = small.sh("node2", "cat $SAFEVAR/cluster/cluster.key")?;
    let put = |key: &str| format!("cd $SAFEVAR/cluster && umask 077 && echo {key} > k && mv k cluster.key");
    // The heart of a stopped module may take a moment to leave; only then is the key before of no use.
    until("no heart", || Ok(small.sh("node2", "test ! -e $SAFEVAR/run/app/heart.sock && echo gone").is_ok()))?;
    small.sh("node2", &put(&"5e".repeat(32)))?;
    until("node2 goes by another key", || {
        let shown = small.holdfast("node2", &["cluster", "confinfo", "-o", "json"])?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        Ok(shown["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|node| node["heard"] == false)))
    })?;
    small.holdfast("node2", &["start", "-m", APP])?;
    for node in ["node1", "node2"] {
        until(&format!("{node} names the key"), || {
            Ok(small.holdfast(node, &["state", "-m", APP, "-v"])?.contains("another key of the cluster"))
        })?;
    }
    small.sh("node2", &put(key.trim()))?;
    small.wait(APP, &IN_STEP).context("the right key, while the module runs")?;
    let state = small.holdfast("node1", &["state", "-m", APP, "-v"])?;
    ensure!(!state.contains("another key"), "{state}");
    Ok(())
}

/// Its stop script writes into the replicated directory, where nothing is acknowledged any more: it gets an error and doesn't hang.
fn a_dead_heart_leaves_nothing_hanging(small: &Small) -> anyhow::Result<()> {
    small.holdfast("node2", &["stop", "-m", APP])?;
    small.wait(APP, &[("node1", "ALONE", "green"), ("node2", "STOP", "red")])?;
    let write = format!("dd if=/dev/zero of=/data/{APP}/last bs=4k count=1 conv=fsync 2>&1");
    small.sh("node1", &format!("sed -i '2i {write}' $SAFE/modules/{APP}/bin/stop_prim"))?;
    small.holdfast("node1", &["config", "-m", APP])?;
    let mark = small.mark(APP, "node1")?;
    let began = Instant::now();
    small.lab.run("kill", &["node1", "heart", "--module", APP])?;
    until("the module begins again", || {
        Ok(small.log(APP, "node1")?.iter().skip(mark).any(|line| line.contains("Action start called by SYSTEM")))
    })?;
    println!("from the heart's death to the next heart: {:?}", began.elapsed());
    let userlog = small.sh("node1", &format!("cat $SAFEVAR/modules/{APP}/userlog.ulog"))?;
    ensure!(userlog.contains("Input/output error"), "the stop script was not released: {userlog}");
    small.wait(APP, &[("node1", "ALONE", "green")])
}
