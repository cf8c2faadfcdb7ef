//! `gencron del|add USER all|COMMAND -c COMMENT` (reference 004, 14.4.2.1): entries of a crontab that run only where the
//! application runs.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use super::{Failure, words};

const USAGE: Failure = Failure::Usage("gencron del|add USER all|COMMAND_NAME -c \"COMMENT\"");

/// What happens to the entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// `del`: put into comments.
    Disable,
    /// `add`: taken out of them.
    Enable,
}

pub(super) fn run(args: &[OsString]) -> Result<ExitCode, Failure> {
    let args = words(args);
    let [verb, user, which, flag, comment] = &args[..] else { return Err(USAGE) };
    let change = match verb.as_str() {
        "del" => Change::Disable,
        "add" => Change::Enable,
        _ => return Err(USAGE),
    };
    if flag != "-c" || user.is_empty() || user.starts_with('-') {
        return Err(USAGE);
    }
    if comment.trim().is_empty() || comment.contains('\n') {
        return Err(Failure::Word(
            "the comment must be one line that isn't empty: entries are found again by it".to_owned(),
        ));
    }
    let before = read(user)?;
    let after = changed(&before, change, which, comment);
    if after != before {
        write(user, &after)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(user: &str) -> Result<String, Failure> {
    let output = Command::new("crontab").args(["-u", user, "-l"]).stdin(Stdio::null()).output();
    let output = output.map_err(Failure::io("run crontab"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // Every crontab says it in these words, with exit code 1.
    if said.contains("no crontab for") {
        return Ok(String::new());
    }
    Err(Failure::Failed(format!("the crontab of {user} can't be read: {}", said.trim())))
}

/// crontab puts the new one in place as a whole.
fn write(user: &str, text: &str) -> Result<(), Failure> {
    let mut child = Command::new("crontab")
        .args(["-u", user, "-"])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(Failure::io("run crontab"))?;
    // Dropped before the wait, so that crontab sees the end.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    let status = child.wait().map_err(Failure::io("wait for crontab"))?;
    written.map_err(Failure::io(format!("write the crontab of {user}")))?;
    if status.success() { Ok(()) } else { Err(Failure::Failed(format!("crontab refused the new crontab of {user}"))) }
}

/// The crontab with its entries put into comments or out of them. What is so already stays as it is.
fn changed(crontab: &str, change: Change, which: &str, comment: &str) -> String {
    let mark = format!("# {comment}: ");
    let lines = crontab.split_inclusive('\n').map(|line| match change {
        Change::Disable if runs(line).is_some_and(|command| is_meant(command, which)) => format!("{mark}{line}"),
        Change::Enable => match line.strip_prefix(&mark) {
            Some(entry) if runs(entry).is_some_and(|command| is_meant(command, which)) => entry.to_owned(),
            _ => line.to_owned(),
        },
        Change::Disable => line.to_owned(),
    });
    lines.collect()
}

/// The command of an entry: behind five fields of time, or behind `@daily` and the like. None for comments and variables.
fn runs(line: &str) -> Option<&str> {
    let line = line.trim();
    let first = line.chars().next()?;
    let fields = match first {
        '@' => 1,
        '*' | '0'..='9' => 5,
        _ => return None,
    };
    let mut rest = line;
    for _ in 0..fields {
        rest = rest.split_once(char::is_whitespace)?.1.trim_start();
    }
    Some(rest)
}

/// Whether one of the words before a redirection, a pipe or the like is the command, with or without its directory.
fn is_meant(command: &str, which: &str) -> bool {
    let words = command.split(|c: char| c.is_whitespace() || "|&;()<>\"'`".contains(c));
    which == "all" || words.into_iter().any(|word| word.rsplit('/').next() == Some(which))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMENT: &str = "SafeKit configuration for AM";
    const CRONTAB: &str = "# nightly\nMAILTO=admin\n5 0 * * * $HOME/bin/daily.job >> $HOME/tmp/out 2>&1\n@hourly cd /srv && ./clean -a\n\n0 4 * * 1 /usr/bin/backup";

    fn del(crontab: &str, which: &str) -> String {
        changed(crontab, Change::Disable, which, COMMENT)
    }

    fn add(crontab: &str, which: &str) -> String {
        changed(crontab, Change::Enable, which, COMMENT)
    }

    #[test]
    fn one_command_is_disabled_and_enabled_again() {
        let without = del(CRONTAB, "daily.job");
        let expected = "# SafeKit configuration for AM: 5 0 * * * $HOME/bin/daily.job >> $HOME/tmp/out 2>&1";
        assert_eq!(without.lines().nth(2), Some(expected));
        assert_eq!(without.lines().filter(|line| line.starts_with("# SafeKit")).count(), 1);
        assert_eq!(del(&without, "daily.job"), without, "not twice");
        assert_eq!(add(&without, "clean"), without, "another command");
        assert_eq!(changed(&without, Change::Enable, "daily.job", "another module"), without);
        assert_eq!(add(&without, "daily.job"), CRONTAB);
        assert_eq!(add(CRONTAB, "daily.job"), CRONTAB, "not twice");
    }

    #[test]
    fn all_entries_but_no_comments_and_variables() {
        let without = del(CRONTAB, "all");
        assert_eq!(without.lines().filter(|line| line.starts_with("# SafeKit")).count(), 3);
        assert!(without.contains("\nMAILTO=admin\n") && without.starts_with("# nightly\n"));
        assert_eq!(add(&without, "all"), CRONTAB);
    }

    #[test]
    fn what_only_looks_like_the_command_stays() {
        assert_eq!(del(CRONTAB, "daily"), CRONTAB);
        assert_eq!(del(CRONTAB, "job"), CRONTAB);
        assert_ne!(del(CRONTAB, "clean"), CRONTAB);
    }
}
