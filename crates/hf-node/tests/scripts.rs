//! The order of scripts at every event is the table of the decision record: this test reads it from there.

mod pair;

use hf_node::heart::{HeartEffect, HeartInput};
use hf_types::{Command, Hang, Instant, RunId, Script};
use pair::Lab;
use std::collections::BTreeMap;

const RECORD: &str = include_str!("../../../docs/design/0004-order-of-scripts.md");

/// What both nodes call at each event, from the record's last table.
fn table() -> BTreeMap<String, [Vec<String>; 2]> {
    let rows = RECORD.lines().skip_while(|line| !line.starts_with("| event |")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let calls = |cell: &str| cell.split("; ").filter(|call| !call.is_empty()).map(written_out).collect();
        (cells[0].to_owned(), [calls(cells[1]), calls(cells[2])])
    })
    .collect()
}

/// `stop_prim! PRIM STOP stop` as it is called.
fn written_out(call: &str) -> String {
    call.replacen("! ", " force ", 1)
}

fn lab() -> Lab {
    Lab::with(|config| config.scripts = Script::OF_STATES.into())
}

fn paired() -> Lab {
    let mut lab = lab().pair_up();
    lab.clear_logs();
    lab
}

/// Compares what was called since the last look; `transition` runs beside and has a test of its own.
fn check(lab: &mut Lab, event: &str) {
    let table = table();
    let expected = table.get(event).unwrap_or_else(|| panic!("no row {event:?} in the record"));
    for (node, expected) in expected.iter().enumerate() {
        let called: Vec<&String> = lab.nodes[node].scripts.iter().filter(|s| !s.starts_with("transition")).collect();
        assert_eq!(called, expected.iter().collect::<Vec<_>>(), "{event}, node {}\n{}", node + 1, lab.logs());
    }
    lab.clear_logs();
}

#[test]
fn first_start() {
    let mut lab = lab();
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    check(&mut lab, "prim on 1");
    lab.command(1, Command::Second);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(1000);
    assert_eq!(lab.places(), ["PRIM green", "SECOND green"]);
    check(&mut lab, "second on 2");
}

#[test]
fn swap() {
    let mut lab = paired();
    lab.command(0, Command::Swap);
    lab.until(10_000, ["SECOND green", "PRIM green"]);
    lab.run(1000);
    check(&mut lab, "swap");
}

#[test]
fn stop_of_either() {
    let mut lab = paired();
    lab.command(0, Command::Stop);
    lab.until(10_000, ["STOP red", "ALONE green"]);
    lab.run(1000);
    check(&mut lab, "stop on 1");
    let mut lab = paired();
    lab.command(1, Command::Stop);
    lab.until(10_000, ["ALONE green", "STOP red"]);
    lab.run(1000);
    check(&mut lab, "stop on 2");
}

#[test]
fn stopstart() {
    let mut lab = paired();
    lab.command(0, Command::Stopstart);
    lab.run(1);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.run(1000);
    check(&mut lab, "stopstart on 1");
}

#[test]
fn forcestop() {
    let mut lab = paired();
    lab.command(0, Command::Forcestop);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.run(1000);
    check(&mut lab, "forcestop on 1");
}

#[test]
fn power_off() {
    let mut lab = paired();
    lab.power_off(0);
    lab.until(10_000, ["STOP red", "ALONE green"]);
    lab.run(1000);
    check(&mut lab, "power off of 1");
}

#[test]
fn transitions_of_a_failover_and_a_return() {
    let transitions = |lab: &Lab, node: usize| -> Vec<String> {
        let all = lab.nodes[node].scripts.iter();
        all.filter_map(|script| script.strip_prefix("transition ")).map(str::to_owned).collect()
    };
    let mut lab = paired();
    lab.power_off(0);
    lab.until(10_000, ["STOP red", "ALONE green"]);
    assert_eq!(transitions(&lab, 1), ["SECOND ALONE start"]);
    lab.clear_logs();
    lab.command(0, Command::Start);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.run(1000);
    assert_eq!(transitions(&lab, 0), ["STOP WAIT start", "WAIT SECOND start"]);
    assert_eq!(transitions(&lab, 1), ["ALONE PRIM start"]);
}

#[test]
fn without_a_prestart_everything_is_stopped() {
    let scripts = [Script::StopBoth, Script::StopPrim, Script::StopSecond, Script::StopSec, Script::StartPrim];
    let mut lab = Lab::with(|config| config.scripts = scripts.into());
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    let stops = ["stop_sec", "stop_second", "stop_prim", "stop_both"].into_iter();
    let stops = stops.flat_map(|stop| [format!("{stop} STOP WAIT start"), format!("{stop} force STOP WAIT start")]);
    let expected: Vec<String> = stops.chain(["start_prim WAIT ALONE start".to_owned()]).collect();
    assert_eq!(lab.nodes[0].scripts, expected);
    assert!(!lab.logs().contains("prestart"), "{}", lab.logs());
}

#[test]
fn a_failover_does_not_wait_for_what_starts_on_the_secondary() {
    let mut lab = lab();
    lab.start_second_ms = 100_000;
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.command(1, Command::Second);
    lab.run(10_000);
    // In step and able to take over, though its scripts still run.
    assert_eq!(lab.places(), ["ALONE green", "SECOND magenta"], "{}", lab.logs());
    lab.clear_logs();
    lab.power_off(0);
    lab.until(7_000, ["STOP red", "ALONE green"]);
    assert_eq!(lab.nodes[1].killed, 1);
    check(&mut lab, "power off of 1 while start_second runs");
}

#[test]
fn a_secondary_that_falls_back_stops_what_ran_on_it() {
    let mut lab = paired();
    // A new synchronisation is under way when the primary goes: the copy is good for nothing.
    lab.nodes[1].engine.stream = 0;
    lab.break_link();
    lab.until(5_000, ["ALONE green", "SECOND magenta"]);
    lab.clear_logs();
    lab.power_off(0);
    lab.until(20_000, ["STOP red", "WAIT red"]);
    check(&mut lab, "power off of 1 while 2 is synchronised");
}

#[test]
fn restart() {
    let mut lab = paired();
    lab.command(0, Command::Restart);
    lab.run(50);
    lab.until(10_000, ["PRIM green", "SECOND green"]);
    lab.run(1000);
    check(&mut lab, "restart on 1");
}

#[test]
fn a_script_that_takes_long_is_the_reason_of_the_state() {
    let mut lab = lab();
    lab.start_prim_ms = 100_000;
    lab.command(0, Command::Prim);
    lab.until(20_000, ["ALONE magenta", "STOP red"]);
    lab.run(2_000);
    let hang = Hang { pid: 4711, command: "sleep 600".to_owned(), state: 'S', waits_in: None, elapsed_s: 30 };
    // Its runs are numbered: prestart, two transitions and start_both came before.
    let run = RunId(5);
    let now = Instant(lab.now);
    let heart = lab.nodes[0].heart.as_mut().expect("a heart");
    let effects = heart.handle(now, HeartInput::ScriptHangs { run, script: Script::StartPrim, hang });
    let said = "has been running for 30 s: process 4711 (sleep 600) waits";
    let logged = |effect: &HeartEffect| matches!(effect, HeartEffect::Log(event) if event.to_string() == format!("Script start_prim {said}"));
    assert!(effects.iter().any(logged), "{effects:?}");
    assert_eq!(heart.status().why, Some(format!("script start_prim {said}")));
    lab.until(120_000, ["ALONE green", "STOP red"]);
    let why = lab.nodes[0].heart.as_ref().and_then(|heart| heart.status().why);
    assert!(why.is_none_or(|why| !why.contains("4711")), "it has ended");
}
