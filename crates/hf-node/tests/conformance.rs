//! The cases of `conformance/*.md`: what an administrator who knows the reference expects of a module, in text, carried out by the pure machines.
//!
//! A section has a line `Given: STATE` and a table; each row is a case: steps; where both nodes are when nothing moves any more; what was said,
//! refused or called on the way; and why. `conformance/README.md` explains the words.

mod pair;

use hf_node::heart::{HeartInput, LoopLimits};
use hf_rules::{Origin, RuleSet};
use hf_types::{Assignment, Caller, Command, History, Mode, ResourceValue, Script, Ticket};
use hf_wire::bus::DaemonToHeart;
use pair::Lab;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// What is asked for: fewer would not cover every state with every command.
const CASES_MIN: usize = 250;
/// Longer than any change takes in these nodes, which have no faults of their own.
const SETTLED_MS: u64 = 40_000;
/// How long nothing may move after that.
const QUIET_MS: u64 = 3_000;

struct Case {
    place: String,
    given: String,
    steps: String,
    then: String,
    says: String,
    why: String,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let pages = files.iter().filter(|path| path.file_name().is_some_and(|name| name != "README.md"));
    pages
        .flat_map(|path| {
            cases_of(&path.file_name().unwrap().to_string_lossy(), &std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn cases_of(file: &str, text: &str) -> Vec<Case> {
    let mut given = String::new();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(state) = line.strip_prefix("Given: ") {
            given = state.trim().trim_end_matches('.').to_owned();
        }
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else { continue };
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        if cells[0] == "steps" || cells[0].starts_with("---") {
            continue;
        }
        let place = format!("{file}:{}", number + 1);
        let [steps, then, says, why] = cells[..] else { panic!("{place}: four columns, not {}", cells.len()) };
        let [steps, then, says, why] = [steps, then, says, why].map(|cell| cell.replace('`', ""));
        found.push(Case { place, given: given.clone(), steps, then, says, why });
    }
    found
}

// ---- given ---------------------------------------------------------------------------------------------------------

/// The nodes with the options behind the state, as in `PRIM SECOND, failover off`.
fn nodes(options: &[&str]) -> Lab {
    let mode = mode(options);
    Lab::with(|config| {
        config.scripts = Script::OF_STATES.into();
        config.loops = LoopLimits { max: 3, interval: Duration::from_secs(3600), zero_us: 0, reboot: false };
        if !mode.has_pair() {
            config.mode = mode;
            config.peer = None;
            config.lanes.clear();
            config.vips.clear();
            config.replicates = false;
        }
        for option in options {
            match option.split_once(' ') {
                None if *option == "light" || *option == "farm" => {}
                None if *option == "lastprim" => config.lastprim = true,
                None if *option == "unreplicated" => config.replicates = false,
                None if *option == "syncat" => config.scheduled = true,
                None if *option == "rules" => config.rules = rules(),
                Some(("failover", "off")) => config.failover = false,
                Some(("defaultprim", node)) => config.defaultprim = Some(format!("node{node}").parse().unwrap()),
                Some(("maxloop", max)) => config.loops.max = max.parse().unwrap(),
                _ => panic!("no option {option:?}"),
            }
        }
        if options.contains(&"rules") {
            config.told = vec!["custom.app".to_owned(), "custom.net".to_owned()];
        }
    })
}

fn mode(options: &[&str]) -> Mode {
    match options {
        _ if options.contains(&"light") => Mode::Light,
        _ if options.contains(&"farm") => Mode::Farm,
        _ => Mode::Mirror,
    }
}

fn rules() -> RuleSet {
    let mut set = RuleSet::new(500);
    let text = "app: if (custom.app == down) then restart();
                net: if (custom.net == down) then wait();
                again: if (custom.again == down) then stopstart();
                away: if (custom.away == down) then swap();
                over: if (custom.over == down) then stop();
                both: if (custom.one == down && custom.two == down) then restart();
                theirs: if (remote.custom.app == down) then custom.seen = up;";
    hf_rules::parse(text).rules.into_iter().for_each(|rule| set.add(Origin::Own, rule));
    set
}

fn given(state: &str) -> Lab {
    let mut words = state.split(',').map(str::trim);
    let state = words.next().unwrap();
    let options: Vec<&str> = words.collect();
    let mut lab = nodes(&options);
    match state {
        "STOP STOP" if !mode(&options).has_pair() => {}
        "UP STOP" => arrive(&mut lab, "1 start", ["UP green", "STOP red"]),
        "UP UP" => arrive(&mut lab, "1 start; 2 start", ["UP green", "UP green"]),
        "UP (starting) STOP" => {
            lab.start_both_ms = 60_000;
            arrive(&mut lab, "1 start", ["UP magenta", "STOP red"]);
        }
        "WAIT (stopwait) STOP" => {
            arrive(&mut lab, "1 start", ["UP green", "STOP red"]);
            arrive(&mut lab, "1 stopwait", ["WAIT red", "STOP red"]);
        }
        "WAIT (rule) STOP" => {
            arrive(&mut lab, "1 start; wait 1 s; 1 set custom.net down", ["WAIT red", "STOP red"]);
        }
        "new" => {}
        "ALONE new" => arrive(&mut lab, "1 prim", ["ALONE green", "STOP red"]),
        "ALONE (starting) new" => {
            lab.start_prim_ms = 60_000;
            arrive(&mut lab, "1 prim", ["ALONE magenta", "STOP red"]);
        }
        "WAIT new" => arrive(&mut lab, "1 start", ["WAIT red", "STOP red"]),
        "PRIM SECOND" => pair_up(&mut lab),
        "ALONE WAIT" => {
            arrive(&mut lab, "1 prim", ["ALONE green", "STOP red"]);
            arrive(&mut lab, "2 second", ["ALONE green", "WAIT red"]);
        }
        "ALONE STOP" => {
            pair_up(&mut lab);
            arrive(&mut lab, "2 stop", ["ALONE green", "STOP red"]);
        }
        "STOP STOP" => {
            pair_up(&mut lab);
            arrive(&mut lab, "2 stop", ["ALONE green", "STOP red"]);
            arrive(&mut lab, "1 stop", ["STOP red", "STOP red"]);
        }
        "WAIT (old) STOP" => {
            pair_up(&mut lab);
            arrive(&mut lab, "1 stop", ["STOP red", "ALONE green"]);
            arrive(&mut lab, "2 stop", ["STOP red", "STOP red"]);
            arrive(&mut lab, "1 start", ["WAIT red", "STOP red"]);
        }
        "WAIT (stopwait) ALONE" => {
            pair_up(&mut lab);
            arrive(&mut lab, "1 stopwait", ["WAIT red", "ALONE green"]);
        }
        other => panic!("no given state {other:?}"),
    }
    lab.run(2_000);
    for node in &mut lab.nodes {
        node.answers.clear();
    }
    lab.clear_logs();
    lab
}

fn arrive(lab: &mut Lab, steps: &str, places: [&str; 2]) {
    carry_out(lab, steps);
    lab.until(SETTLED_MS, places);
}

fn pair_up(lab: &mut Lab) {
    arrive(lab, "1 prim", ["ALONE green", "STOP red"]);
    arrive(lab, "2 second", ["PRIM green", "SECOND green"]);
    lab.run(1_000);
}

// ---- steps ---------------------------------------------------------------------------------------------------------

fn carry_out(lab: &mut Lab, steps: &str) {
    for step in steps.split(';').map(str::trim).filter(|step| !step.is_empty()) {
        let (first, rest) = step.split_once(' ').unwrap_or((step, ""));
        match (first, rest) {
            ("wait", time) => lab.run(time.strip_suffix(" s").unwrap_or(time).parse::<u64>().unwrap() * 1_000),
            ("network", "cut") => lab.cut(),
            ("network", "back") => lab.heal(),
            ("link", "breaks") => lab.break_link(),
            ("scripts", "quick") => lab.start_prim_ms = 10,
            ("scripts", "fail") => lab.prim_fails = true,
            ("1" | "2", what) => on_node(lab, usize::from(first == "2"), what),
            _ => panic!("no step {step:?}"),
        }
        // One after the other, as somebody would type them.
        lab.run(20);
    }
}

fn on_node(lab: &mut Lab, node: usize, what: &str) {
    let words: Vec<&str> = what.split(' ').collect();
    match words.as_slice() {
        ["loses", "power"] => lab.power_off(node),
        ["heart", "dies"] => lab.kill_heart(node),
        ["rfs", "dies"] => lab.kill_rfs(node),
        ["disk", "fails"] => lab.fail_disk(node),
        ["stands", "still", seconds, "s"] => {
            let ms = seconds.parse::<u64>().unwrap() * 1_000;
            lab.freeze(node, ms);
            lab.thaw(node, ms);
        }
        ["schedule", "comes"] => lab.hear(node, HeartInput::Scheduled),
        ["set", name, value] => set(lab, node, name, value),
        [command @ .., "-i", identity] => give(lab, node, command, Caller::detector(identity)),
        command => give(lab, node, command, Caller("SYSTEM/root".to_owned())),
    }
}

fn give(lab: &mut Lab, node: usize, words: &[&str], by: Caller) {
    let text = words.join("-");
    let command = if text == "secondforce" { Some(Command::Secondforce(0)) } else { Command::from_argument(&text) };
    lab.command_by(node, command.unwrap_or_else(|| panic!("no command {text:?}")), by);
}

fn set(lab: &mut Lab, node: usize, name: &str, value: &str) {
    let value = ResourceValue::parse(value).unwrap();
    let assignment =
        Assignment { name: name.parse().unwrap(), value, by: "check".to_owned(), history: History::Changes };
    lab.hear(node, HeartInput::Daemon(DaemonToHeart::Set { ticket: Ticket(9), assignment }));
    lab.run(700);
}

// ---- expected ------------------------------------------------------------------------------------------------------

fn judge(case: &Case) -> Result<(), String> {
    let mut lab = given(&case.given);
    carry_out(&mut lab, &case.steps);
    let wanted: Vec<&str> = case.then.split(", ").collect();
    let mut waited = 0;
    while lab.places().each_ref().map(String::as_str) != wanted[..] && waited < SETTLED_MS {
        lab.run(100);
        waited += 100;
    }
    lab.run(QUIET_MS);
    let places = lab.places();
    if places.each_ref().map(String::as_str) != wanted[..] {
        return Err(format!("{}, {} instead of {}\n{}", places[0], places[1], case.then, lab.logs()));
    }
    said(&lab, &case.says).map_err(|missing| {
        format!("{missing}\n{}{:?}", lab.logs(), lab.nodes.each_ref().map(|n| (&n.answers, &n.scripts)))
    })
}

/// `1: TEXT` in the log, in this order; `1 refuses: TEXT`; `1 calls: SCRIPT ARGUMENTS`, in this order; `1 never says: TEXT`.
fn said(lab: &Lab, expected: &str) -> Result<(), String> {
    let (mut logs, mut scripts) = ([0, 0], [0, 0]);
    for item in expected.split(" · ").map(str::trim).filter(|item| !item.is_empty()) {
        let (who, text) = item.split_once(": ").ok_or_else(|| format!("no {item:?}"))?;
        let node = usize::from(who.starts_with('2'));
        let at = &lab.nodes[node];
        let found = match &who[1..] {
            "" => follows(&at.log, &mut logs[node], |line| line.contains(text)),
            " calls" => follows(&at.scripts, &mut scripts[node], |line| line == text),
            " refuses" => at.answers.iter().any(|answer| answer.as_ref().is_err_and(|why| why.contains(text))),
            " never says" => !at.log.iter().any(|line| line.contains(text)),
            " never calls" => !at.scripts.iter().any(|line| line.starts_with(text)),
            other => return Err(format!("no {other:?}")),
        };
        if !found {
            return Err(format!("not true: {item}"));
        }
    }
    Ok(())
}

fn follows(lines: &[String], from: &mut usize, is_it: impl Fn(&String) -> bool) -> bool {
    match lines[*from..].iter().position(is_it) {
        Some(place) => {
            *from += place + 1;
            true
        }
        None => false,
    }
}

#[test]
fn every_case_holds() {
    let all = cases();
    let failed: Vec<String> = all
        .iter()
        .filter_map(|case| {
            let told = judge(case).err()?;
            Some(format!("{}: {} | {}\n  {}\n{told}\n", case.place, case.given, case.steps, case.why))
        })
        .collect();
    println!("{} cases, {} failed", all.len(), failed.len());
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), all.len(), failed.join("\n"));
}

/// The cases of a farm go through each change of the table, and through no other one.
#[test]
fn the_cases_of_a_farm_take_every_way_there_is() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let all = cases();
    for case in all.iter().filter(|case| mode(&case.given.split(", ").collect::<Vec<_>>()) == Mode::Farm) {
        let mut options = case.given.splitn(2, ", ");
        let (from, options) = (options.next().unwrap(), options.next().unwrap());
        let mut lab = given(&format!("STOP STOP, {options}"));
        if from != "STOP STOP" {
            carry_out(&mut lab, "1 start; wait 5 s");
        }
        carry_out(&mut lab, &case.steps);
        lab.run(QUIET_MS);
        // Without what a lost heart never said.
        let died = ["loses power", "heart dies"].iter().any(|fault| case.steps.contains(fault));
        if died {
            continue;
        }
        for node in &lab.nodes {
            let mut here = "STOP red".to_owned();
            for place in node.log.iter().filter_map(|line| line.split("Local state ").nth(1)) {
                *seen.entry(format!("{here} -> {place}")).or_default() += 1;
                here = place.to_owned();
            }
        }
    }
    let legal: BTreeMap<String, &str> =
        hf_module::legal(Mode::Farm).iter().map(|(from, to, why)| (format!("{from} -> {to}"), *why)).collect();
    for (change, why) in &legal {
        println!("{change:<28} {:>6}  {why}", seen.get(change).copied().unwrap_or_default());
    }
    assert!(seen.keys().eq(legal.keys()), "gone through: {seen:?}");
}

#[test]
fn every_case_has_its_sentence_and_is_there_once() {
    let all = cases();
    assert!(all.len() >= CASES_MIN, "{} cases", all.len());
    let mut seen = BTreeSet::new();
    for case in &all {
        assert!(case.why.len() >= 10 && case.why.ends_with('.'), "{}: a sentence says why", case.place);
        assert!(seen.insert((&case.given, &case.steps)), "{}: twice", case.place);
        assert_eq!(case.then.split(", ").count(), 2, "{}: where both nodes are", case.place);
    }
}

#[test]
fn a_case_that_expects_something_else_fails() {
    let case = |then: &str, says: &str| Case {
        place: String::new(),
        given: "PRIM SECOND".to_owned(),
        steps: "1 stop".to_owned(),
        then: then.to_owned(),
        says: says.to_owned(),
        why: String::new(),
    };
    assert!(
        judge(&case("STOP red, ALONE green", "2: Reason of failover: remote stop · 1 calls: stop_prim PRIM STOP stop"))
            .is_ok()
    );
    assert!(judge(&case("PRIM green, SECOND green", "")).is_err());
    for wrong in [
        "2: Reason of failover: no heartbeat",
        "1 refuses: Busy",
        "1 calls: stop_prim ALONE STOP stop",
        "2 never says: Reason",
    ] {
        assert!(judge(&case("STOP red, ALONE green", wrong)).is_err(), "{wrong}");
    }
}
