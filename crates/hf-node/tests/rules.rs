//! Failover rules: what follows from a resource, when, and what it counts as (reference 004, 4.4, 13.18).

mod pair;

use hf_node::heart::{HeartConfig, HeartInput, LoopLimits};
use hf_rules::{Origin, RuleSet, parse};
use hf_types::{Assignment, Caller, Command, History, ResourceValue, Ticket};
use pair::Lab;
use std::time::Duration;

const HANDLE_TIME_MS: u64 = 1_000;

fn rules(config: &mut HeartConfig, text: &str) {
    let parsed = parse(text);
    assert_eq!(parsed.problems, []);
    let mut set = RuleSet::new(HANDLE_TIME_MS);
    parsed.rules.into_iter().for_each(|rule| set.add(Origin::Own, rule));
    let (names, _) = set.remote();
    config.told = names.into_iter().collect();
    config.rules = set;
    config.loops = LoopLimits { max: 3, interval: Duration::from_secs(86_400), zero_us: 0, reboot: false };
}

fn with(text: &'static str) -> Lab {
    Lab::with(|config| rules(config, text)).pair_up()
}

fn set(lab: &mut Lab, node: usize, name: &str, value: &str) {
    let value = ResourceValue::parse(value).expect("a value");
    let assignment =
        Assignment { name: name.parse().expect("a name"), value, by: "check".to_owned(), history: History::Changes };
    lab.hear(node, HeartInput::Set { ticket: Ticket(9), assignment });
    lab.run(10);
}

fn value(lab: &Lab, node: usize, name: &str) -> String {
    let status = lab.nodes[node].heart.as_ref().expect("it runs").status();
    let found = status.resources.into_iter().find(|resource| resource.name == name);
    found.map_or_else(|| "nothing".to_owned(), |resource| resource.value.to_string())
}

fn said(lab: &Lab, node: usize, line: &str) -> usize {
    lab.nodes[node].log.iter().filter(|other| *other == line).count()
}

fn scripts(lab: &Lab, node: usize, of: &str) -> usize {
    lab.nodes[node].scripts.iter().filter(|script| script.starts_with(of)).count()
}

#[test]
fn a_restart_follows_after_handle_time_and_not_before() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    let started = scripts(&lab, 0, "start_prim");
    set(&mut lab, 0, "custom.app", "down");
    assert_eq!(value(&lab, 0, "rule.app"), "up");
    lab.run(HANDLE_TIME_MS - 200);
    assert_eq!(said(&lab, 0, "Action restart from failover rule app"), 0);
    lab.run(400);
    lab.has_in_order(
        0,
        &[
            "Resource custom.app set to down by check",
            "Action restart from failover rule app",
            "Transition RESTART from failover rule app",
        ],
    );
    set(&mut lab, 0, "custom.app", "up");
    lab.until(10_000, ["PRIM green", "SECOND green"]);
    assert_eq!((scripts(&lab, 0, "start_prim"), value(&lab, 0, "rule.app").as_str()), (started + 1, "down"));
}

#[test]
fn a_fault_that_passes_in_time_changes_nothing() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    for _ in 0..5 {
        set(&mut lab, 0, "custom.app", "down");
        lab.run(HANDLE_TIME_MS - 300);
        set(&mut lab, 0, "custom.app", "up");
        lab.run(100);
    }
    assert_eq!(said(&lab, 0, "Action restart from failover rule app"), 0);
}

#[test]
fn the_time_in_which_the_heart_stood_still_does_not_count() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    set(&mut lab, 0, "custom.app", "down");
    lab.run(HANDLE_TIME_MS - 200);
    lab.hear(0, HeartInput::Stalled { for_ms: 20_000 });
    lab.run(500);
    assert_eq!(said(&lab, 0, "Action restart from failover rule app"), 0);
    lab.run(HANDLE_TIME_MS);
    assert_eq!(said(&lab, 0, "Action restart from failover rule app"), 1);
}

#[test]
fn a_restart_is_for_a_primary() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    set(&mut lab, 1, "custom.app", "down");
    lab.run(5 * HANDLE_TIME_MS);
    assert_eq!(
        (value(&lab, 1, "rule.app").as_str(), said(&lab, 1, "Action restart from failover rule app")),
        ("up", 0)
    );
    // It takes over with the fault: its time begins there.
    lab.command(0, Command::Stop);
    lab.until(10_000, ["STOP red", "ALONE green"]);
    assert_eq!(said(&lab, 1, "Action restart from failover rule app"), 0);
    lab.run(2 * HANDLE_TIME_MS);
    assert_eq!(said(&lab, 1, "Action restart from failover rule app"), 1);
}

#[test]
fn a_wait_on_the_primary_is_a_failover_and_ends_by_itself() {
    let mut lab = with("customid_failure: if (custom.id == down) then wait();");
    let before = (scripts(&lab, 0, "prestart"), scripts(&lab, 0, "poststop"));
    set(&mut lab, 0, "custom.id", "down");
    lab.until(20_000, ["WAIT red", "ALONE green"]);
    lab.has_in_order(
        0,
        &[
            "Action wait from failover rule customid_failure",
            "Transition WAIT_TR from failover rule customid_failure",
            "Local state WAIT red",
        ],
    );
    assert_eq!(said(&lab, 0, "Action wait from failover rule customid_failure"), 1);
    let why = lab.nodes[0].heart.as_ref().expect("it runs").status().why.unwrap_or_default();
    assert!(why.contains("customid_failure") && why.contains("custom.id == down"), "{why}");
    lab.run(60_000);
    assert_eq!(lab.places(), ["WAIT red", "ALONE green"]);
    set(&mut lab, 0, "custom.id", "up");
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(
        0,
        &["Local state WAIT red", "Transition WAKEUP from failover rule Implicit_WAKEUP", "Local state SECOND green"],
    );
    let after = (scripts(&lab, 0, "prestart"), scripts(&lab, 0, "poststop"));
    assert_eq!(after, before, "stopwait runs neither (reference 004, 13.18.4)");
}

#[test]
fn a_module_that_starts_with_the_fault_waits_at_once() {
    let mut lab = Lab::with(|config| {
        rules(config, "net: if (custom.net == down) then wait(); back: if (custom.net == up) then wakeup();");
        config.checkers = vec![hf_config::Checker::Custom(hf_config::CustomCheck {
            ident: "net".to_owned(),
            when: hf_config::When::Pre,
            action: None,
            exec: "net.sh".to_owned(),
            arguments: Vec::new(),
        })];
    });
    lab.command(0, Command::Prim);
    lab.run(20_000);
    assert_eq!(lab.places()[0], "WAIT magenta", "nothing was measured so far");
    set(&mut lab, 0, "custom.net", "down");
    lab.run(100);
    assert_eq!(lab.places()[0], "WAIT red");
    assert_eq!(said(&lab, 0, "Action wait from failover rule net"), 1);
    set(&mut lab, 0, "custom.net", "up");
    lab.until(20_000, ["ALONE green", "STOP red"]);
    assert_eq!(said(&lab, 0, "Transition WAKEUP from failover rule back"), 1);
}

#[test]
fn the_fourth_restart_by_rules_stops_the_module() {
    let mut lab = with("app: if (custom.app == down) then stopstart();");
    for _ in 0..3 {
        set(&mut lab, 1, "custom.app", "down");
        lab.run(HANDLE_TIME_MS + 200);
        set(&mut lab, 1, "custom.app", "up");
        lab.until(20_000, ["PRIM green", "SECOND green"]);
    }
    assert_eq!((said(&lab, 1, "Action stopstart from failover rule app"), said(&lab, 1, "Stopping loop")), (3, 0));
    set(&mut lab, 1, "custom.app", "down");
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(1, &["Stopping loop", "End of stop", "Local state STOP red"]);
}

#[test]
fn a_fault_that_stays_restarts_three_times_and_then_stops() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    set(&mut lab, 0, "custom.app", "down");
    lab.until(60_000, ["STOP red", "ALONE green"]);
    assert_eq!(said(&lab, 0, "Transition RESTART from failover rule app"), 4);
    assert_eq!(said(&lab, 0, "Stopping loop"), 1);
}

#[test]
fn an_administrators_command_begins_the_counting_anew() {
    let mut lab = with("app: if (custom.app == down) then restart();");
    for round in 0..6 {
        set(&mut lab, 0, "custom.app", "down");
        lab.run(HANDLE_TIME_MS + 200);
        set(&mut lab, 0, "custom.app", "up");
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        if round % 2 == 1 {
            lab.command(0, Command::Restart);
            lab.run(50);
            lab.until(20_000, ["PRIM green", "SECOND green"]);
        }
    }
    assert_eq!((said(&lab, 0, "Action restart from failover rule app"), said(&lab, 0, "Stopping loop")), (6, 0));
}

#[test]
fn a_stop_is_a_stop_and_a_swap_a_swap() {
    let mut lab = with("end: if (custom.end == up) then stop(); other: if (custom.other == up) then swap();");
    set(&mut lab, 0, "custom.other", "up");
    lab.run(HANDLE_TIME_MS + 200);
    set(&mut lab, 0, "custom.other", "down");
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(
        0,
        &["Action swap from failover rule other", "Transition SWAP from failover rule other", "Begin of Swap"],
    );
    set(&mut lab, 1, "custom.end", "up");
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.has_in_order(1, &["Action stop from failover rule end", "End of stop"]);
}

#[test]
fn what_the_other_node_found_counts_too() {
    let mut lab = with("there: if (remote.custom.app == up && custom.app == down) then swap();");
    set(&mut lab, 0, "custom.app", "down");
    set(&mut lab, 1, "custom.app", "down");
    lab.run(5 * HANDLE_TIME_MS);
    assert_eq!(
        (lab.places(), value(&lab, 0, "rule.there").as_str()),
        (["PRIM green", "SECOND green"].map(String::from), "down")
    );
    set(&mut lab, 1, "custom.app", "up");
    lab.run(HANDLE_TIME_MS + 500);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
}

#[test]
fn a_node_that_is_not_heard_is_unknown_not_down() {
    let mut lab = with(
        "gone: if (remote.custom.app == unknown) then custom.gone=up; down: if (remote.custom.app == down) then stop();",
    );
    set(&mut lab, 1, "custom.app", "up");
    lab.run(500);
    assert_eq!(value(&lab, 0, "custom.gone"), "nothing");
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(10_000);
    assert_eq!((value(&lab, 0, "custom.gone").as_str(), lab.places()[0].as_str()), ("up", "ALONE green"));
    lab.has_in_order(0, &["Resource custom.gone set to up by failover rule gone"]);
}

#[test]
fn an_administrators_stopwait_is_not_ended_by_rules() {
    let mut lab = with("net: if (custom.net == down) then wait();");
    lab.command_by(1, Command::Stopwait, Caller("SYSTEM/root".to_owned()));
    lab.until(20_000, ["ALONE green", "WAIT red"]);
    set(&mut lab, 1, "custom.net", "down");
    lab.run(2_000);
    set(&mut lab, 1, "custom.net", "up");
    lab.run(10_000);
    assert_eq!(lab.places(), ["ALONE green", "WAIT red"]);
    lab.command(1, Command::Start);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

/// Reference 004, 4.4.6 tells of this fault: after a takeover from a node that is gone, the copy alone would wait for that node.
#[test]
fn a_wait_after_a_takeover_ends_by_itself() {
    let mut lab = with("net: if (custom.net == down) then wait();");
    lab.power_off(0);
    lab.until(30_000, ["STOP red", "ALONE green"]);
    set(&mut lab, 1, "custom.net", "down");
    lab.until(30_000, ["STOP red", "WAIT red"]);
    set(&mut lab, 1, "custom.net", "up");
    lab.until(30_000, ["STOP red", "ALONE green"]);
    lab.command_by(1, Command::Stopstart, Caller::detector("modulecheck"));
    lab.run(1_000);
    lab.until(30_000, ["STOP red", "ALONE green"]);
}

#[test]
fn after_a_reboot_the_same_copy_waits_for_the_other_one() {
    let mut lab = with("net: if (custom.net == down) then wait();");
    lab.power_off(0);
    lab.until(30_000, ["STOP red", "ALONE green"]);
    lab.power_off(1);
    lab.run(1_000);
    lab.command(1, Command::Start);
    lab.until(30_000, ["STOP red", "WAIT red"]);
}
