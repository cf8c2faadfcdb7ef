//! The reference's Log Messages Index (004, page 337), and what only its chapters say: `index.txt`, line by line.

use hf_messages::{MESSAGES, found};
use hf_types::{Caller, Command, Event};
use std::path::Path;

struct Line<'a> {
    message: &'a str,
    level: &'a str,
    /// The event that says it, or why nobody does.
    from: &'a str,
    /// The file of a test, and words in it.
    seen: &'a str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.splitn(4, " | ").map(|cell| cell.trim_end_matches('|').trim()).collect();
            let [message, level, from, ref rest @ ..] = cells[..] else { panic!("four columns: {line}") };
            Line { message, level, from, seen: rest.first().copied().unwrap_or_default() }
        })
        .collect()
}

/// Whose command a line tells of: its level depends on that.
fn called(message: &str) -> Option<Event> {
    let (_, by) = message.strip_prefix("Action ")?.split_once(" called ")?;
    let by = match by {
        "at boot time" => Caller::boot(),
        "automatically" => Caller::automatic(),
        "by SYSTEM" => Caller::system(),
        _ => match by.strip_prefix("by ")? {
            person if person.ends_with("root") => Caller(person.to_owned()),
            detector => Caller::detector(detector),
        },
    };
    Some(Event::ActionCalled { command: Command::Stopstart, by })
}

fn kind(event: &Event) -> String {
    format!("{event:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

/// What is wrong with a line.
fn fault(line: &Line<'_>, events: &[Event]) -> Option<String> {
    let Line { message, level, from, seen } = line;
    if *level == "-" {
        return (from.len() < 20).then(|| format!("{message}: no reason why it isn't said"));
    }
    let Some((entry, _)) = found(MESSAGES, message) else {
        return Some(format!("{message}: not in the catalogue"));
    };
    let same = |event: &&Event| {
        kind(event) == *from && found(MESSAGES, &event.to_string()).map(|(entry, _)| entry) == Some(entry)
    };
    let own = called(message);
    let Some(event) = own.iter().find(same).or_else(|| events.iter().find(same)) else {
        return Some(format!("{message}: no {from} reads like this"));
    };
    let is = format!("{:?}", event.level());
    if is != *level {
        return Some(format!("{message}: its level is {is}"));
    }
    let Some((file, words)) = seen.split_once(" :: ") else {
        return Some(format!("{message}: which test sees it?"));
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.contains(words) => None,
        Ok(_) => Some(format!("{message}: {file} doesn't look for {words:?} any more")),
        Err(error) => Some(format!("{message}: {file}: {error}")),
    }
}

#[test]
fn every_message_of_the_reference_is_said_in_its_situation() {
    let lines = lines(include_str!("index.txt"));
    assert!(lines.len() > 90, "{}", lines.len());
    let events = super::all();
    let faults: Vec<String> = lines.iter().filter_map(|line| fault(line, &events)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The troubleshooting page goes by what an administrator reads: a message that has another text by now would lead nobody there.
#[test]
fn the_troubleshooting_page_quotes_messages_that_there_are() {
    let page = include_str!("../../../../docs/user/troubleshooting.md");
    let quoted = page.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('"').skip(1).step_by(2));
    let messages: Vec<&str> =
        quoted.filter(|text| text.starts_with(|first: char| first.is_ascii_uppercase())).collect();
    assert!(messages.len() > 20, "{}", messages.len());
    for text in messages {
        let begun = text.split("...").next().unwrap_or_default();
        let first = |en: &'static str| en.split('{').next().filter(|first| !first.is_empty());
        let begins = MESSAGES
            .iter()
            .filter_map(|entry| Some((entry.en, first(entry.en)?)))
            .any(|(en, first)| begun.starts_with(first) || !begun.is_empty() && en.starts_with(begun));
        assert!(begins || found(MESSAGES, text).is_some(), "docs/user/troubleshooting.md quotes {text:?}");
    }
}

#[test]
fn what_is_wrong_with_a_line_is_told() {
    let events = super::all();
    let said = |line: &str| fault(&lines(line)[0], &events);
    let here = "crates/hf-messages/tests/index/mod.rs";
    assert_eq!(said(&format!("End of stop | E | EndOfStop | {here} :: End of stop")), None);
    let wrong = [
        ("End of everything | E | EndOfStop | x :: y", "not in the catalogue"),
        ("End of stop | E | BeginOfSwap | x :: y", "no BeginOfSwap reads like this"),
        ("End of stop | U | EndOfStop | x :: y", "its level is E"),
        ("Action stop called by errd | U | ActionCalled | x :: y", "its level is E"),
        ("Action stop called by root | E | ActionCalled | x :: y", "its level is U"),
        ("End of stop | E | EndOfStop |", "which test sees it?"),
        ("End of stop | E | EndOfStop | crates/none.rs :: y", "crates/none.rs: "),
        ("farm load: {1} | - | later |", "no reason why"),
    ];
    for (line, wanted) in wrong {
        assert!(said(line).is_some_and(|told| told.contains(wanted)), "{line}: {:?}", said(line));
    }
    let gone = format!("End of stop | E | EndOfStop | {here} :: no such {}", "words");
    assert!(said(&gone).is_some_and(|told| told.contains("doesn't look for")));
}
