//! `completions`: what a shell needs to complete our command lines.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::error::CliError;
use crate::print;

/// Prints a completion script for a shell
///
/// For bash: holdfast completions bash >/etc/bash_completion.d/holdfast
#[derive(Debug, Args)]
#[command(alias = "completion")]
pub(crate) struct Completions {
    shell: Shell,
}

/// Without what is only there for packages: clap_complete would offer that too.
fn visible(all: &clap::Command) -> clap::Command {
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let options = all.get_arguments().cloned();
    clap::Command::new("holdfast").version(env!("CARGO_PKG_VERSION")).args(options).subcommands(verbs)
}

pub(crate) fn run(verb: &Completions, tree: &clap::Command) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(verb.shell, &mut visible(tree), "holdfast", &mut script);
    print::text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
