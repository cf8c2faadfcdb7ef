//! `kill -name=... [-argregex=...] -level=...` (reference 004, 13.9.4). Asks no daemon, so that it also works when there is none.

use std::process::ExitCode;

use clap::Args;
use hf_config::Wanted;

use crate::args::ModuleArg;
use crate::error::CliError;
use crate::special::processtree;

/// Shows or ends processes by their command's name and arguments, whatever module they belong to
///
/// As a <proc> of userconfig.xml would find them. Of this command itself, and of the script that calls it, nothing is ended.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The command's name, as the kernel keeps it: 15 characters
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// POSIX extended regular expression that is found in the command line
    #[arg(long, value_name = "EXPRESSION")]
    argregex: Option<String>,
    /// test: only shows them; terminate: asks them to end, kills who is left after 3 s, and waits; 9, 15, 1, 2, 3, 10 or 12: this signal
    #[arg(long, value_parser = level)]
    level: Level,
    /// For the reference's command lines; without effect
    #[command(flatten)]
    _module: ModuleArg,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Test,
    Terminate,
    Signal(i32),
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "test" => Ok(Level::Test),
        "terminate" => Ok(Level::Terminate),
        number => match number.parse() {
            Ok(signal @ (1..=3 | 9 | 10 | 12 | 15)) => Ok(Level::Signal(signal)),
            _ => Err("test, terminate, or a signal's number: 9, 15, 1, 2, 3, 10 or 12".to_owned()),
        },
    }
}

pub(crate) fn run(verb: &Kill) -> Result<ExitCode, CliError> {
    let wanted = Wanted::new(&verb.name, verb.argregex.as_deref())
        .map_err(|why| CliError::Usage(format!("--argregex isn't a regular expression: {why}")))?;
    let done = processtree::end(
        |name| wanted.fits_name(name),
        |command| wanted.fits_command(command),
        match verb.level {
            Level::Test => processtree::How::Show,
            Level::Terminate => processtree::How::Terminate,
            Level::Signal(number) => processtree::How::Signal(number),
        },
    );
    done.map_err(CliError::from)
}
