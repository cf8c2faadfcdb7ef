//! Manual pages, for packages: `cargo xtask docs` calls this.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_mangen::Man;

use crate::error::CliError;

/// Writes a manual page of every command into a directory
#[derive(Debug, Args)]
pub(crate) struct ManPages {
    /// The directory; it is made if it isn't there
    dir: PathBuf,
}

pub(crate) fn run(verb: &ManPages, mut command: clap::Command) -> Result<ExitCode, CliError> {
    let failed = |source| CliError::Write { path: verb.dir.clone(), source };
    std::fs::create_dir_all(&verb.dir).map_err(failed)?;
    command.build();
    page(&command, "holdfast", &verb.dir).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

/// `holdfast.1`, `holdfast-state.1`, `holdfast-module-list.1` ...
fn page(command: &clap::Command, name: &str, dir: &Path) -> std::io::Result<()> {
    let mut text = Vec::new();
    Man::new(command.clone()).title(name).section("1").render(&mut text)?;
    std::fs::write(dir.join(format!("{name}.1")), text)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
        page(verb, &format!("{name}-{}", verb.get_name()), dir)?;
    }
    Ok(())
}
