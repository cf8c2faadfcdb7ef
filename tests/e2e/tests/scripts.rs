//! The scripts of a module that has them all are called as the decision record's table says.

use anyhow::{Context, ensure};
use e2e::Lab;
use std::collections::BTreeMap;
use std::time::Duration;

const RECORD: &str = include_str!("../../../docs/design/0004-order-of-scripts.md");
const MODULE: &str = "calls";
/// What may still follow when a state was reached: the other node's answer to it.
const SETTLE: Duration = Duration::from_secs(3);

/// A module whose scripts write down how they were called.
const INSTALL: &str = r#"set -e
mkdir -p /var/lib/calls/conf /var/lib/calls/bin /var/lib/data
cat > /var/lib/calls/conf/userconfig.xml <<END
<safe><service mode="mirror">
  <heart pulse="400ms" timeout="2s"><heartbeat name="default"/><heartbeat name="repli" ident="flow"/></heart>
  <rfs><replicated dir="/var/lib/data" mode="read_only"/></rfs>
  <user><var name="WORD" value="a 'quoted' word"/></user>
</service></safe>
END
for script in prestart poststop transition start_both stop_both start_prim stop_prim start_second stop_second start_sec stop_sec; do
    cat > /var/lib/calls/bin/$script <<'END'
#!/bin/sh
echo "${0##*/} $*" >> "$SAFEUSERVAR/calls"
echo "$SAFEMODULE $WORD"
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

    fn wait(&self, node: &str, state: &str) -> anyhow::Result<()> {
        let waited = self.sh(node, &format!("timeout 60 holdfast waitstate -m {MODULE} {state}"));
        waited.map(drop).with_context(|| format!("{node} never became {state}"))
    }

    fn pair(&self, primary: &str, secondary: &str) -> anyhow::Result<()> {
        self.wait(secondary, "SECOND")?;
        self.wait(primary, "PRIM")?;
        std::thread::sleep(SETTLE);
        self.wait(primary, "PRIM")
    }

    /// What was called on a node since the last look; `transition` runs beside.
    fn called(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let file = format!("f=$SAFEVAR/modules/{MODULE}/calls; cat $f; : > $f");
        let text = self.sh(node, &file)?;
        Ok(text.lines().filter(|line| !line.starts_with("transition")).map(str::to_owned).collect())
    }

    fn forget(&self, nodes: &[&str]) -> anyhow::Result<()> {
        nodes.iter().try_for_each(|node| self.called(node).map(drop))
    }

    fn check(&self, event: &str, nodes: &[(&str, usize)]) -> anyhow::Result<()> {
        let table = table();
        let row = table.get(event).with_context(|| format!("no row {event:?} in the record"))?;
        for (node, column) in nodes {
            let called = self.called(node)?;
            ensure!(called == row[*column], "{event}, {node}: {called:#?}\ninstead of {:#?}", row[*column]);
        }
        eprintln!("held: {event}");
        Ok(())
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

    nodes.order("node1", "swap")?;
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
    std::thread::sleep(SETTLE);
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
    nodes.order("node1", "swap")?;
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
    ] {
        ensure!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
    Ok(())
}
