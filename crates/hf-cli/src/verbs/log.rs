//! `log` (reference 004, 9.5).

use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use hf_messages::Language;
use hf_types::{Level, LogLine};
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// What is worth reading: critical, users' actions, events, scripts.
const EVENTS: [Level; 4] = [Level::C, Level::U, Level::E, Level::S];

/// Which messages, and how.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Information too
    #[arg(short = 'I')]
    information: bool,
    /// All messages, for debugging too
    #[arg(short = 'A')]
    all: bool,
    /// The language of the messages; what applications and the system say stays as it is
    #[arg(short = 'l', value_name = "LANGUAGE", value_parser = language(), default_value = "en")]
    language: Language,
}

fn language() -> impl TypedValueParser<Value = Language> {
    let words = PossibleValuesParser::new(Language::WORDS.map(|(word, _)| word));
    words.map(|word| Language::from_word(&word).unwrap_or_default())
}

impl Choice {
    /// The levels that were asked for.
    pub(crate) fn levels(&self) -> Vec<Level> {
        levels(self.information, self.all)
    }

    /// The lines in the language that was asked for.
    pub(crate) fn said(&self, lines: Vec<LogLine>) -> Vec<LogLine> {
        let text = |line: &LogLine| hf_messages::message(&line.text, self.language);
        lines.into_iter().map(|line| LogLine { text: text(&line), ..line }).collect()
    }
}

/// Shows the last messages of the module's log on this node
///
/// Each line: time | process | level | message. Levels: C needs attention, U a user's action, E a change of state or another
/// major event, S a script; with -I also I, information; with -A also D, for debugging. `log -m safeadmin` is the log of the
/// daemon itself.
#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    module: ModuleArg,
    /// How many messages
    #[arg(short = 's', value_name = "NB", default_value_t = 300)]
    last: u32,
    #[command(flatten)]
    choice: Choice,
}

pub(crate) async fn run(verb: Log, output: Output) -> Result<ExitCode, CliError> {
    let request = Request::Log { module: verb.module.required()?, last: verb.last, levels: verb.choice.levels() };
    let lines: Vec<LogLine> = admin::ask(request, output)
        .await?
        .into_iter()
        .filter_map(|reply| match reply {
            Reply::Log { lines } => Some(lines),
            _ => None,
        })
        .flatten()
        .collect();
    let lines = verb.choice.said(lines);
    match output {
        Output::Json => print::json(&serde_json::json!({ "lines": lines }))?,
        Output::Text => print::text(&lines.iter().map(shown).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn levels(information: bool, all: bool) -> Vec<Level> {
    let mut levels = EVENTS.to_vec();
    if information || all {
        levels.push(Level::I);
    }
    if all {
        levels.push(Level::D);
    }
    levels
}

/// The line with its time in this machine's time zone.
pub(crate) fn shown(line: &LogLine) -> String {
    line.shown(&print::local_time(line.at_us, print::TIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_widen() {
        assert_eq!(levels(false, false), EVENTS);
        assert_eq!(levels(true, false).last(), Some(&Level::I));
        assert_eq!(levels(false, true).len(), 6);
    }

    #[test]
    fn a_line_stays_one_line() {
        let line =
            LogLine { at_us: 0, process: "heart".into(), level: Level::E, counter: 0, text: "a\nb\u{1b}".into() };
        assert!(shown(&line).ends_with(" | heart | E | a\u{fffd}b\u{fffd}\n"), "{}", shown(&line));
    }
}
