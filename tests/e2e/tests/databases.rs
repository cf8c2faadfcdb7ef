//! MariaDB and Redis (append-only file) under load, on one lab: a power cut of the primary, a swap, kills of rfs.

use e2e::Databases;

#[test]
fn mariadb_and_redis_lose_nothing() {
    let all = Databases::start("e2e-db").expect("both in step");
    let loads = all.loads().expect("two loads");
    all.wait_for_more(&loads, 50).expect("acknowledged writes");

    // Both lose their primary at once.
    all.0.lab.run("power-off", &["node1"]).expect("a cut");
    all.wait_for_more(&loads, 50).expect("acknowledged writes after the takeover");
    all.0.lab.run("power-on", &["node1"]).expect("power");
    let daemon = "for n in $(seq 600); do holdfast state >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1";
    all.0.sh("node1", daemon).expect("a daemon");
    all.each("node1", "start").expect("a start");
    all.wait_in_step("node2", "node1").expect("in step after the cut");

    all.each("node2", "swap").expect("a swap");
    all.wait_in_step("node1", "node2").expect("in step after the swap");
    all.wait_for_more(&loads, 50).expect("acknowledged writes after the swap");

    for module in ["mariadb", "redis"] {
        for node in ["node1", "node2"] {
            all.0.lab.run("kill", &[node, "rfs", "--module", module]).expect("a kill");
            all.wait_for_more(&loads, 20).expect("acknowledged writes after a kill");
        }
    }
    all.wait_in_step("node1", "node2").expect("in step after the kills");

    let summaries = all.verified(loads).expect("all that was acknowledged");
    eprintln!("held: {summaries:?}");
    all.compare_copies_after_a_stop("node1", "node2").expect("equal copies");
    // The second copy is as good: its own server says so.
    all.each("node1", "swap").expect("a swap");
    all.wait_in_step("node2", "node1").expect("in step after the last swap");
    all.verify().expect("all that was acknowledged, on the other copy");
}
