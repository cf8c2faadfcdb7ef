use crate::clock::{MS, Time};
use std::collections::VecDeque;
use std::fmt::Write;

/// How many events a history shows.
pub const KEPT: usize = 60;
const COLUMN: usize = 78;

/// The last events of a run, in a column a node. Off in long runs: a seed that fails is run again with it on.
#[derive(Debug)]
pub struct Trace {
    on: bool,
    all: bool,
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    at: Time,
    /// None: of the world (network, administrator, faults).
    node: Option<usize>,
    text: String,
}

impl Trace {
    /// `all` keeps everything, not only the last [`KEPT`] events.
    pub fn new(on: bool, all: bool) -> Trace {
        Trace { on, all, lines: VecDeque::new() }
    }

    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Notes what `text` gives; it is not called when the trace is off.
    pub fn note(&mut self, at: Time, node: Option<usize>, text: impl FnOnce() -> String) {
        if !self.on {
            return;
        }
        if !self.all && self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        let text = text();
        self.lines.push_back(Line { at, node, text });
    }

    /// The history as text: time in milliseconds; in columns (node 0 left, node 1 right), or, the whole of it, a line an
    /// event with the node's number, for tools.
    pub fn render(&self) -> String {
        if self.all { self.lines() } else { self.columns() }
    }

    fn lines(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let ms = line.at as f64 / MS as f64;
            let who = line.node.map_or("*".to_owned(), |n| (n + 1).to_string());
            let _ = writeln!(out, "{ms:>12.3} {who} {}", line.text);
        }
        out
    }

    fn columns(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let ms = line.at as f64 / MS as f64;
            for (n, part) in wrap(&line.text).into_iter().enumerate() {
                let stamp = if n == 0 { format!("{ms:>12.3}") } else { " ".repeat(12) };
                let row = match line.node {
                    Some(0) => format!("{stamp} | {part}"),
                    Some(_) => format!("{stamp} | {:COLUMN$} | {part}", ""),
                    None => format!("{stamp} * {part}"),
                };
                let _ = writeln!(out, "{}", row.trim_end());
            }
        }
        out
    }
}

fn wrap(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    chars.chunks(COLUMN).map(|c| c.iter().collect()).collect()
}
