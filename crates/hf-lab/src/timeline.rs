//! `holdfast lab timeline`: the logs of all nodes in one.
//!
//! All machines of a lab read one clock, that of the host, so that a line which another one brought about is never the
//! earlier one; within a node the order is the log's own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::enter::ask;
use crate::error::{LabError, Result};
use crate::state::Lab;

/// So many lines of each module's log on each node.
const LINES: &str = "300";
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One line of a node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub at_us: i64,
    pub node: String,
    pub module: String,
    pub process: String,
    pub level: String,
    pub text: String,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Timeline {
    pub lines: Vec<Entry>,
    /// Nodes whose log can't be read now, and why.
    pub missing: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Log {
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    at_us: i64,
    process: String,
    level: String,
    text: String,
}

#[derive(Deserialize)]
struct Modules {
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Module {
    module: String,
}

/// Asks every node for the log of `module`, or of all its modules.
pub fn look(lab: &Lab, module: Option<&str>) -> Result<Timeline> {
    let mut logs = Vec::new();
    let mut missing = Vec::new();
    for node in &lab.nodes {
        let read = why_not(lab, node)?.map_or_else(|| of_node(lab, node, module), |why| Err(LabError::Failed(why)));
        match read {
            Ok(lines) => logs.push(lines),
            Err(error) => missing.push((node.clone(), error.to_string())),
        }
    }
    Ok(Timeline { lines: merged(logs), missing })
}

/// Why a node can't be asked.
fn why_not(lab: &Lab, node: &str) -> Result<Option<String>> {
    if lab.machine(node)?.alive().is_none() {
        return Ok(Some(format!("it is off: 'holdfast lab power-on --name {} {node}'", lab.name)));
    }
    let frozen = Cgroup::lab(&lab.name)?.child(node).is_frozen();
    Ok(frozen.then(|| format!("it is frozen: 'holdfast lab thaw --name {} {node}'", lab.name)))
}

fn of_node(lab: &Lab, node: &str, module: Option<&str>) -> Result<Vec<Entry>> {
    let modules = match module {
        Some(module) => vec![module.to_owned()],
        None => {
            let told: Modules = told(lab, node, &["holdfast", "module", "list", "-o", "json"])?;
            told.modules.into_iter().map(|row| row.module).collect()
        }
    };
    let mut logs = Vec::new();
    for module in modules {
        let log: Log = told(lab, node, &["holdfast", "log", "-m", &module, "-s", LINES, "-I", "-o", "json"])?;
        let entry = |line: Line| Entry {
            at_us: line.at_us,
            node: node.to_owned(),
            module: module.clone(),
            process: line.process,
            level: line.level,
            text: line.text,
        };
        logs.push(log.lines.into_iter().map(entry).collect());
    }
    Ok(merged(logs))
}

fn told<T: for<'de> Deserialize<'de>>(lab: &Lab, node: &str, argv: &[&str]) -> Result<T> {
    let output = ask(lab, node, argv, PATIENCE)?;
    if !output.status.success() {
        return Err(LabError::Failed(format!("{}: {}", argv.join(" "), output.status)));
    }
    serde_json::from_str(&output.stdout).map_err(|error| LabError::Failed(format!("{}: {error}", argv.join(" "))))
}

/// By time, without changing the order within a log.
fn merged(logs: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut logs: Vec<_> = logs.into_iter().map(|log| log.into_iter().peekable()).collect();
    let mut all = Vec::new();
    loop {
        let next = logs.iter_mut().filter_map(|log| log.peek().map(|entry| entry.at_us)).min();
        let Some(next) = next else {
            return all;
        };
        if let Some(entry) = logs.iter_mut().find_map(|log| log.next_if(|entry| entry.at_us == next)) {
            all.push(entry);
        }
    }
}

pub fn to_json(timeline: &Timeline) -> Result<String> {
    serde_json::to_string_pretty(timeline).map_err(|e| LabError::Failed(format!("printing the timeline: {e}")))
}

/// One column a node; times in seconds since the first line.
pub fn to_text(lab: &Lab, timeline: &Timeline) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let mut head = vec!["SECONDS".to_owned(), "MODULE".to_owned()];
    head.extend(lab.nodes.iter().map(|node| node.to_uppercase()));
    table.set_header(head);
    let first = timeline.lines.first().map_or(0, |entry| entry.at_us);
    for entry in &timeline.lines {
        let us = entry.at_us - first;
        let mut row = vec![format!("{}.{:06}", us / 1_000_000, us % 1_000_000), visible(&entry.module)];
        let text = format!("{} {} {}", visible(&entry.process), visible(&entry.level), visible(&entry.text));
        row.extend(lab.nodes.iter().map(|node| if *node == entry.node { text.clone() } else { String::new() }));
        table.add_row(row);
    }
    let mut text = format!("{table}\n");
    for (node, why) in &timeline.missing {
        text += &format!("{node}: {}\n", visible(why));
    }
    text
}

/// Without control characters.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_us: i64, node: &str, text: &str) -> Entry {
        let (module, process, level) = ("pg".to_owned(), "heart".to_owned(), "E".to_owned());
        Entry { at_us, node: node.to_owned(), module, process, level, text: text.to_owned() }
    }

    #[test]
    fn logs_are_merged_by_time_and_keep_their_own_order() {
        // A clock that was set back within a log changes nothing in its order.
        let one = vec![entry(1, "node1", "a"), entry(9, "node1", "c"), entry(5, "node1", "d")];
        let two = vec![entry(2, "node2", "b"), entry(10, "node2", "e")];
        let order: Vec<String> = merged(vec![one, two]).into_iter().map(|entry| entry.text).collect();
        assert_eq!(order, ["a", "b", "c", "d", "e"]);
    }
}
