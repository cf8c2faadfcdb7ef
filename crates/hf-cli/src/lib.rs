//! The command line: `holdfast VERB ...`, also called `safekit` (reference 004, chapter 9).
//!
//! One file in `verbs/` a verb; its doc comment is its `--help`. Almost every verb is one request to the daemon over
//! `SAFEVAR/run/admin.sock` ([`hf_wire::bus`]) and a way to print the answer. [`main`] does everything and gives the exit
//! code: 0 done, 1 failed, 2 wrongly called (and what `state -lq` says).
//!
//! What the reference knows and this version doesn't serve is answered "not yet"; what nobody knows gets the nearest
//! known word. Text that comes from elsewhere is printed without control characters.

mod admin;
mod args;
mod caller;
mod error;
mod exit;
mod legacy;
mod paths;
mod print;
mod special;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use args::Cli;
pub use error::CliError;
pub use exit::EXIT_CODES;
pub use special::names as special_commands;

/// The tree of verbs, for help pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments (the program's name first), runs the verb, prints errors, and gives the exit code.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if let Some(code) = special::dispatch(&args) {
        return code;
    }
    let args = legacy::translated(args);
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return legacy::report(&error, &args),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(source) => Err(CliError::Runtime { source }),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            print::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs a verb that was parsed.
pub async fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let output = cli.output;
    if cli.print_variables {
        return verbs::variables::run(output);
    }
    match cli.verb {
        Some(verb) => verbs::run(verb, output).await,
        None => Err(CliError::Usage("which verb? holdfast --help lists them".to_owned())),
    }
}
