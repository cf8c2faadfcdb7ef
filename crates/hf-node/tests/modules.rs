//! Modules that depend on others (reference 004, 13.16, 4.4.6).

mod pair;

use hf_config::{Checker, ModuleCheck, Target};
use hf_node::heart::HeartInput;
use hf_rules::{Origin, RuleSet, parse};
use hf_types::{Command, ResourceValue};
use pair::Lab;

const RESOURCE: &str = "module.leader_10.0.0.200";
const CALLED: &str = "Action stopstart called by modulecheck";

fn dependent() -> Lab {
    let mut lab = Lab::with(|config| {
        let mut set = RuleSet::new(2_000);
        let rules = parse("module_failure: if (module.? == down) then wait();").rules;
        rules.into_iter().for_each(|rule| set.add(Origin::Default, rule));
        config.rules = set;
        config.checkers = vec![Checker::Module(ModuleCheck {
            ident: "leader_10.0.0.200".to_owned(),
            name: "leader".to_owned(),
            target: Target::Address("10.0.0.200".parse().expect("an address")),
            port: 9010,
            interval_ms: 10_000,
            timeout_ms: 5_000,
            secure: false,
        })];
    });
    for (node, command) in [(0, Command::Prim), (1, Command::Second)] {
        lab.command(node, command);
        pass(&mut lab, 10_000, Some("1"));
    }
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    lab
}

/// Time passes, while the checkers see this run of the other module, or that it isn't ready.
fn pass(lab: &mut Lab, ms: u64, run_of_other: Option<&str>) {
    for _ in 0..ms / 100 {
        (0..2).for_each(|node| see(lab, node, run_of_other));
        lab.run(100);
    }
}

fn see(lab: &mut Lab, node: usize, run_of_other: Option<&str>) {
    let Some(run) = lab.nodes[node].checkers.get(RESOURCE).copied() else { return };
    let value = if run_of_other.is_some() { ResourceValue::Up } else { ResourceValue::Down };
    let (resource, seen) = (RESOURCE.to_owned(), run_of_other.unwrap_or_default().to_owned());
    lab.hear(node, HeartInput::Checked { resource, run, value, why: String::new(), seen });
}

fn said(lab: &Lab, node: usize, line: &str) -> usize {
    lab.nodes[node].log.iter().filter(|other| *other == line).count()
}

#[test]
fn a_restart_of_the_other_module_is_followed_once() {
    let mut lab = dependent();
    assert_eq!(said(&lab, 0, CALLED), 0, "always the same run");
    pass(&mut lab, 60_000, Some("2"));
    assert_eq!(lab.places(), ["SECOND green", "PRIM green"], "{}", lab.logs());
    assert_eq!(said(&lab, 0, CALLED), 1);
    assert_eq!(said(&lab, 1, CALLED), 0, "nothing of the application ran there");
}

#[test]
fn the_module_waits_while_the_other_one_is_down_and_needs_no_second_start() {
    let mut lab = dependent();
    pass(&mut lab, 30_000, None);
    assert_eq!(lab.places(), ["WAIT red", "WAIT red"], "{}", lab.logs());
    lab.has_in_order(0, &["Action wait from failover rule module_failure", "Local state WAIT red"]);
    assert_eq!(said(&lab, 0, "Resource module.leader_10.0.0.200 set to down by modulecheck"), 1, "{}", lab.logs());
    lab.clear_logs();
    pass(&mut lab, 30_000, Some("2"));
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"], "{}", lab.logs());
    assert_eq!(said(&lab, 0, "Resource module.leader_10.0.0.200 set to up by modulecheck"), 1, "{}", lab.logs());
    assert_eq!(said(&lab, 0, CALLED), 0, "its application was started after the other module's");
}

/// The reference's fault (4.4.6): a stopstart between SECOND and ALONE ended in WAIT for good.
#[test]
fn a_restart_that_is_seen_while_taking_over_does_not_end_in_wait() {
    for late_ms in [0, 200, 1_000, 4_900, 5_200, 5_400, 5_600, 6_000, 8_000] {
        let mut lab = dependent();
        lab.start_prim_ms = 3_000;
        lab.power_off(0);
        pass(&mut lab, late_ms, Some("1"));
        pass(&mut lab, 40_000, Some("2"));
        assert_eq!(lab.places()[1], "ALONE green", "seen {late_ms} ms after the primary's death\n{}", lab.logs());
    }
}

#[test]
fn a_restart_that_is_seen_as_the_role_is_taken_waits_until_it_is_taken() {
    let mut lab = dependent();
    lab.power_off(0);
    lab.until(20_000, ["STOP red", "ALONE magenta"]);
    see(&mut lab, 1, Some("2"));
    pass(&mut lab, 40_000, Some("2"));
    assert_eq!(lab.places()[1], "ALONE green", "{}", lab.logs());
    assert_eq!(said(&lab, 1, CALLED), 1);
}

/// Both modules lose their primary at once: the other one comes up on this node some time later.
#[test]
fn another_module_that_fails_over_too_does_not_keep_this_one_from_it() {
    for down_ms in [0, 200, 2_000, 4_000, 5_200, 5_400, 6_000] {
        let mut lab = dependent();
        lab.power_off(0);
        pass(&mut lab, down_ms, Some("1"));
        pass(&mut lab, 20_000, None);
        pass(&mut lab, 40_000, Some("2"));
        assert_eq!(lab.places()[1], "ALONE green", "down {down_ms} ms after the primary's death\n{}", lab.logs());
    }
}
