//! Processes that are watched (reference 004, 4.4.1, 13.9, 15.7).

mod pair;

use hf_config::{Errd, Proc, ProcAction};
use hf_node::heart::{HeartInput, LoopLimits};
use hf_types::{Caller, Command, ErrdOrder, ScriptOutcome, Ticket};
use pair::Lab;
use std::time::Duration;

const POLL_MS: u64 = 30_000;

fn proc(name: &str, class: &str, action: ProcAction) -> Proc {
    Proc {
        name: name.to_owned(),
        service: false,
        name_regex: None,
        arg_regex: None,
        at_least: Some(1),
        at_most: None,
        action,
        class: class.to_owned(),
        start_after_polls: 0,
        restart_services: Vec::new(),
    }
}

/// A pair whose primary runs one process of each `<proc>` of class prim; three restarts are carried out.
fn lab(procs: Vec<Proc>) -> Lab {
    let mut lab = Lab::with(|config| {
        config.errd = Some(Errd { poll_ms: POLL_MS, procs: procs.clone() });
        config.loops = LoopLimits { max: 3, interval: Duration::from_secs(86_400), ..LoopLimits::OFF };
    });
    for node in 0..2 {
        procs.iter().for_each(|proc| lab.processes(node, &proc.name, 1));
    }
    lab.pair_up()
}

fn value(lab: &Lab, node: usize, name: &str) -> String {
    lab.nodes[node].resources.get(name).cloned().unwrap_or_default()
}

fn said(lab: &Lab, node: usize, line: &str) -> usize {
    lab.nodes[node].log.iter().filter(|other| *other == line).count()
}

/// The process is killed, and somebody's script starts it again at once.
fn kill(lab: &mut Lab, node: usize, name: &str) {
    lab.processes(node, name, 0);
    lab.run(5);
    lab.processes(node, name, 1);
}

fn order(lab: &mut Lab, node: usize, order: ErrdOrder) -> Result<(), String> {
    lab.nodes[node].answers.clear();
    lab.hear(node, HeartInput::Errd { ticket: Ticket(1 << 63), order, by: Caller("root".to_owned()) });
    lab.run(5);
    lab.nodes[node].answers.pop().unwrap_or(Ok(()))
}

#[test]
fn a_death_restarts_the_application_at_once_and_too_many_stop_it() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::Restart)]);
    assert_eq!((value(&lab, 0, "proc.appli"), value(&lab, 1, "proc.appli")), ("up".into(), "init".into()));
    for kills in 1..=3 {
        lab.clear_logs();
        kill(&mut lab, 0, "appli");
        lab.has_in_order(
            0,
            &["event atleast on proc appli", "Action restart called by errd", "Local state PRIM magenta"],
        );
        lab.until(20_000, ["PRIM green", "SECOND green"]);
        let scripts = &lab.nodes[0].scripts;
        assert!(scripts.iter().any(|script| script.starts_with("start_prim")), "{scripts:?}");
        lab.run(2_000);
        assert_eq!(value(&lab, 0, "proc.appli"), "up", "after {kills}");
    }
    kill(&mut lab, 0, "appli");
    lab.has_in_order(0, &["event atleast on proc appli", "Stopping loop"]);
    lab.until(20_000, ["STOP red", "ALONE green"]);
    lab.run(2_000);
    assert_eq!(value(&lab, 1, "proc.appli"), "up", "it is watched where it runs now");
}

#[test]
fn a_stopstart_hands_over_and_starts_automatically() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::Stopstart)]);
    kill(&mut lab, 0, "appli");
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    lab.has_in_order(
        0,
        &["event atleast on proc appli", "Action stopstart called by errd", "Action start called automatically"],
    );
    assert_eq!(value(&lab, 0, "proc.appli"), "init");
}

#[test]
fn a_stop_says_why_and_the_way_back() {
    let mut lab = lab(vec![proc("appli", "second", ProcAction::Stop)]);
    kill(&mut lab, 1, "appli");
    lab.has_in_order(1, &["event atleast on proc appli", "Action stop called by errd"]);
    lab.until(20_000, ["ALONE green", "STOP red"]);
    lab.run(2_000);
    let why = lab.nodes[1].ended.clone().expect("a reason");
    assert!(why.starts_with("Too few processes of appli run") && why.ends_with("'holdfast start -m mirror'"), "{why}");
}

#[test]
fn no_action_is_one_line_a_fault() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::NoAction)]);
    for faults in 1..=2 {
        lab.processes(0, "appli", 0);
        lab.run(3 * POLL_MS);
        assert_eq!(
            (said(&lab, 0, "event atleast on proc appli"), value(&lab, 0, "proc.appli")),
            (faults, "down".into())
        );
        lab.processes(0, "appli", 1);
        lab.run(POLL_MS + 10);
        assert_eq!(value(&lab, 0, "proc.appli"), "up");
    }
}

#[test]
fn what_was_never_there_has_one_poll_and_start_after_so_many_less_one() {
    for (start_after, missing_ms) in [(0, POLL_MS), (1, POLL_MS), (2, POLL_MS), (3, 2 * POLL_MS)] {
        let appli = Proc { start_after_polls: start_after, ..proc("appli", "own", ProcAction::NoAction) };
        let mut lab = lab(vec![appli]);
        lab.processes(0, "appli", 0);
        order(&mut lab, 0, ErrdOrder::Enable("own".to_owned())).expect("a class of it");
        lab.run(missing_ms - 100);
        assert_eq!((said(&lab, 0, "event atleast on proc appli"), value(&lab, 0, "proc.appli")), (0, "init".into()));
        lab.run(200);
        assert_eq!((said(&lab, 0, "event atleast on proc appli"), value(&lab, 0, "proc.appli")), (1, "down".into()));
    }
}

#[test]
fn what_starts_slowly_is_known_soon() {
    let mut lab = lab(vec![proc("appli", "own", ProcAction::NoAction)]);
    lab.processes(0, "appli", 0);
    order(&mut lab, 0, ErrdOrder::Enable("own".to_owned())).expect("a class of it");
    lab.run(1_100);
    lab.processes(0, "appli", 1);
    lab.run(1_500);
    assert_eq!(value(&lab, 0, "proc.appli"), "up");
    lab.processes(0, "appli", 0);
    lab.run(10);
    assert_eq!(said(&lab, 0, "event atleast on proc appli"), 1, "a death of what is known waits for no poll");
}

#[test]
fn too_many_are_seen_by_a_poll() {
    let many = Proc { at_least: None, at_most: Some(1), ..proc("appli", "prim", ProcAction::Restart) };
    let mut lab = lab(vec![many]);
    lab.processes(0, "appli", 2);
    lab.run(POLL_MS + 100);
    lab.has_in_order(0, &["event atmax on proc appli", "Action restart called by errd"]);
    lab.processes(0, "appli", 1);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
}

#[test]
fn nothing_is_done_while_scripts_run() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::Restart), proc("own", "own", ProcAction::Restart)]);
    order(&mut lab, 0, ErrdOrder::Enable("own".to_owned())).expect("a class of it");
    lab.run(1_000);
    lab.start_prim_ms = 5_000;
    lab.command(0, Command::Restart);
    lab.run(100);
    kill(&mut lab, 0, "appli");
    kill(&mut lab, 0, "own");
    lab.run(4_000);
    assert_eq!(said(&lab, 0, "Action restart called by errd"), 0, "{}", lab.logs());
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    lab.run(3_000);
    assert_eq!(said(&lab, 0, "event atleast on proc appli"), 0, "its class was disabled meanwhile");
}

#[test]
fn while_it_is_suspended_nothing_follows() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::Stop)]);
    assert_eq!(value(&lab, 0, "usersetting.errd"), "on");
    order(&mut lab, 0, ErrdOrder::Suspend).expect("done");
    assert_eq!((value(&lab, 0, "usersetting.errd"), value(&lab, 0, "proc.appli")), ("off".into(), "init".into()));
    lab.processes(0, "appli", 0);
    lab.run(3 * POLL_MS);
    assert_eq!(said(&lab, 0, "event atleast on proc appli"), 0);
    assert!(!lab.nodes[0].errd_off, "it ends with the module's stop");
    order(&mut lab, 0, ErrdOrder::Resume).expect("done");
    assert_eq!(value(&lab, 0, "usersetting.errd"), "on");
    lab.run(POLL_MS - 1_000);
    assert_eq!(said(&lab, 0, "event atleast on proc appli"), 0, "who resumes has a poll to start it");
    lab.run(2_000);
    assert_eq!(said(&lab, 0, "event atleast on proc appli"), 1);
}

#[test]
fn off_is_kept_over_a_stop_until_on() {
    let mut off = lab(vec![proc("appli", "prim", ProcAction::Stop)]);
    order(&mut off, 0, ErrdOrder::Off).expect("done");
    assert!(off.nodes[0].errd_off);
    off.nodes[0].config.errd_off = true;
    off.command(0, Command::Stop);
    off.until(20_000, ["STOP red", "ALONE green"]);
    off.command(0, Command::Start);
    off.until(20_000, ["SECOND green", "PRIM green"]);
    assert_eq!(value(&off, 0, "usersetting.errd"), "off");
    order(&mut off, 0, ErrdOrder::On).expect("done");
    assert!(!off.nodes[0].errd_off);
    assert_eq!(value(&off, 0, "usersetting.errd"), "on");
}

#[test]
fn a_handler_restarts_what_it_is_for() {
    let mut lab = lab(vec![proc("myappli", "myappli", ProcAction::Handler("restart_myappli".to_owned()))]);
    order(&mut lab, 0, ErrdOrder::Enable("myappli".to_owned())).expect("a class of it");
    lab.run(1_000);
    assert_eq!(value(&lab, 0, "proc.myappli"), "up");
    lab.processes(0, "myappli", 0);
    lab.run(10);
    lab.has_in_order(0, &["event atleast on proc myappli", "Action restart_myappli called by errd"]);
    let (run, handler) = lab.nodes[0].handlers.pop().expect("it is called");
    assert_eq!(handler, "restart_myappli");
    lab.run(2 * POLL_MS);
    assert!(lab.nodes[0].handlers.is_empty(), "once, as long as it runs");
    lab.processes(0, "myappli", 1);
    lab.hear(0, HeartInput::HandlerEnded { run, outcome: ScriptOutcome::Exited(0) });
    lab.run(1_000);
    assert_eq!((value(&lab, 0, "proc.myappli"), said(&lab, 0, "Stopping loop")), ("up".into(), 0));
}

#[test]
fn a_handler_that_fails_restarts_the_module() {
    let mut lab = lab(vec![proc("myappli", "myappli", ProcAction::Handler("restart_myappli".to_owned()))]);
    order(&mut lab, 0, ErrdOrder::Enable("myappli".to_owned())).expect("a class of it");
    lab.run(1_000);
    lab.processes(0, "myappli", 0);
    lab.run(10);
    let (run, _) = lab.nodes[0].handlers.pop().expect("it is called");
    lab.hear(0, HeartInput::HandlerEnded { run, outcome: ScriptOutcome::Exited(3) });
    lab.run(10);
    lab.has_in_order(0, &["Handler restart_myappli ended with exit code 3", "Action stopstart called by errd"]);
    lab.until(20_000, ["SECOND green", "PRIM green"]);
    assert_eq!(value(&lab, 0, "proc.myappli"), "init", "its class is not enabled before a script says so");
}

#[test]
fn a_stop_ends_a_handler() {
    let mut lab = lab(vec![proc("myappli", "myappli", ProcAction::Handler("restart_myappli".to_owned()))]);
    order(&mut lab, 0, ErrdOrder::Enable("myappli".to_owned())).expect("a class of it");
    lab.run(1_000);
    lab.processes(0, "myappli", 0);
    lab.run(10);
    let (run, _) = lab.nodes[0].handlers.pop().expect("it is called");
    let before = lab.nodes[0].killed;
    lab.command(0, Command::Stop);
    lab.run(10);
    assert_eq!(lab.nodes[0].killed, before + 1);
    lab.hear(0, HeartInput::HandlerEnded { run, outcome: ScriptOutcome::Signalled(9) });
    lab.until(20_000, ["STOP red", "ALONE green"]);
    assert_eq!(said(&lab, 0, "Action stopstart called by errd"), 0);
}

#[test]
fn services_to_restart_are_told_to_the_scripts_of_that_restart() {
    let services = vec!["httpd".to_owned(), "postgresql".to_owned()];
    let web = Proc { restart_services: services, ..proc("web", "prim", ProcAction::Restart) };
    let mut lab = lab(vec![web]);
    lab.clear_logs();
    kill(&mut lab, 0, "web");
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    let with = |lab: &Lab| {
        lab.nodes[0].scripts.iter().filter(|script| script.ends_with(" -Services httpd,postgresql")).count()
    };
    assert_eq!(with(&lab), 3, "stop_prim, stop_prim force and start_prim: {:?}", lab.nodes[0].scripts);
    lab.clear_logs();
    lab.command(0, Command::Restart);
    lab.run(1_000);
    lab.until(20_000, ["PRIM green", "SECOND green"]);
    assert_eq!(with(&lab), 0);
}

#[test]
fn the_list_says_how_each_is_and_a_wrong_class_is_named() {
    let mut lab = lab(vec![proc("appli", "prim", ProcAction::Restart), proc("own", "own", ProcAction::NoAction)]);
    order(&mut lab, 0, ErrdOrder::List).expect("done");
    assert_eq!(
        lab.nodes[0].listed,
        [
            "appli class=prim (enabled) action=restart up (1 running)",
            "own class=own (disabled) action=noaction init (not looked at)"
        ]
    );
    let why = order(&mut lab, 0, ErrdOrder::Enable("onw".to_owned())).expect_err("no such class");
    assert_eq!(why, "no <proc> of mirror has the class onw; there are own, prim");
}

#[test]
fn the_hardest_action_comes_first_in_whatever_order_processes_are_written_or_counted() {
    let procs = vec![
        proc("a", "prim", ProcAction::NoAction),
        proc("b", "prim", ProcAction::Restart),
        proc("c", "prim", ProcAction::Stop),
    ];
    let mut logs = Vec::new();
    for turn in 0..3 {
        let mut turned = procs.clone();
        turned.rotate_left(turn);
        let mut lab = lab(turned);
        lab.clear_logs();
        // All end between two words of who watches them.
        for name in ["a", "b", "c"] {
            lab.nodes[0].processes.insert(name.to_owned(), 0);
        }
        lab.processes(0, "a", 1);
        lab.processes(0, "a", 0);
        lab.until(20_000, ["STOP red", "ALONE green"]);
        logs.push(lab.nodes[0].log.clone());
    }
    assert_eq!(logs[0][..2], ["event atleast on proc c", "Action stop called by errd"]);
    assert!(logs.iter().all(|log| *log == logs[0]), "{logs:#?}");
}
