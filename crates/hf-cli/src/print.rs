//! Printing: without control characters from elsewhere, and without a panic when the reader has gone.

use std::error::Error;
use std::io::{self, Write};

use comfy_table::{Table, presets};
use hf_types::Colour;
use serde::Serialize;

use crate::error::CliError;

/// Prints a text on standard output. A reader that has gone (`| head`) is no error.
pub(crate) fn text(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Print(error)),
        _ => Ok(()),
    }
}

/// Prints a value as JSON on standard output.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    text(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints a sentence for the person who waits, on standard error.
pub(crate) fn progress(sentence: &str) {
    note(&format!("{}\n", clean(sentence)));
}

/// Prints on standard error. If that can't be written there is nobody to tell.
pub(crate) fn note(text: &str) {
    let mut out = anstream::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an error with its causes and its way out.
pub(crate) fn error(error: &CliError) {
    let mut line = format!("Error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    progress(&line);
    if let Some(hint) = error.hint() {
        progress(&format!("  {hint}"));
    }
}

/// Without control characters; line breaks stay.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// On one line, without control characters.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', "\u{fffd}")
}

/// A table without lines, each row a line.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim_end().strip_prefix(' ').unwrap_or("").to_owned() + "\n");
    lines.collect()
}

/// The state's colour, in that colour where the terminal has it.
pub(crate) fn coloured(text: &str, colour: Colour) -> String {
    let code = match colour {
        Colour::Red => "31",
        Colour::Magenta => "35",
        Colour::Green => "32",
        Colour::Grey => "90",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// How logs show a time.
pub(crate) const TIME: &str = "%Y-%m-%d %H:%M:%S.%6f";

/// A time from microseconds since 1970, in this machine's time zone.
pub(crate) fn local_time(us: i64, format: &str) -> String {
    match jiff::Timestamp::from_microsecond(us) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string(),
        Err(_) => format!("{us} us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_drives_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\nc\r"), "a\u{fffd}[31mb\nc\u{fffd}");
        assert_eq!(clean_line("a\nb"), "a\u{fffd}b");
    }

    #[test]
    fn tables_have_no_trailing_spaces() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["longer".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["one", "two"], rows), "one     two\na       b\nlonger  c\n");
    }
}
