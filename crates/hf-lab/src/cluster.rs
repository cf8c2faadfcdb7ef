//! The cluster's configuration in a lab, and when a cluster counts as up.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::addr;
use crate::enter::ask;
use crate::error::{Context, LabError, Result, mkdir, write};
use crate::paths::Paths;
use crate::state::Lab;

/// cluster.xml for these LANs and nodes (reference 004, 12.1).
pub fn cluster_xml(lans: &[String], nodes: &[String]) -> String {
    let mut xml = "<?xml version=\"1.0\"?>\n<cluster>\n  <lans>\n".to_owned();
    for (number, lan) in (1..).zip(lans) {
        xml += &format!("    <lan name=\"{lan}\">\n");
        for node in nodes {
            let address = addr::v4(number, addr::number(node).unwrap_or_default());
            xml += &format!("      <node name=\"{node}\" addr=\"{address}\"/>\n");
        }
        xml += "    </lan>\n";
    }
    xml + "  </lans>\n</cluster>\n"
}

/// Prepares what every node finds in `SAFEVAR/cluster` at its first boot: the same configuration and the same fresh key.
pub fn prepare(paths: &Paths, lans: &[String], nodes: &[String]) -> Result<()> {
    let dir = paths.cluster();
    mkdir(&dir)?;
    write(&dir.join("cluster.xml"), cluster_xml(lans, nodes))?;
    let mut key = [0u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .context(|| "making the cluster's key".to_owned())?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = dir.join("cluster.key");
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .context(|| format!("making {}", path.display()))?;
    std::io::Write::write_all(&mut file, format!("{hex}\n").as_bytes())
        .context(|| format!("writing {}", path.display()))
}

/// Where packaged modules come from: what is given, else `Application_Modules` beside the binary.
pub fn find_packages(given: Option<&Path>, binary: &Path) -> Result<Option<PathBuf>> {
    if let Some(dir) = given {
        if dir.is_dir() {
            return Ok(Some(dir.to_owned()));
        }
        return Err(LabError::Usage(format!("no packages: {} is not a directory", dir.display())));
    }
    let beside = binary.parent().map(|dir| dir.join("Application_Modules"));
    Ok(beside.filter(|dir| dir.is_dir()))
}

/// How long the daemons may take to see each other.
const SEEN_WITHIN: Duration = Duration::from_secs(20);

/// Waits until every node's daemon sees every other: `cluster confinfo` lists all with one signature.
pub fn wait_complete(lab: &Lab) -> Result<()> {
    let started = Instant::now();
    for node in &lab.nodes {
        loop {
            let seen = nodes_seen_by(lab, node);
            if seen.is_ok_and(|n| n == lab.nodes.len()) {
                break;
            }
            if started.elapsed() > SEEN_WITHIN {
                return Err(LabError::Timeout {
                    what: format!("the daemon of {node} doesn't see every node"),
                    waited_ms: SEEN_WITHIN.as_millis() as u64,
                    hint: format!(": see {}", lab.paths().console(node).display()),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// How many nodes this one hears that have its own configuration.
fn nodes_seen_by(lab: &Lab, node: &str) -> Result<usize> {
    let argv = ["holdfast", "cluster", "confinfo", "-o", "json"];
    let output = ask(lab, node, &argv, Duration::from_secs(2))?;
    let told: serde_json::Value =
        serde_json::from_str(&output.stdout).map_err(|e| LabError::Failed(format!("confinfo on {node}: {e}")))?;
    let rows = told["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = rows.iter().find(|row| row["node"] == node).map(|row| &row["signature"]);
    Ok(rows.iter().filter(|row| row["heard"] == true && Some(&row["signature"]) == own).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_on_every_lan() {
        let xml = cluster_xml(&["default".into(), "repli".into()], &["node1".into(), "node2".into()]);
        assert!(xml.contains("<lan name=\"repli\">\n      <node name=\"node1\" addr=\"10.90.2.1\"/>"));
        assert_eq!(xml.matches("<node ").count(), 4);
    }
}
