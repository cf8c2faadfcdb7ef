//! What parsing carries along: the findings so far, and the macros.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Severity};
use crate::model::ModuleConfig;

/// No value may grow beyond this by its macros, in bytes: macros that double each other stop here.
const MAX_VALUE_BYTES: usize = 16 * 1024;

/// Messages quote values; a long value is cut with its message.
const MAX_MESSAGE_CHARS: usize = 400;

/// Collects findings and knows the lines of the text.
pub(crate) struct Sink<'t> {
    text: &'t str,
    file: &'t str,
    line_starts: Vec<usize>,
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl<'t> Sink<'t> {
    pub(crate) fn new(text: &'t str, file: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Sink { text, file, line_starts, list: Vec::new(), left_out: 0 }
    }

    pub(crate) fn error(&mut self, code: Code, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Error, span, message.into(), help);
    }

    pub(crate) fn warning(&mut self, code: Code, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Warning, span, message.into(), help);
    }

    pub(crate) fn note(&mut self, code: Code, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Note, span, message.into(), help);
    }

    fn push(&mut self, code: Code, severity: Severity, span: Range<usize>, message: String, help: Option<String>) {
        // An error must never be the one that is left out: the verdict hangs on it.
        if self.list.len() >= MAX_DIAGNOSTICS {
            self.left_out += 1;
            if severity != Severity::Error || self.list.iter().any(|found| found.severity == Severity::Error) {
                return;
            }
            self.list.pop();
        }
        let message = message.chars().take(MAX_MESSAGE_CHARS).collect();
        let (line, column) = self.place(span.start);
        self.list.push(Diagnostic { code, severity, file: self.file.to_owned(), line, column, span, message, help });
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at);
        let start = self.line_starts[line.max(1) - 1];
        let column = self.text.get(start..at).map_or(1, |before| before.chars().count() + 1);
        (line.max(1), column)
    }

    pub(crate) fn finish(mut self) -> Diagnostics {
        self.list.sort_by_key(|found| found.span.start);
        Diagnostics { list: self.list, left_out: self.left_out, text: self.text.to_owned() }
    }
}

/// Looks up an environment variable.
type Environment<'t> = dyn Fn(&str) -> Option<String> + 't;
/// Looks up a host name.
type Names<'t> = dyn Fn(&str) -> Result<IpAddr, String> + 't;

/// What a module is checked against on the node where it is to run.
#[derive(Clone, Copy)]
pub struct OnNode<'t> {
    /// The node's other modules: no two have a virtual address or a replicated directory in common.
    pub others: &'t [ModuleConfig],
    /// What a host name in the file stands for, else why that is not known.
    pub names: &'t Names<'t>,
}

/// A file that is looked at without a node.
impl Default for OnNode<'_> {
    fn default() -> Self {
        OnNode { others: &[], names: &unknown }
    }
}

fn unknown(_: &str) -> Result<IpAddr, String> {
    Err("nobody has looked it up".to_owned())
}

/// The findings and what `%NAME%` stands for.
pub(crate) struct Context<'t> {
    pub(crate) sink: Sink<'t>,
    macros: HashMap<String, String>,
    /// None: this kind of file has no macros, and a percent sign is a character like any other.
    environment: Option<&'t Environment<'t>>,
    /// The node's other modules.
    pub(crate) others: &'t [ModuleConfig],
    names: &'t Names<'t>,
}

impl<'t> Context<'t> {
    pub(crate) fn new(text: &'t str, file: &'t str, environment: &'t dyn Fn(&str) -> Option<String>) -> Self {
        Context { environment: Some(environment), ..Context::without_macros(text, file) }
    }

    /// With what else is known on the node.
    pub(crate) fn on_node(self, node: &OnNode<'t>) -> Self {
        Context { others: node.others, names: node.names, ..self }
    }

    /// What a host name stands for, else why nobody knows.
    pub(crate) fn look_up(&self, name: &str) -> Result<IpAddr, String> {
        (self.names)(name)
    }

    pub(crate) fn without_macros(text: &'t str, file: &'t str) -> Self {
        Context { sink: Sink::new(text, file), macros: HashMap::new(), environment: None, others: &[], names: &unknown }
    }

    /// Defines a macro for the rest of the file; false if it was defined before, which then holds on.
    pub(crate) fn define(&mut self, name: &str, value: &str) -> bool {
        if self.macros.contains_key(name) {
            return false;
        }
        self.macros.insert(name.to_owned(), value.to_owned());
        true
    }

    /// The value with each `%NAME%` replaced: by a macro, else by the environment (reference 004, 13.1.3).
    /// None, and reported, if a name is unknown or the value grows too long.
    pub(crate) fn expand(&mut self, value: &str, span: &Range<usize>) -> Option<String> {
        let Some(environment) = self.environment else {
            return Some(value.to_owned());
        };
        let mut out = String::with_capacity(value.len());
        let mut complete = true;
        let mut rest = value;
        while let Some((before, name, after)) = next_reference(rest) {
            out.push_str(before);
            match self.macros.get(name).cloned().or_else(|| environment(name)) {
                Some(replacement) => out.push_str(&replacement),
                None => {
                    self.report_unknown(name, span);
                    complete = false;
                }
            }
            if out.len() > MAX_VALUE_BYTES {
                let message = format!("with its macros replaced, this value has more than {MAX_VALUE_BYTES} bytes");
                self.sink.error(Code::Limit, span.clone(), message, None);
                return None;
            }
            rest = after;
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    /// The first macro in a text that is defined: where it begins, what it stands for, its length.
    pub(crate) fn known_macro(&self, text: &str) -> Option<(usize, String, usize)> {
        let environment = self.environment?;
        let mut from = 0;
        while let Some((before, name, _)) = next_reference(&text[from..]) {
            let (at, length) = (from + before.len(), name.len() + 2);
            if let Some(replacement) = self.macros.get(name).cloned().or_else(|| environment(name)) {
                return Some((at, replacement, length));
            }
            from = at + 1;
        }
        None
    }

    fn report_unknown(&mut self, name: &str, span: &Range<usize>) {
        let name: String = name.chars().take(64).collect();
        let near = hf_types::nearest(&name, self.macros.keys().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean %{near}%?"),
            None => format!("define <macro name=\"{name}\" value=\"...\"/> before this place"),
        };
        let message = format!("%{name}% is neither a macro defined above nor an environment variable");
        self.sink.error(Code::UnknownMacro, span.clone(), message, Some(help));
    }
}

/// Splits at the first `%identifier%`: the text before, the identifier, the text after.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('%').map(|at| from + at) {
        let tail = &text[open + 1..];
        let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
        let starts_well = tail.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts_well && tail[end..].starts_with('%') {
            return Some((&text[..open], &tail[..end], &tail[end + 1..]));
        }
        from = open + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(value: &str) -> (Option<String>, usize) {
        let environment = |name: &str| match name {
            "HOME" => Some("/root".to_owned()),
            "A" => Some("from the environment".to_owned()),
            _ => None,
        };
        let mut context = Context::new("", "f", &environment);
        context.define("A", "1");
        context.define("B_2", "two");
        let out = context.expand(value, &(0..0));
        (out, context.sink.finish().list.len())
    }

    #[test]
    fn a_macro_wins_over_the_environment() {
        assert_eq!(expanded("x%A%y%B_2%"), (Some("x1ytwo".into()), 0));
        assert_eq!(expanded("%HOME%/d"), (Some("/root/d".into()), 0));
    }

    #[test]
    fn percent_signs_alone_stay() {
        assert_eq!(expanded("50%"), (Some("50%".into()), 0));
        assert_eq!(expanded("5% of 6%A%%"), (Some("5% of 61%".into()), 0));
        assert_eq!(expanded("%20%A%"), (Some("%201".into()), 0));
    }

    #[test]
    fn an_unknown_name_is_reported() {
        assert_eq!(expanded("%NOBODY%"), (None, 1));
    }
}
