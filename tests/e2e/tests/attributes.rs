//! What other scenarios leave at its default, in one module: two replicated directories, one of them a mount point, `mountoversuffix`, `tocheck`,
//! `notreplicated`, `acl`, `encryption="off"`, `reidetail`, no user log; several interfaces and addresses, `name`, `netmask`, `tcpreset`, `connections`.

use e2e::copies::tree_program;
use e2e::{Module, Small, wait_until};
use std::process::Stdio;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);
const APP: &str = "two";
const BOTH: [&str; 2] = ["node1", "node2"];
const DIRS: [&str; 2] = ["/data/two", "/data/own"];
const VIPS: [&str; 3] = ["10.90.1.20", "fd90:1::20", "10.90.2.20"];

const CONFIG: &str = r#"<safe><service mode="mirror">
  <heart pulse="200ms" timeout="2s"><heartbeat name="default"/><heartbeat name="repli" ident="flow"/></heart>
  <rfs mountoversuffix="_behind" acl="on" encryption="off" reidetail="on">
    <replicated dir="/data/two"><tocheck path="mark"/><notreplicated path="local"/><notreplicated regexpath=".*\.tmp"/></replicated><replicated dir="/data/own"/>
  </rfs>
  <vip tcpreset="on"><interface_list>
    <interface arpreroute="on"><real_interface>
      <virtual_addr addr="10.90.1.20" where="one_side_alias" connections="on"/>
      <virtual_addr addr="fd90:1::20" where="one_side_alias"/>
    </real_interface></interface>
    <interface name="eth1"><real_interface>
      <virtual_addr addr="10.90.2.20" netmask="255.255.255.0" where="one_side_alias"/>
    </real_interface></interface>
  </interface_list></vip>
  <user nicestoptimeout="20" forcestoptimeout="20" logging="none" userlogsize="64"/>
</service></safe>"#;

/// What `<tocheck>` asks for, and the mount.
const BEFORE: &str = "mkdir -p /data/two; touch /data/two/mark; mkdir -p /data/own /data/disk_of_its_own; mount --bind /data/disk_of_its_own /data/own";
/// As the machine's fstab does at each boot.
const MOUNT: &str = "mkdir -p /data/own /data/disk_of_its_own; mount --bind /data/disk_of_its_own /data/own";

/// Both directories are equal on both nodes, as somebody who reads them sees them.
fn equal(small: &Small) {
    let program = tree_program().expect("the program that lists a copy");
    for dir in DIRS {
        let tree = |node: &str| small.sh(node, &format!("'{}' {dir}", program.display())).expect("a listing");
        wait_until(&format!("{dir} is the same on both nodes"), PATIENCE, || tree("node1") == tree("node2"))
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", tree("node1"), tree("node2")));
    }
}

fn pair(small: &Small, primary: &str, secondary: &str) {
    small.wait(APP, &[(primary, "PRIM", "green"), (secondary, "SECOND", "green")]).expect("a pair");
}

/// Every address on `holder` and on no other of `nodes`, each on its own card.
fn addresses_are_on(small: &Small, holder: &'static str, nodes: &[&'static str]) {
    for vip in VIPS {
        small.only_holder(vip, nodes, holder).expect("each address moves");
    }
    let shown = small.sh(holder, "ip -o address show").expect("the addresses");
    let has = |card: &str, entry: &str| shown.lines().any(|line| line.contains(card) && line.contains(entry));
    let there = has("eth0", " 10.90.1.20/32 ") && has("eth1", " 10.90.2.20/24 ") && has("eth0", " fd90:1::20/128 ");
    assert!(there, "{shown}");
}

/// In both directories, with access control lists of their own and to be inherited.
fn write(small: &Small, node: &str, number: u32) {
    for dir in DIRS {
        let script = format!(
            "set -e; mkdir {dir}/d{number}; head -c 100000 /dev/urandom > {dir}/d{number}/file; setfacl -m u:1234:r {dir}/d{number}/file
             setfacl -d -m u:1235:rx {dir}/d{number}; echo {number} > {dir}/d{number}/inherits; sync"
        );
        small.sh(node, &script).expect("writes");
    }
}

#[test]
fn what_other_scenarios_leave_at_its_default() {
    let module = Module { config: CONFIG, before: BEFORE, ..Module::new(APP, VIPS[0], "") };
    let small = Small::up("e2e-attr", &BOTH, &[], &[module]).expect("a lab");
    small.first_start(APP, "node1", "node2").expect("a pair");
    small.sh("node1", "ls -d /data/two_behind /data/own_behind").expect("mountoversuffix");
    let state = small.holdfast("node1", &["state", "-m", APP, "-v"]).expect("state");
    let plain =
        |line: &str| line.contains("usersetting.encryption") && line.split_whitespace().any(|word| word == "off");
    assert!(state.lines().any(plain), "{state}");
    addresses_are_on(&small, "node1", &BOTH);
    write(&small, "node1", 1);
    equal(&small);

    connections_are_counted_and_reset(&small);
    addresses_are_on(&small, "node2", &BOTH);
    write(&small, "node2", 2);
    equal(&small);

    small.lab.run("power-off", &["node2"]).expect("a power cut");
    small.wait(APP, &[("node1", "ALONE", "green")]).expect("a takeover");
    addresses_are_on(&small, "node1", &["node1"]);
    let mark = small.mark(APP, "node1").expect("a log");
    write(&small, "node1", 3);
    small.lab.run("power-on", &["node2"]).expect("power");
    small.sh("node2", MOUNT).expect("its fstab");
    small.start_when_up(APP, "node2").expect("start");
    pair(&small, "node1", "node2");
    small.said(APP, "node1", mark, &["d3/file"]).expect("reidetail: each file of which something was copied");
    equal(&small);
    let shown = small.sh("node2", "getfacl -cp /data/own/d3/file /data/two/d3/inherits").expect("the lists");
    assert!(shown.contains("user:1234:r") && shown.contains("user:1235:"), "acl: {shown}");
    for node in BOTH {
        small.sh(node, "cd $SAFEVAR/modules/two && ! ls | grep ulog").expect("logging=\"none\"");
    }
    addresses_are_translated(&small);
    what_is_not_replicated_stays_where_it_is(&small);
}

/// 13.6.3, `<notreplicated>`: what is left out is each node's own, also after the roles have changed twice.
fn what_is_not_replicated_stays_where_it_is(small: &Small) {
    let own = |node: &str| {
        let script = format!(
            "cd /data/two; mkdir -p local d4/deep; echo {node} | tee local/file > d4/deep/x.tmp; echo {node} > from_{node}; sync"
        );
        small.sh(node, &script).expect("writes");
    };
    let swap_to = |primary: &str, secondary: &str| {
        small.holdfast(primary, &["swap", "-m", APP]).expect("swap");
        pair(small, primary, secondary);
    };
    own("node1");
    swap_to("node2", "node1");
    small.sh("node2", "cd /data/two; test -e from_node1 -a ! -e local/file -a ! -e d4/deep/x.tmp").expect("left out");
    own("node2");
    swap_to("node1", "node2");
    for node in BOTH {
        let found =
            small.sh(node, "cd /data/two; cat local/file d4/deep/x.tmp from_node1 from_node2").expect("all there");
        assert_eq!(found.lines().collect::<Vec<_>>(), [node, node, "node1", "node2"], "on {node}");
    }
}

/// 12.1.3, `laddr`: each node is known to the other by an address that it doesn't have itself. The translation is done by each node's own kernel: what it
/// sends to the other's outer address goes to the inner one, what comes from the other's inner address seems to come from the outer one.
fn addresses_are_translated(small: &Small) {
    let chains = "nft add table ip holdfast_nat
        nft 'add chain ip holdfast_nat out { type nat hook output priority -100; }'
        nft 'add chain ip holdfast_nat in { type nat hook input priority 100; }'";
    for node in BOTH {
        if let Err(error) = small.sh(node, &format!("set -e; {chains}")) {
            eprintln!("laddr is not tried: this kernel translates no addresses ({error:#})");
            return;
        }
    }
    for node in ["node2", "node1"] {
        small.holdfast(node, &["stop", "-m", APP]).expect("stop");
        small.holdfast(node, &["waitstop", "-m", APP]).expect("waitstop");
    }
    for (node, other) in [("node1", 2), ("node2", 1)] {
        let rules: String = [1, 2]
            .map(|lan| {
                format!(
                    "ip route add 10.91.{lan}.0/24 dev eth{}
                     nft add rule ip holdfast_nat out ip daddr 10.91.{lan}.{other} dnat to 10.90.{lan}.{other}
                     nft add rule ip holdfast_nat in ip saddr 10.90.{lan}.{other} snat to 10.91.{lan}.{other}\n",
                    lan - 1
                )
            })
            .concat();
        let script = format!(
            "set -e
             {rules}
             cd $SAFEVAR/cluster; sed -E 's/addr=\"10.90.([12]).([12])\"/addr=\"10.91.\\1.\\2\" laddr=\"10.90.\\1.\\2\"/' cluster.xml > new.xml
             grep -q 'laddr=\"10.90.2.2\"' new.xml; mv new.xml cluster.xml"
        );
        small.sh(node, &script).expect("translation, and a cluster.xml that knows of it");
    }
    wait_until("the daemons hear each other", PATIENCE, || {
        let shown = small.holdfast("node1", &["cluster", "confinfo", "-o", "json"]).unwrap_or_default();
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
        let nodes = shown["nodes"].as_array().cloned().unwrap_or_default();
        nodes.len() == 2 && nodes.iter().all(|node| node["heard"] == true && node["signature"] == nodes[0]["signature"])
    })
    .expect("membership through the translation");
    small.holdfast("node1", &["start", "-m", APP]).expect("start");
    small.holdfast("node2", &["start", "-m", APP]).expect("start");
    pair(small, "node1", "node2");
    for (node, other) in [("node1", "10.91.2.2"), ("node2", "10.91.2.1")] {
        let state = small.holdfast(node, &["state", "-m", APP, "-v"]).expect("state");
        for lane in ["heartbeat.default", "heartbeat.flow"] {
            let up = |line: &str| line.contains(lane) && line.split_whitespace().any(|word| word == "up");
            assert!(state.lines().any(up), "{lane} through the translation: {state}");
        }
        assert!(!state.contains("not in cluster.xml"), "{state}");
        let links = small.sh(node, "ss -Htn state established").expect("connections");
        assert!(links.contains(other), "the replication link of {node} goes to {other}: {links}");
    }
    write(small, "node1", 4);
    equal(small);
}

/// A server that no script stops keeps its end of a connection: without `tcpreset` the client would wait for ever once the address has moved.
fn connections_are_counted_and_reset(small: &Small) {
    let server = "socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); \
                  bind(S, sockaddr_in(7777, INADDR_ANY)) or die; listen(S, 5); while (accept(my $c, S)) { push @all, $c }";
    small.sh("node1", &format!("setsid perl -MSocket -e '{server}' > /dev/null 2>&1 < /dev/null &")).expect("a server");
    wait_until("the server listens", PATIENCE, || small.sh("node1", "ss -Hltn | grep -q :7777").is_ok())
        .expect("a server");
    let client = small
        .lab
        .command("exec", &["client", "--", "timeout", "90", "bash", "-c", "exec 3<>/dev/tcp/10.90.1.20/7777; cat <&3"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a client");
    let counts =
        |line: &str| line.contains("connections.10.90.1.20") && line.split_whitespace().any(|word| word == "1");
    let counted = || small.holdfast("node1", &["state", "-m", APP, "-v"]).is_ok_and(|shown| shown.lines().any(counts));
    wait_until("connections", PATIENCE, counted).expect("connections");
    small.holdfast("node2", &["swap", "-m", APP]).expect("swap");
    pair(small, "node2", "node1");
    let ended = client.wait_with_output().expect("the client's end");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("reset by peer"), "tcpreset: {said}");
}
