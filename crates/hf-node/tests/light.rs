//! Light modules (reference 004, 6.2): one node by itself, whatever the same module does on another one.

mod pair;

use hf_node::heart::LoopLimits;
use hf_rules::{Origin, RuleSet};
use hf_types::{Assignment, Caller, Command, History, Mode, ResourceValue, Script};
use hf_wire::bus::DaemonToHeart;
use pair::Lab;
use std::time::Duration;

fn lab() -> Lab {
    Lab::with(|config| {
        config.mode = Mode::Light;
        config.peer = None;
        config.lanes.clear();
        config.vips.clear();
        config.replicates = false;
        config.scripts = Script::OF_STATES.into();
        config.loops = LoopLimits { max: 3, interval: Duration::from_secs(3600), zero_us: 0, reboot: false };
        let mut rules = RuleSet::new(500);
        let text = "app: if (custom.app == down) then restart(); net: if (custom.net == down) then wait();
                    again: if (custom.again == down) then stopstart(); moved: if (custom.moved == down) then swap();";
        hf_rules::parse(text).rules.into_iter().for_each(|rule| rules.add(Origin::Own, rule));
        config.rules = rules;
    })
}

/// Node 1 is UP, and what led there is forgotten.
fn up() -> Lab {
    let mut lab = lab();
    lab.command(0, Command::Start);
    lab.until(5_000, ["UP green", "STOP red"]);
    lab.run(1_000);
    lab
}

fn calls(lab: &mut Lab) -> Vec<String> {
    let all = std::mem::take(&mut lab.nodes[0].scripts);
    all.into_iter().filter(|call| !call.starts_with("transition")).collect()
}

fn set(lab: &mut Lab, name: &str, value: ResourceValue) {
    let name = name.parse().unwrap();
    let assignment = Assignment { name, value, by: "check".to_owned(), history: History::Changes };
    let ticket = hf_types::Ticket(9);
    lab.hear(0, hf_node::heart::HeartInput::Daemon(DaemonToHeart::Set { ticket, assignment }));
    lab.run(600);
}

#[test]
fn it_starts_by_itself_and_asks_nobody() {
    let mut lab = up();
    lab.has_in_order(
        0,
        &[
            "Action start called by SYSTEM/root",
            "Local state WAIT magenta",
            "Script prestart",
            "Local state UP magenta",
            "Script start_both",
            "Local state UP green",
        ],
    );
    assert_eq!(calls(&mut lab), ["prestart STOP WAIT start", "start_both WAIT UP start"]);
    let resources = &lab.nodes[0].resources;
    assert_eq!(resources["state.local"], "UP green");
    assert!(!resources.contains_key("state.remote") && !resources.contains_key("usersetting.failover"));
    assert!(!lab.logs().contains("Remote state"), "{}", lab.logs());
    // Minutes later, too: nobody is missed.
    lab.run(120_000);
    assert_eq!(lab.nodes[0].heart.as_ref().unwrap().status().why, None);
}

#[test]
fn each_node_is_a_module_of_its_own() {
    let mut lab = up();
    lab.command(1, Command::Start);
    lab.until(5_000, ["UP green", "UP green"]);
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "UP green"]);
    lab.run(60_000);
    assert_eq!(lab.places(), ["STOP red", "UP green"]);
    assert!(!lab.logs().contains("Reason of failover"), "{}", lab.logs());
}

#[test]
fn stop_and_forcestop() {
    let mut lab = up();
    calls(&mut lab);
    lab.command(0, Command::Stop);
    lab.until(5_000, ["STOP red", "STOP red"]);
    assert_eq!(calls(&mut lab), ["stop_both UP STOP stop", "stop_both force UP STOP stop", "poststop UP STOP stop"]);
    lab.has_in_order(
        0,
        &["Action stop called by SYSTEM/root", "Local state UP magenta", "End of stop", "Local state STOP red"],
    );
    let mut lab = up();
    calls(&mut lab);
    lab.command(0, Command::Forcestop);
    lab.until(5_000, ["STOP red", "STOP red"]);
    assert_eq!(calls(&mut lab), ["stop_both force UP STOP stop", "poststop UP STOP stop"]);
}

#[test]
fn restart_stays_up_and_stopstart_goes_through_wait() {
    let mut lab = up();
    calls(&mut lab);
    lab.command(0, Command::Restart);
    lab.run(5_000);
    assert_eq!(lab.places()[0], "UP green");
    assert_eq!(calls(&mut lab), ["stop_both UP UP stop", "stop_both force UP UP stop", "start_both UP UP start"]);
    lab.command(0, Command::Stopstart);
    lab.run(5_000);
    assert_eq!(lab.places()[0], "UP green");
    let expected = [
        "stop_both UP WAIT stopstart",
        "stop_both force UP WAIT stopstart",
        "poststop UP WAIT stopstart",
        "prestart UP WAIT stopstart",
        "start_both WAIT UP start",
    ];
    assert_eq!(calls(&mut lab), expected);
}

#[test]
fn stopwait_holds_it_until_start() {
    let mut lab = up();
    calls(&mut lab);
    lab.command(0, Command::Stopwait);
    lab.run(5_000);
    assert_eq!(lab.places()[0], "WAIT red");
    assert_eq!(calls(&mut lab), ["stop_both UP WAIT stopwait", "stop_both force UP WAIT stopwait"]);
    lab.command(0, Command::Start);
    lab.until(5_000, ["UP green", "STOP red"]);
    assert_eq!(calls(&mut lab), ["start_both WAIT UP start"]);
}

#[test]
fn commands_about_two_nodes_are_refused_by_name() {
    for command in [
        Command::Prim,
        Command::PrimFullsync,
        Command::Primforce,
        Command::Second,
        Command::SecondFullsync,
        Command::Secondforce(1),
        Command::Swap,
        Command::SwapNosync,
        Command::FailoverOff,
        Command::FailoverOn,
    ] {
        let mut lab = up();
        lab.command(0, command);
        lab.run(1_000);
        let why = "this is a light module: only mirror modules have a primary and a secondary";
        assert_eq!(lab.nodes[0].answers, [Err(why.to_owned())], "{command}");
        assert_eq!(lab.places()[0], "UP green");
    }
}

#[test]
fn rules_restart_hold_and_begin_anew() {
    let mut lab = up();
    calls(&mut lab);
    set(&mut lab, "custom.app", ResourceValue::Down);
    set(&mut lab, "custom.app", ResourceValue::Up);
    lab.has_in_order(0, &["Action restart from failover rule app", "Local state UP magenta", "Local state UP green"]);
    assert_eq!(calls(&mut lab).last().unwrap(), "start_both UP UP start");
    set(&mut lab, "custom.net", ResourceValue::Down);
    assert_eq!(lab.places()[0], "WAIT red");
    set(&mut lab, "custom.net", ResourceValue::Up);
    assert_eq!(lab.places()[0], "UP green");
    set(&mut lab, "custom.again", ResourceValue::Down);
    set(&mut lab, "custom.again", ResourceValue::Up);
    assert!(calls(&mut lab).contains(&"prestart UP WAIT stopstart".to_owned()));
    // There is nobody to swap with.
    set(&mut lab, "custom.moved", ResourceValue::Down);
    assert_eq!(lab.places()[0], "UP green");
    assert!(!lab.logs().contains("swap"), "{}", lab.logs());
}

#[test]
fn the_restart_after_maxloop_stops_it() {
    let mut lab = up();
    for _ in 0..3 {
        lab.command_by(0, Command::Restart, Caller::detector("errd"));
        lab.run(1_000);
        assert_eq!(lab.places()[0], "UP green");
    }
    lab.command_by(0, Command::Restart, Caller::detector("errd"));
    lab.until(5_000, ["STOP red", "STOP red"]);
    lab.has_in_order(0, &["Stopping loop", "End of stop", "Local state STOP red"]);
}

#[test]
fn a_stall_of_its_own_changes_nothing() {
    let mut lab = up();
    lab.stall(0, 60_000);
    lab.run(10_000);
    assert_eq!(lab.places()[0], "UP green");
    lab.command(0, Command::Stopstart);
    lab.run(5_000);
    assert_eq!(lab.places()[0], "UP green");
}

#[test]
fn a_start_script_that_fails_is_told_and_leaves_the_decision_to_checkers() {
    let mut lab = lab();
    lab.prim_fails = true;
    lab.command(0, Command::Start);
    lab.run(5_000);
    lab.has_in_order(0, &["Script start_both", "Script start_both ended with exit code 1", "Local state UP green"]);
}
