//! Whether modules that run can go on with another cluster configuration (reference 004, 12.2.3).

use hf_config::{Cluster, Diagnostics, ModuleConfig, Severity};
use hf_node::heart::{HeartConfig, unsound_lanes};
use hf_types::NodeName;
use std::net::IpAddr;

/// The errors of a configuration, without their places: for one line.
pub fn errors(found: &Diagnostics) -> String {
    let errors = found.list.iter().filter(|one| one.severity == Severity::Error);
    errors.map(|one| one.message.clone()).collect::<Vec<_>>().join("; ")
}

/// What keeps the module from going on with `after`: a sentence each. `parsed`: its configuration, read against `after`.
pub fn why_not(
    parsed: &Result<ModuleConfig, String>,
    present: &ModuleConfig,
    (before, after): (&Cluster, &Cluster),
    me: &NodeName,
) -> Vec<String> {
    let next = match parsed {
        Ok(next) => next,
        Err(why) => return vec![why.clone()],
    };
    let (old, new) = match (HeartConfig::from_config(present, before, me), HeartConfig::from_config(next, after, me)) {
        (Ok(old), Ok(new)) => (old, new),
        (_, Err(why)) => return vec![why.to_string()],
        // It can't run on this node as it is.
        (Err(_), Ok(_)) => return Vec::new(),
    };
    let mut found = old.needs_a_stop(&new);
    let lanes = |cluster: &Cluster, heart: &HeartConfig| -> Vec<(String, Option<Ends>)> {
        heart.lanes.iter().map(|lane| (lane.lan.to_string(), ends(cluster, lane.lan.as_str(), heart))).collect()
    };
    found.extend(unsound_lanes(&lanes(before, &old), &lanes(after, &new)));
    found
}

/// This node's own address, the other one's, and that one's own view of it.
type Ends = (IpAddr, IpAddr, IpAddr);

fn ends(cluster: &Cluster, lan: &str, heart: &HeartConfig) -> Option<Ends> {
    let me = cluster.node_on(heart.me.as_str(), lan)?;
    let peer = cluster.node_on(heart.peer.as_ref()?.as_str(), lan)?;
    Some((me.local_ip()?, peer.ip?, peer.local_ip()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANS: &str = r#"<lan name="default" console="off"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/></lan>
        <lan name="repli" console="off"><node name="n1" addr="10.1.0.1"/><node name="n2" addr="10.1.0.2"/></lan>"#;
    const MODULE: &str = r#"<safe><service mode="mirror"><heart><heartbeat name="default"/><heartbeat name="repli"/>
        </heart></service></safe>"#;

    fn cluster(lans: &str) -> Cluster {
        hf_config::parse_cluster(&format!("<cluster><lans>{lans}</lans></cluster>"), "cluster.xml").expect("a cluster")
    }

    fn why(lans: &str) -> Vec<String> {
        let (before, after) = (cluster(LANS), cluster(lans));
        let parse = |cluster: &Cluster| {
            let parsed = hf_config::parse_module(MODULE, "u.xml", "m", Some(cluster), &|_| None);
            parsed.map_err(|found| errors(&found))
        };
        let present = parse(&before).expect("a module");
        why_not(&parse(&after), &present, (&before, &after), &"n1".parse().expect("a name"))
    }

    #[test]
    fn what_a_running_module_can_follow() {
        assert_eq!(why(LANS), [""; 0]);
        let more = format!(
            r#"{LANS}<lan name="third"><node name="n1" addr="10.2.0.1"/><node name="n2" addr="10.2.0.2"/><node name="n3" addr="10.2.0.3"/></lan>"#
        );
        assert_eq!(why(&more), [""; 0], "a network and a node more");
        assert_eq!(why(&LANS.replace("10.0.0.2", "10.0.0.7")), [""; 0], "another address on one of two networks");
        let both = why(&LANS.replace("10.0.0.2", "10.0.0.7").replace("10.1.0.1", "10.1.0.7"));
        assert!(both[0].contains("(default, repli) change at once"), "{both:?}");
        let gone = why(&LANS.replace(r#"name="repli""#, r#"name="other""#));
        assert!(gone[0].contains("repli"), "{gone:?}");
        let third = LANS.replacen(r#"</lan>"#, r#"<node name="n3" addr="10.9.0.3"/></lan>"#, 1);
        assert!(why(&third)[0].contains("the network default has 3 nodes"), "{:?}", why(&third));
        let turned = LANS.replace(
            r#"<node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/>"#,
            r#"<node name="n2" addr="10.0.0.2"/><node name="n1" addr="10.0.0.1"/>"#,
        );
        assert!(why(&turned)[0].contains("another order"), "{:?}", why(&turned));
        let renamed = LANS.replace("n2", "n9");
        assert!(why(&renamed)[0].contains("n1 and n9"), "{:?}", why(&renamed));
    }
}
