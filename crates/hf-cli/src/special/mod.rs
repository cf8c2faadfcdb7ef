//! The special commands for scripts (reference 004, 13.9.4 and 14.4): `safekit -r COMMAND ...`, or `$SAFEBIN/COMMAND ...` in a
//! script. They ask no daemon, so they also work when there is none.

mod boundcmd;
mod errdpoll;
mod gencron;
mod ocf;
pub(crate) mod processtree;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use hf_types::ModuleName;

use crate::error::CliError;
use crate::paths::Paths;

/// Runs one with its arguments; the error is a sentence for the person who called it.
type Run = fn(&[OsString]) -> Result<ExitCode, Failure>;

/// What is built in, under the names that SAFEBIN has links for.
const BUILT_IN: [(&str, Run); 5] = [
    ("boundcmd", boundcmd::run),
    ("errdpoll_running", errdpoll::run),
    ("gencron", gencron::run),
    ("ocf", ocf::run),
    ("processtree", processtree::run),
];

/// The names that belong into SAFEBIN, as links to this program.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Why a special command did nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Wrongly called: how it is called instead.
    #[error("usage: {0}")]
    Usage(&'static str),
    /// A word of the call that means nothing.
    #[error("{0}")]
    Word(String),
    /// A program can't be run, or a file not be read or written.
    #[error("can't {what}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It was tried, and did not succeed.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Failure {
        let what = what.into();
        move |source| Failure::Io { what, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::Word(_) => 2,
            Failure::Io { .. } | Failure::Failed(_) => 1,
        }
    }
}

/// For the verbs that do the same.
impl From<Failure> for CliError {
    fn from(failure: Failure) -> CliError {
        let (what, exit_code) = (failure.to_string(), failure.exit_code());
        let source = match failure {
            Failure::Io { source, .. } => Some(source),
            Failure::Usage(_) | Failure::Word(_) | Failure::Failed(_) => None,
        };
        CliError::Special { what, source, exit_code }
    }
}

/// If these are the arguments of a special command (as `holdfast -r NAME ...`, or called as NAME), runs it.
pub(crate) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    let called = Path::new(args.first()?).file_name()?;
    if let Some(run) = built_in(called) {
        return Some(report(called, run(&args[1..])));
    }
    match args.get(1) {
        Some(flag) if flag == "-r" => Some(by_name(&args[2..])),
        _ => None,
    }
}

fn built_in(name: &OsStr) -> Option<Run> {
    BUILT_IN.iter().find(|(of, _)| name == *of).map(|(_, run)| *run)
}

fn by_name(args: &[OsString]) -> ExitCode {
    const USAGE: Failure = Failure::Usage("holdfast -r COMMAND [ARGUMENT]...");
    let Some((name, rest)) = args.split_first() else {
        return report(OsStr::new("holdfast -r"), Err(USAGE));
    };
    match built_in(name) {
        Some(run) => report(name, run(rest)),
        None => report(name, Err(execute(name, rest))),
    }
}

/// Becomes a program of SAFEBIN, or the one with this absolute path, with the environment that scripts have. Comes back only
/// if that fails.
fn execute(name: &OsStr, args: &[OsString]) -> Failure {
    let paths = Paths::from_environment();
    let module: Option<ModuleName> = std::env::var("SAFEMODULE").ok().and_then(|name| name.parse().ok());
    let safebin = paths.safe.join("private/bin");
    let program = if Path::new(name).is_absolute() { PathBuf::from(name) } else { safebin.join(name) };
    if !program.exists() {
        let known = names().collect::<Vec<_>>().join(", ");
        return Failure::Word(format!(
            "no special command {}: there are {known}, and what is in {}",
            shown(name),
            safebin.display()
        ));
    }
    let error = Command::new(&program).args(args).envs(paths.variables(module.as_ref())).exec();
    Failure::io(format!("run {}", program.display()))(error)
}

fn shown(text: &OsStr) -> String {
    text.to_string_lossy().escape_debug().to_string()
}

fn report(name: &OsStr, done: Result<ExitCode, Failure>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(failure) => {
            let cause = std::error::Error::source(&failure).map(|cause| format!(": {cause}")).unwrap_or_default();
            crate::print::progress(&format!("{}: {failure}{cause}", shown(name)));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Arguments as text; what isn't UTF-8 can match nothing anyway.
fn words(args: &[OsString]) -> Vec<String> {
    args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_verb_that_fails_names_the_cause() {
        let gone = std::io::Error::from_raw_os_error(1);
        let failed = CliError::from(Failure::io("signal process 7")(gone));
        assert_eq!((failed.to_string().as_str(), failed.exit_code()), ("can't signal process 7", 1));
        let cause = failed.source().map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("Operation not permitted (os error 1)"));
        assert_eq!(CliError::from(Failure::Usage("x")).exit_code(), 2);
    }

    #[test]
    fn the_help_page_names_each() {
        for name in names() {
            assert!(crate::args::AFTER.contains(name), "{name}");
        }
    }
}
