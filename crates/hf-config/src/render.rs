//! Diagnostics as text for people.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};

/// A line longer than this (in bytes) is named, not shown.
const MAX_SHOWN_LINE: usize = 1000;

impl Diagnostics {
    /// All findings as text, each with its source line; `colour` adds terminal colours.
    ///
    /// Control characters from the file come out replaced, never raw.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut blocks: Vec<String> = self.list.iter().map(|found| renderer.render(&[self.group(found)])).collect();
        if self.left_out > 0 {
            blocks.push(format!("... and {} more", self.left_out));
        }
        blocks.join("\n\n")
    }

    fn group<'a>(&'a self, found: &'a Diagnostic) -> Group<'a> {
        let title = level(found.severity).primary_title(printable(&found.message)).id(found.code.to_string());
        let group = Group::with_title(title);
        let group = match self.source_line(found) {
            Some((line, start)) => group.element(snippet(found, line, start)),
            None => group.element(Origin::path(printable(&found.file)).line(found.line).char_column(found.column)),
        };
        match &found.help {
            Some(help) => group.element(Level::HELP.message(printable(help))),
            None => group,
        }
    }

    /// The line that a finding points at and the byte at which it starts; none if it is too long to show.
    fn source_line(&self, found: &Diagnostic) -> Option<(&str, usize)> {
        let before = self.text.get(..found.span.start)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(start..)?;
        let line = rest.lines().next().unwrap_or("");
        (line.len() <= MAX_SHOWN_LINE).then_some((line, start))
    }
}

fn snippet<'a>(found: &'a Diagnostic, line: &'a str, start: usize) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    // Whole characters, whatever a finding says.
    let from = line.floor_char_boundary(found.span.start - start);
    let to = line.ceil_char_boundary(found.span.end.saturating_sub(start).max(from));
    Snippet::source(line)
        .line_start(found.line)
        .path(printable(&found.file))
        .annotation(AnnotationKind::Primary.span(from..to))
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    }
}

/// The text without anything that could drive a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
