//! `<disk>`: a directory's file system with room, that takes writes in time.
//!
//! A process of its own does the looking ([`serve`]), because a disk that hangs holds whoever asks it in the kernel, where nobody can
//! be killed: a thread there would keep the whole heart from ending. It is asked by lines and answers by lines; one that doesn't answer
//! in time is left alone until it does, so that there is never more than one.

mod measure;
mod seen;
mod walk;

pub use measure::serve;

use crate::aside::Aside;
use crate::probe::{Found, Look, Pace, Probe};
use hf_config::DiskCheck;
use seen::Seen;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// One sample a minute, for an hour.
const SAMPLES: usize = 60;
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
/// All that one process may say; a line is at most about 9 KiB.
const SAID_MAX: u64 = 1 << 30;

/// Asks the process that looks.
pub struct DiskProbe {
    check: DiskCheck,
    program: PathBuf,
    process: Option<Process>,
    starting: Aside<io::Result<Process>>,
    /// Room at a time, the oldest first.
    samples: VecDeque<(Instant, u64)>,
    /// There was too little: there has to be a tenth more than wanted until there is enough again.
    low: bool,
    /// It was mounted read-only from the beginning.
    always_read_only: Option<bool>,
}

struct Process {
    /// Killed when it is dropped, and not waited for.
    _child: Child,
    asks: ChildStdin,
    answers: Lines<BufReader<Take<ChildStdout>>>,
    /// Questions that were not answered yet.
    open: u32,
}

impl DiskProbe {
    /// `program`: is run as `PROGRAM disk DIR on|off`, which is [`serve`].
    pub fn new(check: &DiskCheck, program: PathBuf) -> DiskProbe {
        DiskProbe {
            check: check.clone(),
            program,
            process: None,
            starting: Aside::default(),
            samples: VecDeque::new(),
            low: false,
            always_read_only: None,
        }
    }

    async fn look_once(&mut self) -> Found {
        let (limit, ms) = (Duration::from_millis(self.check.timeout_ms), self.check.timeout_ms);
        let dir = self.check.dir.clone();
        match timeout(limit, self.ask()).await {
            Ok(Ok(seen)) => self.judge(&seen),
            Ok(Err(error)) => {
                self.process = None;
                Found::unknown(format!("{dir} could not be looked at: {error}"))
            }
            Err(_) => {
                Found::down(format!("the disk of {dir} did not answer within {ms} ms: see 'dmesg' and 'iostat -x 1'"))
            }
        }
    }

    /// May be dropped at any await: what is answered later is thrown away by the next question.
    async fn ask(&mut self) -> io::Result<Seen> {
        if self.process.is_none() {
            let (program, check) = (self.program.clone(), self.check.clone());
            let started = self.starting.run(move || start(&program, &check)).await;
            self.process = Some(started.map_err(io::Error::other)??);
        }
        let gone = || io::Error::other("the process that looks ended");
        let process = self.process.as_mut().ok_or_else(gone)?;
        while process.open > 0 {
            process.answers.next_line().await?.ok_or_else(gone)?;
            process.open -= 1;
        }
        // One octet: it is written whole or not at all.
        process.asks.write_all(b"\n").await?;
        process.open += 1;
        let line = process.answers.next_line().await?.ok_or_else(gone)?;
        process.open -= 1;
        Seen::parse(&line).ok_or_else(|| io::Error::other("the process that looks says something unknown"))
    }

    fn judge(&mut self, seen: &Seen) -> Found {
        let dir = &self.check.dir;
        let always = *self.always_read_only.get_or_insert(seen.read_only);
        if seen.errno == libc::EROFS || (seen.read_only && (self.check.write || !always)) {
            return Found::down(format!(
                "{dir} can only be read (after a fault of the disk?): see 'findmnt -T {dir}' and 'dmesg'"
            ));
        }
        if !seen.error.is_empty() && seen.errno != libc::ENOSPC {
            return Found::down(format!("{dir}: {}", seen.error));
        }
        self.sample(seen.free);
        let wanted = self.check.free.bytes(seen.total);
        let enough = if self.low { wanted.saturating_add(wanted / 10) } else { wanted };
        self.low = seen.free < enough || seen.errno == libc::ENOSPC;
        if self.low { Found::down(self.too_little(seen)) } else { Found::up() }
    }

    fn sample(&mut self, free: u64) {
        let now = Instant::now();
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE_EVERY) {
            if self.samples.len() == SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back((now, free));
        }
    }

    fn too_little(&self, seen: &Seen) -> String {
        let dir = &self.check.dir;
        let (free, total, wanted) = (size(seen.free), size(seen.total), self.check.free);
        let mut going = String::new();
        if let Some(grew) = &seen.grew {
            let minutes = (grew.seconds / 60).max(1);
            going = format!("in {minutes} min {} grew most, by {}; ", grew.dir, size(grew.bytes));
        }
        let first = self.samples.front().map(|(at, free)| (at.elapsed(), *free));
        if let Some(minutes) = first.and_then(|(ago, before)| minutes_to_full(ago, before, seen.free)) {
            going += &format!("it is full in {minutes} min if that goes on; ");
        }
        let place = seen.grew.as_ref().map_or(dir.as_str(), |grew| grew.dir.as_str());
        format!(
            "{dir} has {free} free of {total}, and {wanted} are wanted; {going}look with: du -xhd1 {place} | sort -h"
        )
    }
}

impl Probe for DiskProbe {
    fn pace(&self) -> Pace {
        let ms = Duration::from_millis;
        Pace::Every { interval: ms(self.check.interval_ms), limit: ms(self.check.timeout_ms) * 2 }
    }

    fn look(&mut self) -> Look<'_> {
        Box::pin(self.look_once())
    }
}

fn start(program: &PathBuf, check: &DiskCheck) -> io::Result<Process> {
    let mut child = Command::new(program)
        .args(["disk", &check.dir, if check.write { "on" } else { "off" }])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let no_pipe = || io::Error::other("no pipe");
    let asks = child.stdin.take().ok_or_else(no_pipe)?;
    let answers = BufReader::new(child.stdout.take().ok_or_else(no_pipe)?.take(SAID_MAX)).lines();
    Ok(Process { _child: child, asks, answers, open: 0 })
}

/// When `free` is gone if it goes on as since `ago`. Nothing can be said of less than a minute, nor of room that became more.
fn minutes_to_full(ago: Duration, before: u64, free: u64) -> Option<u64> {
    let gone = before.checked_sub(free).filter(|gone| *gone > 0 && ago >= SAMPLE_EVERY)?;
    let seconds = u128::from(free) * u128::from(ago.as_secs()) / u128::from(gone);
    u64::try_from(seconds / 60).ok()
}

/// As people read it.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (bytes, "bytes");
    for unit in units {
        if shown.0 < 10 * 1024 {
            break;
        }
        shown = (shown.0 / 1024, unit);
    }
    format!("{} {}", shown.0, shown.1)
}

#[cfg(test)]
mod tests;
