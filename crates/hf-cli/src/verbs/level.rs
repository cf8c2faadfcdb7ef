//! `level` (reference 004, 4.1.2, 9.5).

use std::process::ExitCode;

use clap::Args;

use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Shows the machine, its system, the version of Holdfast and the licence
#[derive(Debug, Args)]
pub(crate) struct Level {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) fn run(verb: Level, output: Output) -> Result<ExitCode, CliError> {
    if let Some(module) = verb.module.optional()? {
        return Err(CliError::NotYet(format!("level -m {module} (the script `level` of a module)")));
    }
    let system = rustix::system::uname();
    let host = print::clean_line(&system.nodename().to_string_lossy());
    let os = format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy());
    let (os, version) = (print::clean_line(&os), concat!("Holdfast ", env!("CARGO_PKG_VERSION")));
    match output {
        // The reference's words before the colons: scripts look for them.
        Output::Text => print::text(&format!(
            "Host : {host}\nOS : {os}\nSafeKit : {version}\nLicense : none needed (MIT OR Apache-2.0)\n"
        ))?,
        Output::Json => print::json(
            &serde_json::json!({ "host": host, "os": os, "version": version, "license": "MIT OR Apache-2.0" }),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}
