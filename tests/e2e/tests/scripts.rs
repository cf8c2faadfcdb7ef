//! The scripts of a module that has them all are called as the decision record's table says.

use anyhow::{Context, ensure};
use e2e::{Lab, wait_until};
use std::collections::BTreeMap;
use std::time::Duration;

const RECORD: &str = include_str!("../../../docs/design/0004-order-of-scripts.md");
const MODULE: &str = "calls";
/// What is waited for comes in seconds; a machine under load may need longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing more may be called when all that should be was.
const QUIET: Duration = Duration::from_millis(1500);

/// A module whose scripts write down how they were called.
const INSTALL: &str = r#"set -e
mkdir -p /var/lib/calls/conf /var/lib/calls/bin /var/lib/data
cat > /var/lib/calls/conf/userconfig.xml <<END
<safe><service mode="mirror">
  <heart pulse="400ms" timeout="2s"><heartbeat name="default"/><heartbeat name="repli" ident="flow"/></heart>
  <rfs><replicated dir="/var/lib/data" mode="read_only"/></rfs>
  <user><var name="WORD" value="a 'quoted' word"/></user>
  <vhost><virtualhostname name="virtualname" envfile="vhostenv"/></vhost>
</service></safe>
END
for script in prestart poststop transition start_both stop_both start_prim stop_prim start_second stop_second start_sec stop_sec; do
    cat > /var/lib/calls/bin/$script <<'END'
#!/bin/sh
echo "${0##*/} $*" >> "$SAFEUSERVAR/calls"
echo "$SAFEMODULE $WORD"
if [ "${0##*/}" = start_prim ]; then . "$SAFEUSERBIN/vhostenv"; fi
echo "${0##*/} on $(uname -n)"
END
done
holdfast module install -m calls /var/lib/calls
holdfast config -m calls
"#;

type Row = [Vec<String>; 2];

/// What both nodes call at each event, from the record's last table.
fn table() -> BTreeMap<&'static str, Row> {
    let rows = RECORD.lines().skip_while(|line| !line.starts_with("| event |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let calls = |cell: &str| {
            cell.split("; ").filter(|call| !call.is_empty()).map(|call| call.replacen("! ", " force ", 1)).collect()
        };
        (cells[0], [calls(cells[1]), calls(cells[2])])
    })
    .collect()
}

struct Nodes(Lab);

impl Nodes {
    fn sh(&self, node: &str, script: &str) -> anyhow::Result<String> {
        self.0.exec(node, &["sh", "-c", script])
    }

    fn order(&self, node: &str, command: &str) -> anyhow::Result<()> {
        self.sh(node, &format!("holdfast {command} -m {MODULE}")).map(drop)
    }

    /// Refused until both nodes have heard that the other one is green.
    fn swap(&self, node: &str) -> anyhow::Result<()> {
        wait_until("a swap", PATIENCE, || self.order(node, "swap").is_ok())
    }

    fn wait(&self, node: &str, state: &str) -> anyhow::Result<()> {
        let waited = self.sh(node, &format!("timeout 90 holdfast waitstate -m {MODULE} {state}"));
        waited.map(drop).with_context(|| format!("{node} never became {state}"))
    }

    fn pair(&self, primary: &str, secondary: &str) -> anyhow::Result<()> {
        self.wait(secondary, "SECOND")?;
        self.wait(primary, "PRIM")
    }

    /// What was called on a node since it was last forgotten; `transition` runs beside.
    fn called(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let text = self.sh(node, &format!("cat $SAFEVAR/modules/{MODULE}/calls"))?;
        Ok(text.lines().filter(|line| !line.starts_with("transition")).map(str::to_owned).collect())
    }

    /// Begins anew, once nothing is called any more.
    fn forget(&self, nodes: &[&str]) -> anyhow::Result<()> {
        let called = || nodes.iter().map(|node| self.called(node)).collect::<anyhow::Result<Vec<_>>>();
        let mut before = called()?;
        wait_until("the end of all calls", PATIENCE, || {
            std::thread::sleep(QUIET);
            let (now, last) = (called().unwrap_or_default(), std::mem::take(&mut before));
            before = now;
            before == last
        })?;
        nodes.iter().try_for_each(|node| self.clear(node))
    }

    fn clear(&self, node: &str) -> anyhow::Result<()> {
        self.sh(node, &format!(": > $SAFEVAR/modules/{MODULE}/calls")).map(drop)
    }

    fn check(&self, event: &str, nodes: &[(&str, usize)]) -> anyhow::Result<()> {
        let table = table();
        let row = table.get(event).with_context(|| format!("no row {event:?} in the record"))?;
        // The other node's answer to a state may come later than the state.
        let as_written = |(node, column): &(&str, usize)| self.called(node).is_ok_and(|called| called == row[*column]);
        let came = wait_until(event, PATIENCE, || nodes.iter().all(as_written));
        std::thread::sleep(QUIET);
        for (node, column) in nodes {
            let called = self.called(node)?;
            ensure!(called == row[*column], "{event}, {node}: {called:#?}\ninstead of {:#?}", row[*column]);
        }
        came?;
        eprintln!("held: {event}");
        nodes.iter().try_for_each(|(node, _)| self.clear(node))
    }
}

#[test]
fn scripts_are_called_in_the_order_of_the_record() {
    follow().expect("the order of the record");
}

fn follow() -> anyhow::Result<()> {
    const BOTH: [(&str, usize); 2] = [("node1", 0), ("node2", 1)];
    let nodes = Nodes(Lab::up("e2e-scripts", &[])?);
    for node in ["node1", "node2"] {
        nodes.sh(node, INSTALL)?;
    }
    nodes.order("node1", "prim")?;
    nodes.wait("node1", "ALONE")?;
    nodes.check("prim on 1", &BOTH[..1])?;

    nodes.order("node2", "second")?;
    nodes.pair("node1", "node2")?;
    nodes.check("second on 2", &BOTH)?;

    nodes.order("node1", "restart")?;
    nodes.pair("node1", "node2")?;
    nodes.check("restart on 1", &BOTH)?;

    nodes.swap("node1")?;
    nodes.pair("node2", "node1")?;
    nodes.check("swap", &BOTH)?;
    back(&nodes)?;

    nodes.order("node1", "stop")?;
    nodes.wait("node2", "ALONE")?;
    nodes.wait("node1", "STOP")?;
    nodes.check("stop on 1", &BOTH)?;
    nodes.order("node1", "start")?;
    nodes.pair("node2", "node1")?;
    back(&nodes)?;

    nodes.order("node2", "stop")?;
    nodes.wait("node2", "STOP")?;
    nodes.wait("node1", "ALONE")?;
    nodes.check("stop on 2", &BOTH)?;
    nodes.order("node2", "start")?;
    nodes.pair("node1", "node2")?;
    nodes.forget(&["node1", "node2"])?;

    nodes.order("node1", "stopstart")?;
    nodes.pair("node2", "node1")?;
    nodes.check("stopstart on 1", &BOTH)?;
    back(&nodes)?;

    nodes.order("node1", "forcestop")?;
    nodes.wait("node2", "ALONE")?;
    nodes.wait("node1", "STOP")?;
    nodes.check("forcestop on 1", &BOTH)?;
    nodes.order("node1", "start")?;
    nodes.pair("node2", "node1")?;
    back(&nodes)?;

    check_logs(&nodes)?;
    nodes.0.run("power-off", &["node1"])?;
    nodes.wait("node2", "ALONE")?;
    nodes.check("power off of 1", &BOTH[1..])
}

/// Node 1 is primary again, and what was called for it is forgotten.
fn back(nodes: &Nodes) -> anyhow::Result<()> {
    nodes.swap("node1")?;
    nodes.pair("node1", "node2")?;
    nodes.forget(&["node1", "node2"])
}

/// Every run has left its lines in the user log, and a file of its own.
fn check_logs(nodes: &Nodes) -> anyhow::Result<()> {
    let text = nodes.sh(
        "node1",
        &format!("cd $SAFEVAR/modules/{MODULE}; cat userlog.ulog; echo; ls; cat userlog_*_stop_prim_force.ulog"),
    )?;
    for expected in [
        " start_prim WAIT ALONE start -----",
        "calls a 'quoted' word",
        "_start_prim.ulog",
        " stop_prim force PRIM STOP stop -----",
        // <vhost>: whoever reads the file sees the other name.
        "start_prim on virtualname",
        "stop_prim on node1",
    ] {
        ensure!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    Ok(())
}
