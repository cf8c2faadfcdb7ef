//! Witnesses (reference 004, 13.17): who goes on when both nodes fall silent for each other.

mod pair;

use hf_config::{Checker, SplitbrainCheck, Target};
use hf_node::heart::HeartInput;
use hf_rules::{Origin, RuleSet, parse};
use hf_types::{Command, ResourceValue};
use pair::Lab;

const ISOLATED: [&str; 3] = [
    "Resource splitbrain.uptodate set to down by splitbraincheck",
    "Action wait from failover rule splitbrain_failure",
    "Local state WAIT red",
];

/// A pair in step, with a witness that both reach.
fn pair_with_witness(replicates: bool) -> Lab {
    let mut lab = Lab::with(|config| {
        let mut set = RuleSet::new(15_000);
        let rules = parse("splitbrain_failure: if (splitbrain.uptodate == down) then wait();").rules;
        rules.into_iter().for_each(|rule| set.add(Origin::Default, rule));
        config.rules = set;
        config.replicates = replicates;
        let witnesses = vec![Target::Address("10.0.0.254".parse().expect("an address"))];
        config.checkers = vec![Checker::Splitbrain(SplitbrainCheck { ident: "witness".to_owned(), witnesses })];
    });
    lab.command(0, Command::Prim);
    run(&mut lab, 15_000, [true, true]);
    lab.command(1, Command::Second);
    run(&mut lab, 15_000, [true, true]);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    lab
}

/// Time passes, while the witness answers or doesn't, on each node. Never are there two primaries with an address.
fn run(lab: &mut Lab, ms: u64, witness: [bool; 2]) {
    for _ in 0..ms / 100 {
        lab.run(100);
        assert!(!(lab.nodes[0].vip && lab.nodes[1].vip), "both have the address\n{}", lab.logs());
        if lab.now / pair::MS % 500 >= 100 {
            continue;
        }
        for (node, up) in witness.into_iter().enumerate() {
            let Some(run) = lab.nodes[node].checkers.get("splitbrain.witness").copied() else { continue };
            let value = if up { ResourceValue::Up } else { ResourceValue::Down };
            let (resource, why, seen) = ("splitbrain.witness".to_owned(), String::new(), String::new());
            lab.hear(node, HeartInput::Checked { resource, run, value, why, seen });
        }
    }
}

fn uptodate(lab: &Lab, node: usize) -> String {
    lab.nodes[node].resources.get("splitbrain.uptodate").cloned().unwrap_or_default()
}

#[test]
fn the_primary_that_reaches_the_witness_goes_on() {
    let mut lab = pair_with_witness(true);
    lab.cut();
    run(&mut lab, 20_000, [true, false]);
    assert_eq!(lab.places(), ["ALONE green", "WAIT red"], "{}", lab.logs());
    lab.has_in_order(1, &ISOLATED);
    assert_eq!([uptodate(&lab, 0), uptodate(&lab, 1)], ["up", "down"]);
    run(&mut lab, 60_000, [false, true]);
    assert_eq!(
        lab.places(),
        ["ALONE green", "WAIT red"],
        "it waits for a heartbeat, not for the witness\n{}",
        lab.logs()
    );
    lab.heal();
    run(&mut lab, 30_000, [false, false]);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    assert_eq!(uptodate(&lab, 1), "up");
}

#[test]
fn the_secondary_that_reaches_the_witness_takes_over() {
    for replicates in [true, false] {
        let mut lab = pair_with_witness(replicates);
        lab.cut();
        run(&mut lab, 30_000, [false, true]);
        assert_eq!(lab.places(), ["WAIT red", "ALONE green"], "{}", lab.logs());
        lab.has_in_order(0, &ISOLATED);
        lab.heal();
        run(&mut lab, 30_000, [true, true]);
        assert_eq!(lab.places(), ["SECOND green", "PRIM green"], "{}", lab.logs());
    }
}

#[test]
fn a_secondary_takes_over_from_a_node_that_is_gone_if_it_reaches_the_witness() {
    for (witness, place) in [(true, "ALONE green"), (false, "WAIT red")] {
        let mut lab = pair_with_witness(true);
        lab.power_off(0);
        lab.nodes[0].checkers.clear();
        run(&mut lab, 30_000, [false, witness]);
        assert_eq!(lab.places()[1], place, "{}", lab.logs());
    }
}

#[test]
fn without_any_witness_nobody_goes_on_until_an_administrator_says_who() {
    for replicates in [true, false] {
        let mut lab = pair_with_witness(replicates);
        lab.cut();
        run(&mut lab, 60_000, [false, false]);
        assert_eq!(lab.places(), ["WAIT red", "WAIT red"], "{}", lab.logs());
        lab.command(0, Command::Stop);
        run(&mut lab, 5_000, [false, false]);
        lab.command(0, Command::Prim);
        run(&mut lab, 30_000, [false, false]);
        assert_eq!(lab.places(), ["ALONE green", "WAIT red"], "{}", lab.logs());
    }
}

#[test]
fn a_witness_that_is_gone_changes_nothing_while_the_nodes_hear_each_other() {
    let mut lab = pair_with_witness(true);
    run(&mut lab, 60_000, [false, false]);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    lab.command(1, Command::Stop);
    run(&mut lab, 30_000, [false, false]);
    assert_eq!(
        lab.places(),
        ["ALONE green", "STOP red"],
        "who knows that it is alone needs no witness\n{}",
        lab.logs()
    );
}

/// What the witness said before the silence says nothing about now.
#[test]
fn an_old_answer_counts_for_nothing() {
    let mut lab = pair_with_witness(true);
    lab.cut();
    lab.run(60_000);
    let places = lab.places();
    assert!(!places.iter().any(|place| place.starts_with("ALONE")), "{places:?}\n{}", lab.logs());
}

/// `checker off` takes the witness out: silence alone decides, as in a module that has none.
#[test]
fn without_checkers_no_witness_is_asked() {
    let mut lab = pair_with_witness(true);
    for node in 0..2 {
        lab.command(node, Command::CheckerOff);
    }
    run(&mut lab, 1_000, [true, true]);
    lab.power_off(0);
    run(&mut lab, 20_000, [false, false]);
    assert_eq!(lab.places()[1], "ALONE green", "{}", lab.logs());
    assert_ne!(uptodate(&lab, 1), "down");
}

/// Not after the rule's `handle_time` (15 s here): the other node takes over meanwhile.
#[test]
fn an_isolated_primary_leaves_at_once() {
    let mut lab = pair_with_witness(true);
    lab.cut();
    run(&mut lab, 10_000, [false, true]);
    assert!(lab.places()[0].starts_with("WAIT"), "{}", lab.logs());
}
