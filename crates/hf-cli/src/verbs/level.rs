//! `level` (reference 004, 4.1.2, 9.5).

use std::process::ExitCode;

use clap::Args;
use hf_types::{ModuleName, Script};
use hf_wire::bus::{Reply, Request};

use crate::admin;
use crate::args::{ModuleArg, Output};
use crate::error::CliError;
use crate::print;

/// Shows the machine, its system, the version of Holdfast and the licence; with a module, also what its script `level` says
#[derive(Debug, Args)]
pub(crate) struct Level {
    #[command(flatten)]
    module: ModuleArg,
}

pub(crate) async fn run(verb: Level, output: Output) -> Result<ExitCode, CliError> {
    let module = match verb.module.optional()? {
        Some(module) => said(module, Script::Level, output).await?,
        None => String::new(),
    };
    let system = rustix::system::uname();
    let host = print::clean_line(&system.nodename().to_string_lossy());
    let os = format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy());
    let (os, version) = (print::clean_line(&os), concat!("Holdfast ", env!("CARGO_PKG_VERSION")));
    match output {
        // The reference's words before the colons: scripts look for them.
        Output::Text => print::text(&format!(
            "Host : {host}\nOS : {os}\nSafeKit : {version}\nLicense : none needed (MIT OR Apache-2.0)\n{module}"
        ))?,
        Output::Json => print::json(
            &serde_json::json!({ "host": host, "os": os, "version": version, "license": "MIT OR Apache-2.0", "module": module }),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a script of the module says, without anything that a terminal obeys.
pub(super) async fn said(module: ModuleName, script: Script, output: Output) -> Result<String, CliError> {
    let mut all = String::new();
    for reply in admin::ask(Request::ModuleScript { module, script }, output).await? {
        if let Reply::Said { text } = reply {
            all.push_str(&format!("{}\n", print::clean(&text)));
        }
    }
    Ok(all)
}
