//! The processes of this machine, and where a script hangs.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use hf_types::Hang;
use rustix::process::Pid;
use tokio::sync::oneshot;

/// One process, as `/proc` shows it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEntry {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// `R` runs, `S` sleeps, `D` waits in the kernel and can't be killed, `Z` is dead.
    pub state: char,
    /// The command's name: at most 15 bytes, as the kernel keeps it.
    pub name: String,
    /// Clock ticks since boot.
    pub started: u64,
}

/// All processes, by pid. Those that end meanwhile are left out. Nothing is read that could wait for one of them: see [`command_of`].
/// Names are as they are: escape them to print.
pub fn processes() -> Vec<ProcessEntry> {
    let found = procfs::process::all_processes().into_iter().flatten();
    let mut all: Vec<ProcessEntry> = found.filter_map(|process| entry(&process.ok()?)).collect();
    all.sort_by_key(|process| process.pid);
    all
}

fn entry(process: &procfs::process::Process) -> Option<ProcessEntry> {
    let stat = process.stat().ok()?;
    Some(ProcessEntry {
        pid: stat.pid,
        parent: stat.ppid,
        session: stat.session,
        state: stat.state,
        name: stat.comm,
        started: stat.starttime,
    })
}

/// The program with its arguments, joined by spaces; none for a kernel thread or a process that is gone.
///
/// The kernel reads this from the process's own memory, so it can wait for a process that waits itself, say for a file system that
/// hangs. That is why the reading is done on a thread, and given up after `limit` (none again).
pub fn command_of(pid: i32, limit: Duration) -> Option<String> {
    command_within(pid, limit).ok().flatten()
}

/// The answer did not come in time.
#[derive(Debug)]
pub(crate) struct Late;

/// As [`command_of`], and whether there is none or it could not be read in time.
pub(crate) fn command_within(pid: i32, limit: Duration) -> Result<Option<String>, Late> {
    let (answer, answered) = std::sync::mpsc::channel();
    let read = move || {
        // Nobody waits any more: then nobody is to be told.
        drop(answer.send(read_command(pid)));
    };
    std::thread::Builder::new().name("cmdline".to_owned()).spawn(read).map_err(|_| Late)?;
    answered.recv_timeout(limit).map_err(|_| Late)
}

fn read_command(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let text = words.join(" ").trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Longest command in a message, in characters.
const COMMAND_MAX: usize = 200;
/// How long one may take to be read.
const COMMAND_LIMIT: Duration = Duration::from_millis(500);

/// What a script waits for: of its session the youngest process that has no child there.
pub(crate) async fn where_it_hangs(leader: Pid, elapsed_s: u64) -> Option<Hang> {
    let (answer, answered) = oneshot::channel();
    let look = move || drop(answer.send(look(leader, elapsed_s)));
    // A thread, because whoever calls has heartbeats to send.
    std::thread::Builder::new().name("hang".to_owned()).spawn(look).ok()?;
    answered.await.ok().flatten()
}

fn look(leader: Pid, elapsed_s: u64) -> Option<Hang> {
    let session = leader.as_raw_nonzero().get();
    let of_script: Vec<ProcessEntry> =
        processes().into_iter().filter(|process| process.session == session && process.state != 'Z').collect();
    let parents: BTreeSet<i32> = of_script.iter().map(|process| process.parent).collect();
    let leaves = of_script.into_iter().filter(|process| !parents.contains(&process.pid));
    let leaf = leaves.max_by_key(|leaf| leaf.started)?;
    let waits_in = fs::read_to_string(format!("/proc/{}/wchan", leaf.pid)).unwrap_or_default();
    let waits_in = Some(waits_in.trim().to_owned()).filter(|place| !place.is_empty() && place != "0");
    let command = command_of(leaf.pid, COMMAND_LIMIT).unwrap_or_else(|| leaf.name.clone());
    let command = command.escape_debug().take(COMMAND_MAX).collect();
    Some(Hang { pid: leaf.pid, command, state: leaf.state, waits_in, elapsed_s })
}
