//! The reference's spellings, and its verbs that this version doesn't have yet.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::CliError;
use crate::exit::CANT_SAY;
use crate::print;

/// Verbs of the reference (004, chapter 9 and 13) that are not served yet.
const NOT_YET: &[&str] = &[
    "confinfo",
    "resource",
    "safeagent",
    "update",
    "webserver",
    "watch",
    "-H",
    "-E",
    "-G",
    // Below cluster and module.
    "confcheck",
    "lock",
    "state",
    "unlock",
    "upgrade",
];

/// The arguments with `-v AM` as `-m AM`. Where `-m` names the module, `-v` asks for details.
pub(crate) fn translated(args: Vec<OsString>) -> Vec<OsString> {
    let args = if args.get(1).is_some_and(|verb| verb == "kill") { long_options(args) } else { args };
    // Of `set`, -v is the value.
    let has = |start: &str| args.iter().any(|arg| arg.as_encoded_bytes().starts_with(start.as_bytes()));
    if has("-m") || args.get(1).is_some_and(|verb| verb == "set") {
        return args;
    }
    let names_module = |next: Option<&OsString>| next.is_some_and(|next| !next.as_encoded_bytes().starts_with(b"-"));
    let translate = |(at, arg): (usize, &OsString)| {
        if arg == "-v" && names_module(args.get(at + 1)) { OsString::from("-m") } else { arg.clone() }
    };
    args.iter().enumerate().map(translate).collect()
}

/// `kill -name=vi -level=9` as this version's parser reads it.
fn long_options(args: Vec<OsString>) -> Vec<OsString> {
    let long = |arg: OsString| match arg.to_str() {
        Some(text) if ["-name", "-argregex", "-level"].iter().any(|option| text.split('=').next() == Some(option)) => {
            OsString::from(format!("-{text}"))
        }
        _ => arg,
    };
    args.into_iter().map(long).collect()
}

/// Prints what the parser says, or that this is not served yet. `state -lq` has exit codes of its own, of which 2 is ALONE.
pub(crate) fn report(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let code = said(error);
    if error.use_stderr() && asks_for_a_code(args) { ExitCode::from(CANT_SAY) } else { code }
}

/// Whether this is, or was meant to be, `state` with both -l and -q.
fn asks_for_a_code(args: &[OsString]) -> bool {
    let short =
        |arg: &&OsString| arg.as_encoded_bytes().starts_with(b"-") && !arg.as_encoded_bytes().starts_with(b"--");
    let letters: Vec<u8> = args.iter().filter(short).flat_map(|arg| arg.as_encoded_bytes().to_vec()).collect();
    args.iter().skip(1).any(|arg| arg == "state") && letters.contains(&b'l') && letters.contains(&b'q')
}

fn said(error: &clap::Error) -> ExitCode {
    if let Some(word) = unknown_word(error).filter(|word| NOT_YET.contains(&word.as_str())) {
        let not_yet = CliError::NotYet(word);
        print::error(&not_yet);
        return ExitCode::from(not_yet.exit_code());
    }
    // Help and version go to standard output and are no failure; the parser knows. If it can't be written there is
    // nobody to tell.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn unknown_word(error: &clap::Error) -> Option<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_script_that_asks_for_a_state_never_reads_a_refusal_as_one() {
        for line in ["holdfast state -m pg -lq x", "holdfast -z state -q -l", "holdfast state -ql -m"] {
            assert!(asks_for_a_code(&words(line)), "{line}");
        }
        for line in ["holdfast state -m pg -l", "holdfast log -lq -m pg", "holdfast state --quiet-all -l"] {
            assert!(!asks_for_a_code(&words(line)), "{line}");
        }
    }

    #[test]
    fn kill_has_the_references_options() {
        let (called, meant) =
            ("holdfast kill -name=vi -argregex=-x -level=9", "holdfast kill --name=vi --argregex=-x --level=9");
        assert_eq!(translated(words(called)), words(meant));
        assert_eq!(translated(words(meant)), words(meant));
    }

    #[test]
    fn v_names_the_module_unless_m_does() {
        assert_eq!(translated(words("holdfast stop -v pg")), words("holdfast stop -m pg"));
        assert_eq!(translated(words("holdfast state -v pg")), words("holdfast state -m pg"));
        assert_eq!(translated(words("holdfast state -v -m pg")), words("holdfast state -v -m pg"));
        assert_eq!(translated(words("holdfast state -m pg -v")), words("holdfast state -m pg -v"));
        assert_eq!(translated(words("holdfast state -v")), words("holdfast state -v"));
        assert_eq!(translated(words("holdfast set -r custom.x -v up")), words("holdfast set -r custom.x -v up"));
        assert_eq!(translated(words("holdfast waitstate -v pg PRIM")), words("holdfast waitstate -m pg PRIM"));
    }
}
