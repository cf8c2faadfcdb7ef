//! The disk server's control socket: one line asks, one line answers.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Context, LabError, Result};

/// How the disk behaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Healthy,
    /// Every request fails.
    Eio,
    /// Every request takes this much longer.
    Slow { delay_ms: u64 },
    /// No request is answered until the mode changes.
    Hang,
}

/// What a command asks of the disk server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Power cut: forget the cache; from now on every request fails.
    Cut,
    /// The file system is mounted: stop holding the loop device.
    Release,
    Mode(Mode),
    Report,
    /// End. The cache is lost.
    Quit,
}

/// The disk's state, in answer to everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub mode: Mode,
    pub cut: bool,
    /// In the cache now: lost at a power cut.
    pub unflushed_bytes: u64,
    /// Flushes that the file system asked for.
    pub flushes: u64,
    /// Flushes because the cache was full.
    pub spills: u64,
    pub reads: u64,
    pub writes: u64,
    /// Thrown away by the power cut.
    pub lost_bytes: u64,
}

/// Enough for a server that is storing a full cache.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks the server behind `socket`.
pub fn ask(socket: &Path, ask: &Ask) -> Result<Report> {
    let what = || format!("asking the disk server at {}", socket.display());
    let mut stream = UnixStream::connect(socket).context(what)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).context(what)?;
    stream.set_write_timeout(Some(ANSWER_WITHIN)).context(what)?;
    let damaged = |e: serde_json::Error| LabError::Failed(format!("{}: {e}", what()));
    let mut line = serde_json::to_string(ask).map_err(damaged)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context(what)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).context(what)?;
    serde_json::from_str(&answer).map_err(damaged)
}

/// Reads one question; None if it makes no sense or does not come.
pub fn receive(stream: &UnixStream) -> Option<Ask> {
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Answers it. A client that has gone doesn't matter.
pub fn answer(mut stream: &UnixStream, report: &Report) {
    if let Ok(mut line) = serde_json::to_string(report) {
        line.push('\n');
        let _ = stream.write_all(line.as_bytes());
    }
}
