//! A partition in which both nodes acknowledge: what the one that gives way had is kept, and can be read.

use e2e::{MODULE, PGDATA, Pair, Settings};

fn sql(pair: &Pair, node: &str, statement: &str) -> String {
    let address = format!("host={} user=postgres dbname=postgres", pair.settings.vip());
    pair.lab.exec(node, &["psql", "-v", "ON_ERROR_STOP=1", "-qAt", "-c", statement, &address]).expect(statement)
}

fn conflict(pair: &Pair, node: &str, args: &[&str]) -> String {
    let command: Vec<&str> = ["conflict"].iter().chain(args).copied().chain(["-m", MODULE]).collect();
    pair.holdfast(node, &command).expect("holdfast conflict")
}

#[test]
fn the_losers_rows_are_in_the_kept_copy() {
    let pair = Pair::start("e2e-conf", Settings::default()).expect("a pair in step");
    let (winner, loser) = pair.roles().expect("roles");
    sql(&pair, winner, "CREATE TABLE said (by_whom text)");
    pair.lab.run("partition", &[winner, loser]).expect("a partition");
    pair.wait_state(winner, "ALONE").expect("the primary alone");
    pair.wait_state(loser, "ALONE").expect("the secondary alone");
    for node in [winner, loser] {
        // On the node itself: both have the virtual address now.
        sql(&pair, node, &format!("INSERT INTO said VALUES ('{node}')"));
    }
    pair.lab.run("heal", &[]).expect("healing");
    pair.wait_in_step().unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    assert_eq!(pair.roles().expect("roles"), (winner, loser), "the former primary stays");
    assert_eq!(sql(&pair, winner, "SELECT * FROM said").trim(), winner, "one history goes on");
    pair.compare_copies().expect("both nodes have the same");

    assert!(conflict(&pair, winner, &["list"]).contains("No copy was kept"));
    let list: serde_json::Value = serde_json::from_str(&conflict(&pair, loser, &["list", "-o", "json"])).expect("JSON");
    let copies = list["copies"].as_array().expect("copies");
    assert_eq!(copies.len(), 1, "{list}");
    assert_eq!(copies[0]["directory"], PGDATA);
    let name = copies[0]["copy"].as_str().expect("a name");
    let differing = conflict(&pair, loser, &["diff"]);
    assert!(differing.contains("pg_wal/") && differing.contains("differences"), "{differing}");

    conflict(&pair, loser, &["take", name, "--to", "/var/e2e.kept"]);
    let script = "set -e; bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); as='setpriv --reuid=postgres --regid=postgres --init-groups --'
         rm -f /var/e2e.kept/postmaster.pid
         $as $bin/pg_ctl start -s -w -D /var/e2e.kept -l /tmp/e2e.kept.log -o \"-c port=5999 -c listen_addresses='' -c unix_socket_directories=/tmp\" >/dev/null
         $as psql -qAt -h /tmp -p 5999 -d postgres -c 'SELECT * FROM said'
         $as $bin/pg_ctl stop -s -w -m fast -D /var/e2e.kept";
    let said = pair.lab.exec(loser, &["sh", "-c", script]).expect("the kept copy as a database");
    assert_eq!(said.trim(), loser, "what this node had acknowledged");

    conflict(&pair, loser, &["drop", name]);
    assert!(conflict(&pair, loser, &["list"]).contains("No copy was kept"));
}
