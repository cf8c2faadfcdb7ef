//! Processes that are watched (reference 004, 4.4.1, 13.9, 15.7): a module with two programs, one of which has a program of its own that
//! restarts it.

use anyhow::{Context, ensure};
use e2e::{Lab, wait_until};
use std::time::{Duration, Instant};

const MODULE: &str = "softerrd";
/// What is waited for comes at once or after a poll; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// Two polls and more, in which nothing may follow.
const QUIET: Duration = Duration::from_secs(5);

/// The programs are copies of sleep. `mybin` and `mymany` begin and end with the scripts, `myappli` is of a class of its own.
const INSTALL: &str = r#"set -e
mkdir -p /var/lib/softerrd/conf /var/lib/softerrd/bin /var/lib/apps
for app in mybin mymany myappli; do cp /bin/sleep /var/lib/apps/$app; done
cat > /var/lib/softerrd/conf/userconfig.xml <<'END'
<safe><service mode="mirror" maxloop="2">
  <heart pulse="400ms" timeout="3s"><heartbeat name="default"/><heartbeat name="repli"/></heart>
  <user nicestoptimeout="30" forcestoptimeout="30"/>
  <errd polltimer="2">
    <proc name="mybin" atleast="1" action="restart" class="prim"/>
    <proc name="many" nameregex="mymany" atleast="-1" atmax="1" action="restart" class="prim"/>
    <proc name="myappli" argregex="myappli 1000000$" atleast="1" action="restart_myappli" class="myappli"/>
  </errd>
</service></safe>
END
cd /var/lib/softerrd/bin
cat > start_prim <<'END'
#!/bin/sh
/var/lib/apps/mybin 2000000 &
/var/lib/apps/myappli 1000000 &
date >> /var/lib/apps/starts
$SAFE/safekit errd enable myappli
END
cat > stop_prim <<'END'
#!/bin/sh
$SAFE/safekit kill -level="terminate" -name="mybin"
$SAFE/safekit kill -level="terminate" -name="mymany"
$SAFE/safekit errd disable myappli
$SAFE/safekit kill -level="terminate" -name="myappli" -argregex="1000000"
END
cat > restart_myappli <<'END'
#!/bin/sh
$SAFE/safekit errd disable myappli
$SAFE/safekit incloop -i restart_myappli || { $SAFE/safekit stop -i restart_myappli; exit 0; }
/var/lib/apps/myappli 1000000 &
$SAFE/safekit errd enable myappli
END
chmod 755 *
holdfast module install -m softerrd /var/lib/softerrd
holdfast config -m softerrd
"#;

struct Nodes(Lab);

impl Nodes {
    fn sh(&self, node: &str, script: &str) -> anyhow::Result<String> {
        self.0.exec(node, &["sh", "-c", script])
    }

    fn holdfast(&self, node: &str, command: &str) -> anyhow::Result<String> {
        self.sh(node, &format!("holdfast {command} -m {MODULE}"))
    }

    fn wait(&self, node: &str, state: &str) -> anyhow::Result<()> {
        let waited = self.sh(node, &format!("timeout 90 holdfast waitstate -m {MODULE} {state}"));
        waited.map(drop).with_context(|| format!("{node} never became {state}:\n{}", self.logs()))
    }

    fn logs(&self) -> String {
        let log = |node| self.sh(node, &format!("holdfast log -A -s 200 -m {MODULE}")).unwrap_or_default();
        ["node1", "node2"].map(|node| format!("{node}:\n{}", log(node))).concat()
    }

    fn is(&self, node: &str, resource: &str, value: &str) -> bool {
        let state = self.holdfast(node, "state -v").unwrap_or_default();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        state.lines().map(words).any(|words| words.first().is_some_and(|word| word == resource) && words[1] == value)
    }

    fn becomes(&self, node: &str, resource: &str, value: &str) -> anyhow::Result<()> {
        wait_until(&format!("{resource} {value} on {node}"), PATIENCE, || self.is(node, resource, value))
            .with_context(|| self.logs())
    }

    fn count(&self, node: &str, line: &str) -> usize {
        let log = self.sh(node, &format!("holdfast log -A -s 5000 -m {MODULE}")).unwrap_or_default();
        log.lines().filter(|said| said.ends_with(line)).count()
    }

    fn says(&self, node: &str, line: &str, times: usize) -> anyhow::Result<()> {
        wait_until(&format!("{line:?} {times} times on {node}"), PATIENCE, || self.count(node, line) >= times)
            .with_context(|| self.logs())
    }

    fn starts(&self, node: &str) -> usize {
        self.sh(node, "cat /var/lib/apps/starts").unwrap_or_default().lines().count()
    }

    fn runs(&self, node: &str, program: &str) -> bool {
        let found = self.sh(node, &format!("holdfast kill -level=test -name={program}"));
        found.is_ok_and(|text| text.contains(program))
    }

    fn kill(&self, node: &str, program: &str) -> anyhow::Result<()> {
        self.sh(node, &format!("holdfast kill -level=9 -name={program}")).map(drop)
    }

    /// The process dies, and the application starts again where it is. How long that took, until the process is there again.
    fn killed_and_restarted(&self, node: &str) -> anyhow::Result<Duration> {
        let starts = self.starts(node);
        let began = Instant::now();
        self.kill(node, "mybin")?;
        wait_until("another start of the application", PATIENCE, || self.starts(node) > starts)
            .with_context(|| self.logs())?;
        let took = began.elapsed();
        self.becomes(node, "proc.mybin", "up")?;
        Ok(took)
    }
}

#[test]
fn processes_are_watched() {
    follow().expect("processes are watched");
}

fn follow() -> anyhow::Result<()> {
    let nodes = Nodes(Lab::up("e2e-errd", &[])?);
    for node in ["node1", "node2"] {
        nodes.sh(node, INSTALL)?;
    }
    nodes.holdfast("node1", "prim")?;
    nodes.wait("node1", "ALONE")?;
    nodes.holdfast("node2", "second")?;
    nodes.wait("node2", "SECOND")?;
    nodes.wait("node1", "PRIM")?;
    restarted(&nodes)?;
    handled(&nodes)?;
    suspended(&nodes)?;
    too_many(&nodes)?;
    looped(&nodes)?;
    off(&nodes)
}

fn restarted(nodes: &Nodes) -> anyhow::Result<()> {
    for resource in ["proc.mybin", "proc.many", "proc.myappli"] {
        nodes.becomes("node1", resource, "up")?;
    }
    ensure!(nodes.is("node2", "proc.mybin", "init"), "nothing is watched on the secondary");
    let took = nodes.killed_and_restarted("node1")?;
    eprintln!("killed to the start script's run, seen from outside: {took:?}");
    nodes.says("node1", "event atleast on proc mybin", 1)?;
    nodes.says("node1", "Action restart called by errd", 1)?;
    nodes.wait("node1", "PRIM")?;
    let list = nodes.holdfast("node1", "errd list")?;
    let line = |start: &str| list.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let mybin = line("mybin ").with_context(|| list.clone())?;
    ensure!(mybin.contains("class=prim (enabled) action=restart up (1 running) pid "), "{list}");
    ensure!(line("heart ").is_some(), "{list}");
    nodes.sh(
        "node1",
        "holdfast -r errdpoll_running && grep -q ' mybin .*mybin 2000000 (parent=' $SAFEVAR/errdpoll_reserrd",
    )?;
    // What was counted must not let the next one find the limit reached.
    nodes.holdfast("node1", "resetloop").map(drop)
}

/// A program of the module's own restarts `myappli`, and nothing else.
fn handled(nodes: &Nodes) -> anyhow::Result<()> {
    nodes.becomes("node1", "proc.myappli", "up")?;
    let starts = nodes.starts("node1");
    nodes.kill("node1", "myappli")?;
    nodes.says("node1", "Action restart_myappli called by errd", 1)?;
    wait_until("myappli again", PATIENCE, || nodes.runs("node1", "myappli")).with_context(|| nodes.logs())?;
    nodes.becomes("node1", "proc.myappli", "up")?;
    ensure!(nodes.starts("node1") == starts, "the application as a whole goes on: {}", nodes.logs());
    nodes.holdfast("node1", "resetloop").map(drop)
}

/// The application may be stopped by hand.
fn suspended(nodes: &Nodes) -> anyhow::Result<()> {
    nodes.holdfast("node1", "errd suspend")?;
    nodes.becomes("node1", "usersetting.errd", "off")?;
    let (starts, events) = (nodes.starts("node1"), nodes.count("node1", "event atleast on proc mybin"));
    nodes.kill("node1", "mybin")?;
    std::thread::sleep(QUIET);
    ensure!(nodes.count("node1", "event atleast on proc mybin") == events, "{}", nodes.logs());
    nodes.sh("node1", "setsid /var/lib/apps/mybin 2000000 > /dev/null 2>&1 < /dev/null &")?;
    nodes.holdfast("node1", "errd resume")?;
    nodes.becomes("node1", "proc.mybin", "up")?;
    ensure!(nodes.starts("node1") == starts, "{}", nodes.logs());
    Ok(())
}

fn too_many(nodes: &Nodes) -> anyhow::Result<()> {
    let starts = nodes.starts("node1");
    nodes.becomes("node1", "proc.many", "up")?;
    for _ in 0..2 {
        nodes.sh("node1", "setsid /var/lib/apps/mymany 3000000 > /dev/null 2>&1 < /dev/null &")?;
    }
    nodes.says("node1", "event atmax on proc many", 1)?;
    wait_until("another start of the application", PATIENCE, || nodes.starts("node1") > starts)
        .with_context(|| nodes.logs())?;
    ensure!(!nodes.runs("node1", "mymany"), "its stop script ended them");
    nodes.becomes("node1", "proc.mybin", "up")?;
    nodes.holdfast("node1", "resetloop").map(drop)
}

/// After as many restarts as maxloop says the next one is a stop, and the other node takes over.
fn looped(nodes: &Nodes) -> anyhow::Result<()> {
    for _ in 0..2 {
        nodes.killed_and_restarted("node1")?;
        nodes.wait("node1", "PRIM")?;
    }
    nodes.kill("node1", "mybin")?;
    nodes.wait("node1", "STOP")?;
    nodes.says("node1", "Stopping loop", 1)?;
    nodes.wait("node2", "ALONE")?;
    nodes.becomes("node2", "proc.mybin", "up")?;
    ensure!(!nodes.runs("node1", "mybin"), "it runs on one node only");
    Ok(())
}

/// What is said to a stopped module holds when it starts.
fn off(nodes: &Nodes) -> anyhow::Result<()> {
    nodes.holdfast("node1", "errd off")?;
    ensure!(nodes.holdfast("node1", "errd suspend").is_err(), "there is nothing to be suspended");
    nodes.holdfast("node1", "start")?;
    nodes.wait("node1", "SECOND")?;
    nodes.becomes("node1", "usersetting.errd", "off")?;
    nodes.holdfast("node1", "errd on")?;
    nodes.becomes("node1", "usersetting.errd", "on")
}

/// A light module with two systemd services of which only one is started again when it fails.
const SERVICES: &str = r#"set -e
for unit in webapp helper; do
    printf '[Service]\nExecStart=/bin/sleep infinity\n' > /etc/systemd/system/$unit.service
done
systemctl daemon-reload
mkdir -p /var/lib/softerrd/conf /var/lib/softerrd/bin
cat > /var/lib/softerrd/conf/userconfig.xml <<'END'
<safe><service mode="light">
  <user nicestoptimeout="30" forcestoptimeout="30"/>
  <errd polltimer="600">
    <proc name="webapp" service="yes" action="restart" class="both" restart_services="webapp"/>
    <proc name="helper" service="yes" action="noaction" class="both"/>
  </errd>
</service></safe>
END
cd /var/lib/softerrd/bin
for does in start stop; do
cat > ${does}_both <<END
#!/bin/sh
services="helper webapp"
for word in "\$@"; do
    [ "\$last" = -Services ] && services=\$word
    last=\$word
done
[ "\$1" = force ] || systemctl $does \$services
echo "$does \$services" >> /var/lib/softerrd/calls
END
done
chmod 755 *
holdfast module install -m softerrd /var/lib/softerrd
holdfast config -m softerrd
"#;

#[test]
fn services_are_watched() {
    watch_services().expect("services are watched");
}

fn watch_services() -> anyhow::Result<()> {
    let nodes = Nodes(Lab::up("e2e-errd-systemd", &["--init", "systemd"])?);
    nodes.sh("node1", SERVICES)?;
    nodes.holdfast("node1", "start")?;
    nodes.wait("node1", "UP")?;
    nodes.becomes("node1", "proc.webapp", "up")?;
    nodes.becomes("node1", "proc.helper", "up")?;

    let began = Instant::now();
    nodes.sh("node1", "systemctl kill --signal=KILL webapp")?;
    nodes.says("node1", "event atleast on proc webapp", 1)?;
    eprintln!("killed to the log line, seen from outside: {:?}", began.elapsed());
    nodes.says("node1", "Action restart called by errd", 1)?;
    nodes.wait("node1", "UP")?;
    nodes.becomes("node1", "proc.webapp", "up")?;
    nodes.sh("node1", "systemctl is-active webapp")?;
    let calls = nodes.sh("node1", "cat /var/lib/softerrd/calls")?;
    let of_restart: Vec<&str> = calls.lines().rev().take(3).collect();
    ensure!(of_restart == ["start webapp", "stop webapp", "stop webapp"], "{calls}");

    nodes.sh("node1", "systemctl stop helper")?;
    nodes.says("node1", "event atleast on proc helper", 1)?;
    nodes.becomes("node1", "proc.helper", "down")?;
    nodes.sh("node1", "systemctl start helper")?;
    nodes.becomes("node1", "proc.helper", "up")
}
