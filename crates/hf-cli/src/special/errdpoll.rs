//! `errdpoll_running` (reference 004, 13.9.4): which names and arguments a `<proc>` would see.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use crate::paths::Paths;
use crate::print;

/// How long the arguments of one process may take to be read.
const COMMAND_LIMIT: Duration = Duration::from_millis(500);

/// Writes `pid name command (parent=pid)`, a line a process, into SAFEVAR/errdpoll_reserrd.
pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    if !args.is_empty() {
        return Err(Failure::Usage("errdpoll_running"));
    }
    let lines = hf_exec::processes().into_iter().map(|process| {
        let command = hf_exec::command_of(process.pid, COMMAND_LIMIT).unwrap_or_else(|| format!("[{}]", process.name));
        let (name, command) = (print::clean_line(&process.name), print::clean_line(&command));
        format!("{} {name} {command} (parent={})\n", process.pid, process.parent)
    });
    let text: String = lines.collect();
    let file = Paths::from_environment().safevar.join("errdpoll_reserrd");
    std::fs::write(&file, text).map_err(Failure::io(format!("write {}", file.display())))?;
    Ok(ExitCode::SUCCESS)
}
