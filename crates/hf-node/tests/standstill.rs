//! A heart that stands still while its rfs goes on.

mod pair;

use pair::Lab;

/// Permissions to go alone that the heart of node 1 gave.
fn permissions(lab: &Lab) -> usize {
    lab.nodes[0].log.iter().filter(|line| line.contains("Permission ")).count()
}

/// The copies are in step as soon as they are connected, and the next permission follows: each round waits longer.
#[test]
fn a_link_that_the_other_heart_makes_useless_is_not_remade_all_the_time() {
    let mut lab = Lab::new().pair_up();
    lab.clear_logs();
    lab.freeze_heart(1);
    lab.run(60_000);
    assert!((2..10).contains(&permissions(&lab)), "{}", lab.logs());
    lab.thaw_heart(1, 60_000);
    lab.until(60_000, ["PRIM green", "SECOND green"]);
}

/// What broke once is made again at once.
#[test]
fn one_permission_waits_for_nothing() {
    let mut lab = Lab::new().pair_up();
    lab.freeze(1, 10_000);
    lab.clear_logs();
    lab.thaw(1, 10_000);
    lab.until(3_000, ["PRIM green", "SECOND green"]);
}

/// The network is back while the heart stands still, and what the other node says waits in its socket: no silence.
#[test]
fn what_waited_during_a_short_standstill_is_heard_before_a_silence_is_judged() {
    let mut lab = Lab::new().pair_up();
    lab.clear_logs();
    lab.cut();
    lab.run(4_200);
    lab.freeze_heart(1);
    lab.heal();
    lab.run(1_200);
    lab.thaw_heart(1, 1_200);
    lab.run(20_000);
    let log = lab.nodes[1].log.join("\n");
    assert!(!log.contains("Reason of failover"), "{log}");
    assert!(!log.contains("Local state ALONE"), "{log}");
}
