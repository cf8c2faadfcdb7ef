//! `timeline`: what happened at the last failover, step by step.

use std::process::ExitCode;

use clap::Args;
use hf_types::{Level, LogLine, one_line};
use hf_wire::bus::{Reply, Request};
use serde::Serialize;

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// So many lines of the log are looked through.
const LOOKED_THROUGH: u32 = 20_000;
/// A cause lies at most this long before the decision, in microseconds: longer than any usual time-out.
const CAUSE_WITHIN_US: i64 = 120_000_000;
/// What can bring a failover or a swap about.
const CAUSES: [&str; 6] =
    ["Resource heartbeat.", "Remote state ", "Action ", "Process ", "Replication: ", "Resource rfs.disk"];
/// What is counted as the decision.
const DECISIONS: [&str; 2] = ["Reason of failover: ", "Begin of Swap"];

/// Shows the module's last failover or swap on this node, step by step
///
/// From the first sign to the stable state: the time since the first sign, the time since the step before, and what was seen,
/// decided or done. It is this node's log; of the other node it knows what that one told ("Remote state"). The other node's
/// own side is shown there.
#[derive(Debug, Args)]
pub(crate) struct Timeline {
    #[command(flatten)]
    module: ModuleArg,
    /// The last one; the default
    #[arg(long)]
    last: bool,
}

/// One failover or swap.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Failover<'a> {
    /// From the first sign.
    steps: Vec<Step<'a>>,
    /// A stable state was reached.
    ended: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Step<'a> {
    at_us: i64,
    /// Since the first sign, in microseconds. Clocks may be set back: then it is negative.
    since_first_us: i64,
    since_before_us: i64,
    process: &'a str,
    text: &'a str,
}

pub(crate) async fn run(verb: Timeline, output: Output) -> Result<ExitCode, CliError> {
    let module = verb.module.required()?;
    let levels = vec![Level::C, Level::U, Level::E, Level::S];
    let request = Request::Log { module: module.clone(), last: LOOKED_THROUGH, levels };
    let replies = admin::ask(request, output).await?.into_iter();
    let lines = replies.filter_map(|reply| match reply {
        Reply::Log { lines } => Some(lines),
        _ => None,
    });
    let lines: Vec<LogLine> = lines.flatten().collect();
    let last = last_failover(&lines);
    match (output, last) {
        (Output::Json, last) => print::json(&serde_json::json!({ "module": module, "failover": last }))?,
        (Output::Text, Some(failover)) => print::text(&shown(&failover))?,
        (Output::Text, None) => {
            print::text(&format!("The log of {module} on this node has no failover and no swap.\n"))?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// From the first sign before the last decision to the stable state after it.
fn last_failover(lines: &[LogLine]) -> Option<Failover<'_>> {
    let decision = lines.iter().rposition(|line| is_one_of(line, &DECISIONS))?;
    let decided_us = lines[decision].at_us;
    let before = lines[..decision].iter().enumerate().rev();
    let near = before.take_while(|(_, line)| {
        // What was before the last stable state belongs to something else.
        decided_us.saturating_sub(line.at_us) <= CAUSE_WITHIN_US && !is_stable(line)
    });
    let first = near.filter(|(_, line)| is_one_of(line, &CAUSES)).last().map_or(decision, |(at, _)| at);
    let end = lines[decision..].iter().position(is_stable).map(|after| decision + after);
    let window = &lines[first..=end.unwrap_or(lines.len() - 1)];
    let mut before_us = window[0].at_us;
    let steps = window.iter().map(|line| Step {
        at_us: line.at_us,
        since_first_us: line.at_us - window[0].at_us,
        since_before_us: line.at_us - std::mem::replace(&mut before_us, line.at_us),
        process: &line.process,
        text: &line.text,
    });
    Some(Failover { steps: steps.collect(), ended: end.is_some() })
}

fn is_one_of(line: &LogLine, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|beginning| line.text.starts_with(beginning))
}

/// Green, or at rest.
fn is_stable(line: &LogLine) -> bool {
    line.text.starts_with("Local state ") && (line.text.ends_with(" green") || line.text.ends_with(" STOP red"))
}

fn shown(failover: &Failover<'_>) -> String {
    let first = &failover.steps[0];
    let mut out = format!("First sign: {}\n\n", print::local_time(first.at_us, print::TIME));
    let rows = failover.steps.iter().map(|step| {
        vec![ms(step.since_first_us), ms(step.since_before_us), one_line(step.process), one_line(step.text)]
    });
    out.push_str(&print::table(&["Since first", "Step", "Process", "What"], rows));
    let all = failover.steps.last().map_or(0, |step| step.since_first_us);
    out.push_str(&if failover.ended {
        format!("\nFrom the first sign to the stable state: {}\n", ms(all))
    } else {
        "\nNo stable state was reached since.\n".to_owned()
    });
    out
}

fn ms(us: i64) -> String {
    format!("{}.{} ms", us / 1000, (us % 1000).abs() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[(i64, &str)]) -> Vec<LogLine> {
        let line = |(ms, text): &(i64, &str)| LogLine {
            at_us: ms * 1000,
            process: "heart".to_owned(),
            level: Level::E,
            counter: 0,
            text: (*text).to_owned(),
        };
        lines.iter().map(line).collect()
    }

    const TAKEOVER: [(i64, &str); 9] = [
        (1_000, "Local state SECOND green"),
        (5_000, "Resource heartbeat.default set to down by heart"),
        (5_010, "Resource heartbeat.flow set to down by heart"),
        (5_011, "Remote state UNKNOWN grey"),
        (5_012, "Reason of failover: no heartbeat"),
        (5_013, "Local state ALONE magenta"),
        (5_200, "Script start_prim"),
        (7_000, "Local state ALONE green"),
        (9_000, "Remote state SECOND magenta"),
    ];

    #[test]
    fn from_the_first_sign_to_the_stable_state() {
        let lines = log(&TAKEOVER);
        let failover = last_failover(&lines).expect("there is one");
        let steps: Vec<_> = failover.steps.iter().map(|step| (step.since_first_us / 1000, step.text)).collect();
        assert_eq!(steps.first(), Some(&(0, TAKEOVER[1].1)));
        assert_eq!(steps.last(), Some(&(2_000, "Local state ALONE green")));
        assert_eq!(failover.steps[6].since_before_us, 1_800_000);
        let text = shown(&failover);
        assert!(text.ends_with("From the first sign to the stable state: 2000.0 ms\n"), "{text}");
        assert!(text.contains("\n187.0 ms".trim_start()), "{text}");
    }

    #[test]
    fn one_that_has_not_ended_says_so_and_without_any_there_is_none() {
        let lines = log(&TAKEOVER[..7]);
        let failover = last_failover(&lines).expect("there is one");
        assert!(!failover.ended);
        assert!(shown(&failover).ends_with("No stable state was reached since.\n"));
        assert_eq!(last_failover(&log(&TAKEOVER[..4])), None);
    }

    #[test]
    fn the_last_one_counts_and_old_signs_do_not() {
        let mut lines = log(&TAKEOVER);
        lines.extend(log(&[
            (10_000, "Resource heartbeat.flow set to down by heart"),
            (12_000, "Local state PRIM green"),
            (60_000, "Action swap called by root"),
            (60_001, "Begin of Swap"),
            (61_000, "Local state SECOND green"),
        ]));
        let failover = last_failover(&lines).expect("there is one");
        let texts: Vec<&str> = failover.steps.iter().map(|step| step.text).collect();
        assert_eq!(texts, ["Action swap called by root", "Begin of Swap", "Local state SECOND green"]);
    }
}
