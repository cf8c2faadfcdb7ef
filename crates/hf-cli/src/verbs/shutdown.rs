//! `shutdown` (reference 004, 9.2) and `reboot`.

use std::process::ExitCode;

use clap::Args;
use hf_wire::bus::Request;

use crate::admin;
use crate::args::Output;
use crate::error::CliError;

/// Stops all modules on this node in good order: what starts last at boot stops first
///
/// What ran counts as started before the next boot (`boot="auto"`).
#[derive(Debug, Args)]
pub(crate) struct Shutdown {}

/// Stops all modules on this node in good order, then restarts the machine
#[derive(Debug, Args)]
pub(crate) struct Reboot {}

pub(crate) async fn shutdown(_: Shutdown, output: Output) -> Result<ExitCode, CliError> {
    admin::order(Request::Shutdown, output).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn reboot(_: Reboot, output: Output) -> Result<ExitCode, CliError> {
    // Looked at first: nothing is stopped where nothing can restart the machine (a container, a node of the lab).
    if !runs_systemd() {
        let text = "systemd does not run this machine: 'holdfast shutdown' stops the modules, then restart it with its own command";
        return Err(CliError::Usage(text.to_owned()));
    }
    admin::order(Request::Shutdown, output).await?;
    let source = match std::process::Command::new("/usr/bin/systemctl").arg("reboot").status() {
        Ok(status) if status.success() => return Ok(ExitCode::SUCCESS),
        Ok(status) => std::io::Error::other(status.to_string()),
        Err(source) => source,
    };
    Err(CliError::Reboot { source })
}

/// As `sd_booted` does, and the first process of this namespace is systemd itself.
fn runs_systemd() -> bool {
    let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
    std::path::Path::new("/run/systemd/system").is_dir() && first.trim() == "systemd"
}
