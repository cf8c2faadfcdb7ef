//! `processtree list|kill NAME|all [REGULAR_EXPRESSION]` (reference 004, 14.4.2.3).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use hf_exec::{Identity, ProcessEntry, ProcessWatch, WatchError, command_of, processes};
use regex::{Regex, RegexBuilder};

use super::{Failure, words};
use crate::print;

const USAGE: Failure = Failure::Usage(
    "processtree list|kill NAME [REGULAR_EXPRESSION], processtree list|kill all REGULAR_EXPRESSION, processtree list all",
);
/// How long the arguments of one process may take to be read.
const COMMAND_LIMIT: Duration = Duration::from_millis(500);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// After SIGKILL: who waits in the kernel isn't dead by then, and isn't waited for.
const KILL_GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// The kernel keeps so many bytes of a name.
const NAME_MAX: usize = 15;
/// Bytes that a compiled expression may take.
const REGEX_MAX: usize = 1 << 20;

/// A process with its command line.
struct Shown {
    process: ProcessEntry,
    command: String,
}

pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let args = words(args);
    let (verb, name, expression) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [verb, name] => (verb, name, None),
        [verb, name, expression] => (verb, name, Some(compiled(expression)?)),
        _ => return Err(USAGE),
    };
    let all = processes();
    match (verb, name, &expression) {
        ("list", "all", None) => list_all(all),
        ("kill", "all", None) => Err(USAGE),
        ("list", ..) => {
            print::text(&tree(&chosen(all, name, expression.as_ref())))
                .map_err(|error| Failure::Failed(error.to_string()))?;
            Ok(ExitCode::SUCCESS)
        }
        ("kill", ..) => {
            let chosen = chosen(all, name, expression.as_ref());
            print::text(&tree(&chosen)).map_err(|error| Failure::Failed(error.to_string()))?;
            kill(&chosen)
        }
        _ => Err(USAGE),
    }
}

/// Found anywhere in the command: `mirror` finds `/opt/mirror -x`.
fn compiled(expression: &str) -> Result<Regex, Failure> {
    RegexBuilder::new(expression)
        .size_limit(REGEX_MAX)
        .build()
        .map_err(|error| Failure::Word(format!("not a regular expression: {error}")))
}

fn command(process: &ProcessEntry) -> String {
    command_of(process.pid, COMMAND_LIMIT).unwrap_or_else(|| format!("[{}]", process.name))
}

fn list_all(all: Vec<ProcessEntry>) -> Result<ExitCode, Failure> {
    let lines = all.into_iter().map(|process| line(&Shown { command: command(&process), process }, 0));
    print::text(&lines.collect::<String>()).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

/// Who is meant. Never this process nor who called it: the expression stands in their command lines, too.
fn chosen(all: Vec<ProcessEntry>, name: &str, expression: Option<&Regex>) -> Vec<Shown> {
    let short = &name[..floor(name, NAME_MAX)];
    let named = |of: &str| name == "all" || of == short;
    fitting(all, named, |command| expression.is_none_or(|expression| expression.is_match(command)))
}

fn fitting(all: Vec<ProcessEntry>, name: impl Fn(&str) -> bool, fits: impl Fn(&str) -> bool) -> Vec<Shown> {
    let own = callers(&all, std::process::id().cast_signed());
    let candidates =
        all.into_iter().filter(|process| process.state != 'Z' && !own.contains(&process.pid) && name(&process.name));
    let shown = candidates.map(|process| Shown { command: command(&process), process });
    shown.filter(|shown| fits(&shown.command)).collect()
}

/// What is done with processes that fit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Show,
    /// As `processtree kill`.
    Terminate,
    /// Sent, and not waited for.
    Signal(i32),
}

/// Shows the processes whose name and command fit, and ends them.
///
/// # Errors
/// When one can't be watched or signalled, or doesn't end.
pub(crate) fn end(name: impl Fn(&str) -> bool, command: impl Fn(&str) -> bool, how: How) -> Result<ExitCode, Failure> {
    let chosen = fitting(processes(), name, command);
    print::text(&tree(&chosen)).map_err(|error| Failure::Failed(error.to_string()))?;
    match how {
        How::Show => Ok(ExitCode::SUCCESS),
        How::Terminate => kill(&chosen),
        How::Signal(number) => {
            for watch in watches(&chosen)? {
                let what = format!("signal process {}", watch.identity().pid);
                watch.signal_number(number).map_err(Failure::io(what))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The largest boundary of a character that isn't beyond `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A process, its parent, and so on.
fn callers(all: &[ProcessEntry], pid: i32) -> BTreeSet<i32> {
    let parents: BTreeMap<i32, i32> = all.iter().map(|process| (process.pid, process.parent)).collect();
    let mut callers = BTreeSet::from([pid]);
    let mut pid = pid;
    while let Some(parent) = parents.get(&pid).filter(|parent| callers.insert(**parent)) {
        pid = *parent;
    }
    callers
}

/// Children below their parents, if the parents are meant too.
fn tree(chosen: &[Shown]) -> String {
    let pids: BTreeSet<i32> = chosen.iter().map(|shown| shown.process.pid).collect();
    let mut out = String::new();
    for root in chosen.iter().filter(|shown| !pids.contains(&shown.process.parent)) {
        branch(root, chosen, 0, &mut out);
    }
    out
}

fn branch(of: &Shown, chosen: &[Shown], depth: usize, out: &mut String) {
    out.push_str(&line(of, depth));
    for child in chosen.iter().filter(|shown| shown.process.parent == of.process.pid) {
        branch(child, chosen, depth + 1, out);
    }
}

fn line(shown: &Shown, depth: usize) -> String {
    let Shown { process, command } = shown;
    let (name, command) = (print::clean_line(&process.name), print::clean_line(command));
    format!("{:indent$}{} {name} {command} (parent={})\n", "", process.pid, process.parent, indent = depth * 2)
}

/// Asks each to end, kills who is left after a while, and returns when they are gone.
fn kill(chosen: &[Shown]) -> Result<ExitCode, Failure> {
    let mut watches = watches(chosen)?;
    for watch in &watches {
        watch.terminate().map_err(Failure::io(format!("end process {}", watch.identity().pid)))?;
    }
    wait(&mut watches, GRACE)?;
    for watch in &watches {
        watch.kill().map_err(Failure::io(format!("kill process {}", watch.identity().pid)))?;
    }
    wait(&mut watches, KILL_GRACE)?;
    if watches.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let left: Vec<String> = watches.iter().map(|watch| watch.identity().pid.to_string()).collect();
    Err(Failure::Failed(format!("still there, waiting in the kernel: {}", left.join(", "))))
}

/// A hold on each that still lives.
fn watches(chosen: &[Shown]) -> Result<Vec<ProcessWatch>, Failure> {
    let mut watches = Vec::new();
    for shown in chosen {
        // By its start time, too: the number may belong to another by now.
        let identity = match Identity::of(shown.process.pid) {
            Ok(identity) if identity.start_ticks == shown.process.started => identity,
            _ => continue,
        };
        match ProcessWatch::open(identity) {
            Ok(watch) => watches.push(watch),
            Err(WatchError::Gone { .. }) => {}
            Err(error) => return Err(Failure::Failed(error.to_string())),
        }
    }
    Ok(watches)
}

/// Until all are gone, or the time is over; who is left stays in the list.
fn wait(watches: &mut Vec<ProcessWatch>, limit: Duration) -> Result<(), Failure> {
    let end = Instant::now() + limit;
    loop {
        let mut left = Vec::new();
        for watch in watches.drain(..) {
            if watch.is_alive().map_err(Failure::io("watch a process"))? {
                left.push(watch);
            }
        }
        *watches = left;
        if watches.is_empty() || Instant::now() >= end {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
}
