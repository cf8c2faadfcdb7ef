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

use clap::{CommandFactory, FromArgMatches};

pub use args::Cli;
pub use error::CliError;
pub use exit::EXIT_CODES;
pub use special::names as special_commands;

/// The tree of verbs, for parsing, help pages and completions. `others` are verbs that the binary serves elsewhere.
pub fn command(others: &[clap::Command]) -> clap::Command {
    Cli::command().subcommands(others.iter().cloned())
}

/// Parses the arguments (the program's name first), runs the verb, prints errors, and gives the exit code. `others` as in
/// [`command`]: whoever calls this has looked for them in the first place of the line already.
pub fn main(args: Vec<OsString>, others: &[clap::Command]) -> ExitCode {
    if let Some(code) = special::dispatch(&args) {
        return code;
    }
    let args = legacy::translated(args);
    let tree = command(others);
    let cli = match parsed(tree.clone(), &args, others) {
        Ok(cli) => cli,
        Err(error) => return legacy::report(&error, &args),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli, tree)),
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

fn parsed(mut tree: clap::Command, args: &[OsString], others: &[clap::Command]) -> Result<Cli, clap::Error> {
    let matches = tree.try_get_matches_from_mut(args)?;
    let verb = matches.subcommand_name().unwrap_or_default();
    if others.iter().any(|other| other.get_name() == verb) {
        let text = format!("'{verb}' stands first and options after it: holdfast {verb} ... -o json\n");
        return Err(clap::Error::raw(clap::error::ErrorKind::UnknownArgument, text));
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut tree))
}

/// Runs a verb that was parsed.
async fn run(cli: Cli, tree: clap::Command) -> Result<ExitCode, CliError> {
    let output = cli.output;
    if cli.print_variables {
        return verbs::variables::run(output);
    }
    match cli.verb {
        Some(verb) => verbs::run(verb, output, tree).await,
        None => Err(CliError::Usage("which verb? holdfast --help lists them".to_owned())),
    }
}
