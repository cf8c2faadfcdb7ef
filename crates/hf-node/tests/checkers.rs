//! Checkers: when they run, and what is taken of what they find (reference 004, 13.10 to 13.16).

mod pair;

use hf_config::{Checker, CustomCheck, Target, TcpCheck, When};
use hf_node::heart::{HeartConfig, HeartInput};
use hf_rules::{Origin, RuleSet, parse};
use hf_types::{Command, ResourceValue, Script, ScriptOutcome};
use pair::Lab;

fn tcp(ident: &str, when: When) -> Checker {
    let target = Target::Address("10.0.0.9".parse().expect("an address"));
    let (interval_ms, timeout_ms) = (1000, 1000);
    Checker::Tcp(TcpCheck { ident: ident.to_owned(), when, action: None, target, port: 80, interval_ms, timeout_ms })
}

fn custom(ident: &str, when: When) -> Checker {
    let (exec, arguments) = ("x.sh".to_owned(), Vec::new());
    Checker::Custom(CustomCheck { ident: ident.to_owned(), when, action: None, exec, arguments })
}

fn with(rules: &'static str, checkers: &[Checker]) -> Lab {
    Lab::with(|config| {
        let mut set = RuleSet::new(500);
        parse(rules).rules.into_iter().for_each(|rule| set.add(Origin::Own, rule));
        config.rules = set;
        config.checkers = checkers.to_vec();
        config.scripts.extend([Script::StartBoth, Script::StopBoth, Script::StartSecond, Script::StopSecond]);
    })
}

/// What the checker that runs there finds; 0: it doesn't run.
fn finds(lab: &mut Lab, node: usize, resource: &str, value: ResourceValue) {
    let run = lab.nodes[node].checkers.get(resource).copied().unwrap_or(0);
    found(lab, node, resource, run, value);
}

fn found(lab: &mut Lab, node: usize, resource: &str, run: u64, value: ResourceValue) {
    let why = if value == ResourceValue::Up { "" } else { "it is dead" };
    let (resource, why, seen) = (resource.to_owned(), why.to_owned(), String::new());
    lab.hear(node, HeartInput::Checked { resource, run, value, why, seen });
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

/// Scripts and checkers in their order, in a word each.
fn course(lab: &mut Lab, node: usize) -> Vec<String> {
    let scripts = std::mem::take(&mut lab.nodes[node].scripts);
    let word = |script: String| match script.split(' ').collect::<Vec<_>>()[..] {
        ["check", resource] => format!("+{resource}"),
        ["uncheck", resource] => format!("-{resource}"),
        ["transition", ..] => String::new(),
        [name, "force", ..] => format!("{name}!"),
        [name, ..] => name.to_owned(),
        [] => String::new(),
    };
    scripts.into_iter().map(word).filter(|word| !word.is_empty()).collect()
}

const ALL: [(&str, When); 4] =
    [("pre", When::Pre), ("prim", When::Prim), ("second", When::Second), ("both", When::Both)];

fn one_of_each() -> Vec<Checker> {
    ALL.map(|(ident, when)| tcp(ident, when)).to_vec()
}

/// Up on both nodes, so that nobody waits.
fn pair_of(rules: &'static str, checkers: &[Checker]) -> Lab {
    let mut lab = with(rules, checkers);
    for node in 0..2 {
        lab.command(node, if node == 0 { Command::Prim } else { Command::Second });
        lab.run(200);
        for checker in checkers.iter().filter(|checker| checker.when() == When::Pre) {
            finds(&mut lab, node, &checker.resource(), ResourceValue::Up);
        }
        lab.run(10_000);
    }
    lab.until(10_000, ["PRIM green", "SECOND green"]);
    lab
}

#[test]
fn each_runs_between_the_scripts_of_its_name() {
    let mut lab = pair_of("", &one_of_each());
    assert_eq!(course(&mut lab, 0), ["prestart", "+tcp.pre", "start_both", "+tcp.both", "start_prim", "+tcp.prim"],);
    assert_eq!(course(&mut lab, 1), ["prestart", "+tcp.pre", "start_both", "+tcp.both", "start_second", "+tcp.second"],);
    lab.command(0, Command::Stop);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    assert_eq!(
        course(&mut lab, 0),
        ["-tcp.prim", "stop_prim", "stop_prim!", "-tcp.both", "stop_both", "stop_both!", "-tcp.pre", "poststop"],
    );
    let second = course(&mut lab, 1);
    assert_eq!(second, ["-tcp.second", "stop_second", "stop_second!", "start_prim", "+tcp.prim"]);
    assert!(lab.nodes[0].checkers.is_empty());
}

#[test]
fn a_module_without_the_scripts_has_the_checkers_all_the_same() {
    let mut lab = with("", &one_of_each());
    lab.nodes.iter_mut().for_each(|node| node.config.scripts.clear());
    lab.command(0, Command::Prim);
    lab.run(200);
    finds(&mut lab, 0, "tcp.pre", ResourceValue::Up);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    assert_eq!(course(&mut lab, 0), ["+tcp.pre", "+tcp.both", "+tcp.prim"]);
    lab.command(0, Command::Forcestop);
    lab.until(20_000, ["STOP red", "STOP red"]);
    assert!(lab.nodes[0].checkers.is_empty());
}

#[test]
fn wait_leaves_the_checkers_of_pre_running_and_their_word_wakes_the_module_up() {
    let mut lab = pair_of("net: if (tcp.pre == down) then wait();", &one_of_each());
    course(&mut lab, 0);
    finds(&mut lab, 0, "tcp.pre", ResourceValue::Down);
    assert_eq!(said(&lab, 0, "Resource tcp.pre set to down by tcpcheck"), 1);
    assert_eq!(said(&lab, 0, "Checker tcp.pre: it is dead"), 1);
    lab.until(20_000, ["WAIT red", "ALONE green"]);
    let words = course(&mut lab, 0);
    assert!(
        !words.iter().any(|word| word.ends_with("tcp.pre") || word == "poststop" || word == "prestart"),
        "{words:?}"
    );
    assert_eq!(value(&lab, 0, "tcp.prim"), "init", "what doesn't run says nothing");
    finds(&mut lab, 0, "tcp.pre", ResourceValue::Up);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    assert_eq!(said(&lab, 0, "Resource tcp.pre set to up by tcpcheck"), 2);
}

#[test]
fn nobody_leaves_wait_before_the_first_look() {
    let mut lab = with("", &[tcp("net", When::Pre)]);
    lab.command(0, Command::Prim);
    lab.run(60_000);
    assert_eq!((lab.places()[0].as_str(), value(&lab, 0, "tcp.net").as_str()), ("WAIT magenta", "init"));
    finds(&mut lab, 0, "tcp.net", ResourceValue::Down);
    lab.until(20_000, ["ALONE green", "STOP red"]);
}

#[test]
fn what_an_earlier_life_found_is_not_believed() {
    let mut lab = pair_of("app: if (tcp.prim == down) then restart();", &[tcp("prim", When::Prim)]);
    let before = lab.nodes[0].checkers["tcp.prim"];
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Up);
    lab.command(0, Command::Restart);
    lab.run(1_000);
    assert_ne!(lab.nodes[0].checkers["tcp.prim"], before);
    found(&mut lab, 0, "tcp.prim", before, ResourceValue::Down);
    assert_eq!(value(&lab, 0, "tcp.prim"), "init");
}

#[test]
fn an_application_that_is_still_starting_is_not_down() {
    let mut lab =
        pair_of("app: if (tcp.prim == down) then restart();", &[tcp("prim", When::Prim), tcp("pre", When::Pre)]);
    course(&mut lab, 0);
    lab.command(0, Command::Restart);
    lab.run(1_000);
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Down);
    assert_eq!(value(&lab, 0, "tcp.prim"), "init", "15 s have not passed");
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Up);
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Down);
    assert_eq!(value(&lab, 0, "tcp.prim"), "down", "it had come up");
    lab.run(2_000);
    assert_eq!(said(&lab, 0, "Action restart from failover rule app"), 1);
    lab.run(15_000);
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Down);
    assert_eq!(value(&lab, 0, "tcp.prim"), "down", "it had its time");
    lab.command(1, Command::Stopstart);
    lab.run(500);
    finds(&mut lab, 1, "tcp.pre", ResourceValue::Down);
    assert_eq!(value(&lab, 1, "tcp.pre"), "down", "what isn't the application has no time to start");
}

#[test]
fn nothing_that_does_not_look_holds_a_module_or_moves_it() {
    let mut lab = pair_of("net: if (tcp.pre == down) then wait();", &one_of_each());
    finds(&mut lab, 0, "tcp.pre", ResourceValue::Down);
    lab.until(20_000, ["WAIT red", "ALONE green"]);
    lab.command(0, Command::CheckerOff);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    assert_eq!((lab.nodes[0].checkers.len(), lab.nodes[0].kept_checking), (0, None), "the daemon kept it");
    assert_eq!((value(&lab, 0, "tcp.pre"), value(&lab, 0, "usersetting.checker")), ("init".into(), "off".into()));
    assert_eq!(said(&lab, 0, "Resource usersetting.checker set to off by heart"), 1);
    lab.command(0, Command::Stopstart);
    lab.run(1_000);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    let by = hf_types::Caller::system();
    lab.hear(0, HeartInput::Control { ticket: hf_types::Ticket(7), command: Command::CheckerOn, by });
    lab.run(10);
    let running: Vec<&String> = lab.nodes[0].checkers.keys().collect();
    assert_eq!(running, ["tcp.both", "tcp.pre", "tcp.second"], "those of SECOND");
    assert_eq!(lab.nodes[0].kept_checking, Some(true));
}

#[test]
fn another_configuration_starts_and_stops_what_changed() {
    let mut lab = pair_of("", &[tcp("pre", When::Pre), tcp("other", When::Pre), tcp("prim", When::Prim)]);
    lab.command(1, Command::Stop);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    finds(&mut lab, 0, "tcp.prim", ResourceValue::Up);
    let before = lab.nodes[0].checkers.clone();
    let mut moved = tcp("pre", When::Pre);
    if let Checker::Tcp(check) = &mut moved {
        check.port = 81;
    }
    let checkers = vec![moved, tcp("prim", When::Prim), tcp("new", When::Both), tcp("second", When::Second)];
    let next = HeartConfig { checkers, ..lab.nodes[0].config.clone() };
    lab.hear(0, HeartInput::Configured(Box::new(next)));
    lab.run(10);
    let after = lab.nodes[0].checkers.clone();
    assert_eq!(after.keys().collect::<Vec<_>>(), ["tcp.new", "tcp.pre", "tcp.prim"]);
    assert_eq!((after["tcp.prim"], value(&lab, 0, "tcp.prim")), (before["tcp.prim"], "up".into()), "it goes on");
    assert_ne!(after["tcp.pre"], before["tcp.pre"]);
    assert_eq!((value(&lab, 0, "tcp.pre"), value(&lab, 0, "tcp.second")), ("init".into(), "init".into()));
    assert_eq!(value(&lab, 0, "tcp.other"), "nothing");
}

#[test]
fn a_program_that_ends_is_started_again_and_its_last_word_holds() {
    let mut lab = pair_of("", &[custom("x", When::Prim)]);
    let run = lab.nodes[0].checkers["custom.x"];
    course(&mut lab, 0);
    let ended = || {
        let resource = "custom.x".to_owned();
        HeartInput::CheckerEnded { resource, run, outcome: ScriptOutcome::Exited(3) }
    };
    for _ in 0..3 {
        lab.hear(0, ended());
        lab.run(9_000);
        assert_eq!(course(&mut lab, 0), [""; 0]);
        lab.run(2_000);
        assert_eq!((course(&mut lab, 0), lab.nodes[0].checkers["custom.x"]), (vec!["+custom.x".to_owned()], run));
    }
    let line =
        "Checker custom.x: its program ended with exit code 3; it is started every 10 s, and what it said last holds";
    assert_eq!(said(&lab, 0, line), 1, "once, however often it ends");
    lab.command(0, Command::Stop);
    lab.run(20_000);
    assert_eq!(lab.places()[0], "STOP red");
}

/// Whatever says something of a checker says of which life: what comes late is of no interest.
#[test]
fn a_word_of_an_earlier_life_changes_nothing_while_the_next_one_runs() {
    let mut lab = pair_of("", &[custom("job", When::Prim)]);
    lab.run(20_000);
    let earlier = lab.nodes[0].checkers["custom.job"];
    lab.command(0, Command::Restart);
    lab.run(30_000);
    let now = lab.nodes[0].checkers["custom.job"];
    assert_ne!(earlier, now);
    finds(&mut lab, 0, "custom.job", ResourceValue::Up);
    found(&mut lab, 0, "custom.job", earlier, ResourceValue::Down);
    assert_eq!(value(&lab, 0, "custom.job"), "up", "{}", lab.logs());
    let (resource, outcome) = ("custom.job".to_owned(), ScriptOutcome::Exited(1));
    lab.hear(0, HeartInput::CheckerEnded { resource, run: earlier, outcome });
    lab.run(15_000);
    assert!(!lab.logs().contains("its program ended"), "{}", lab.logs());
}

#[test]
fn a_reason_is_told_once_for_each_change() {
    let mut lab = pair_of("", &[tcp("web", When::Pre)]);
    finds(&mut lab, 0, "tcp.web", ResourceValue::Up);
    for _ in 0..3 {
        finds(&mut lab, 0, "tcp.web", ResourceValue::Down);
    }
    assert_eq!(said(&lab, 0, "Checker tcp.web: it is dead"), 1, "{}", lab.logs());
}
