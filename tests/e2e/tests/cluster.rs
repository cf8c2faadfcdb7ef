//! The cluster's networks in the lab: a lane that fails is nothing, IPv6 and names, what is refused while modules run.

use e2e::{MODULE, Pair, Settings};
use std::time::{Duration, Instant};

/// Both networks in other words: one IPv6, one by the names that the lab's hosts file has.
const OTHER_WORDS: &str = r#"<cluster><lans>
  <lan name="default"><node name="node1" addr="[fd90:1::1]"/><node name="node2" addr="[fd90:1::2]"/></lan>
  <lan name="repli"><node name="node1" addr="node1-repli"/><node name="node2" addr="node2-repli"/></lan>
</lans></cluster>"#;

fn sh(pair: &Pair, node: &str, script: &str) -> String {
    pair.lab.exec(node, &["sh", "-c", script]).unwrap_or_else(|error| panic!("{script}: {error:#}"))
}

fn commit(pair: &Pair, number: u32) {
    let sql = format!(
        "PGHOST={} PGUSER=postgres psql -qAtd postgres -c 'INSERT INTO lanes VALUES ({number})'",
        pair.settings.vip()
    );
    sh(pair, "client", &sql);
}

/// Without each of the two networks in turn: commits go on, nobody changes state.
fn unplug_each(pair: &Pair) {
    let (primary, secondary) = pair.roles().expect("a pair in step");
    let table = format!(
        "PGHOST={} PGUSER=postgres psql -qAtd postgres -c 'CREATE TABLE IF NOT EXISTS lanes (n int)'",
        pair.settings.vip()
    );
    sh(pair, "client", &table);
    for lan in ["repli", "default"] {
        // The clients' network of the primary stays: the secondary's cable is pulled.
        pair.lab.run("unplug", &[secondary, lan]).expect("unplugged");
        let began = Instant::now();
        for number in 0.. {
            let one = Instant::now();
            commit(pair, number);
            println!("{lan} unplugged: commit {number} after {:?}", one.elapsed());
            assert!(pair.is(primary, "PRIM", "green"), "{}", pair.logs());
            assert!(pair.is(secondary, "SECOND", "green"), "{}", pair.logs());
            if began.elapsed() > Duration::from_secs(8) {
                break;
            }
        }
        pair.lab.run("plug", &[secondary, lan]).expect("plugged in");
        pair.wait_lanes().expect("both networks before the next one goes");
    }
    pair.wait_in_step().expect("in step all the time");
}

#[test]
fn one_lane_of_two_is_enough_also_with_ipv6_and_names() {
    let pair = Pair::start("cluster-lanes", Settings::default()).expect("a pair in step");
    unplug_each(&pair);

    let refused = pair.holdfast("node1", &["cluster", "delkey", "--insecure-plaintext"]).expect_err("modules run");
    assert!(format!("{refused:#}").contains(&format!("holdfast stop -m {MODULE}")), "{refused:#}");
    for node in ["node2", "node1"] {
        pair.holdfast(node, &["stop", "-m", MODULE]).expect("a stop");
        pair.wait_state(node, "STOP").expect("stopped");
    }
    sh(
        &pair,
        "node1",
        &format!(
            "cat > /tmp/cluster.xml <<'X'\n{OTHER_WORDS}\nX\nholdfast cluster confcheck /tmp/cluster.xml && holdfast cluster config /tmp/cluster.xml"
        ),
    );
    let addresses = sh(&pair, "node1", "cat \"$SAFEVAR/cluster/cluster_ip.xml\"");
    assert!(addresses.contains("node2-repli"), "{addresses}");
    let key = sh(&pair, "node1", "cat \"$SAFEVAR/cluster/cluster.key\"");
    sh(
        &pair,
        "node2",
        &format!(
            "cd \"$SAFEVAR/cluster\" && umask 077 && echo {} > k && mv k cluster.key && cat > x <<'X'\n{OTHER_WORDS}\nX\nmv x cluster.xml",
            key.trim()
        ),
    );
    let same = || {
        let shown = pair.holdfast("node1", &["cluster", "confinfo", "-o", "json"]).unwrap_or_default();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
        let nodes = shown["nodes"].as_array().cloned().unwrap_or_default();
        nodes.len() == 2 && nodes[1]["heard"] == true && nodes[0]["signature"] == nodes[1]["signature"]
    };
    pair.wait("one signature", Duration::from_secs(90), same).expect("both nodes go by it");
    // node2 got no addresses with the copy: its daemon looks the names up by itself.
    let looked_up =
        || pair.lab.exec("node2", &["sh", "-c", "grep -q node1-repli \"$SAFEVAR/cluster/cluster_ip.xml\""]).is_ok();
    pair.wait("names looked up", Duration::from_secs(90), looked_up).expect("the names are in the hosts file");
    for node in ["node1", "node2"] {
        pair.holdfast(node, &["start", "-m", MODULE]).expect("a start");
    }
    pair.wait_in_step().expect("in step over IPv6");
    let links = sh(&pair, "node1", "ss -Htn state established '( sport = :5600 or dport = :5600 )'");
    // The names' network comes first; a slow machine may have given it up once: unplugging each proves both.
    assert!(links.contains("10.90.2.") || links.contains("fd90:1::"), "{links}");
    println!("the replication goes over: {links}");
    unplug_each(&pair);
    let state = || pair.holdfast("node1", &["cluster", "state"]).unwrap_or_default();
    let both = || state().matches(MODULE).count() == 2;
    pair.wait("both nodes' modules", Duration::from_secs(60), both).unwrap_or_else(|_| panic!("{}", state()));
}
