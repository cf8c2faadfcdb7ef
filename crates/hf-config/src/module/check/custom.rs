//! `<custom>` (reference 004, 13.15).

use crate::check_model::CustomCheck;
use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::module::check::Reader;

const MAX_PATH: usize = 1024;

impl Reader<'_, '_> {
    pub(super) fn custom(&mut self, tag: &Element) -> Option<CustomCheck> {
        let (ident, when, action) = (self.ident(tag), self.when(tag), self.action(tag));
        let exec = tag.require("exec", self.context).cloned().and_then(|value| program(&value, self.context));
        let arguments = tag.get("arg").cloned().map_or_else(Vec::new, |value| self.words(&value));
        Some(CustomCheck { ident: ident?, when, action, exec: exec?, arguments })
    }

    /// Words with blanks between them; double quotes keep some together.
    fn words(&mut self, value: &Value) -> Vec<String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quoted = false;
        for c in value.text.chars() {
            match c {
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                c if c.is_whitespace() && !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        let problem = match () {
            () if quoted => Some("has a quotation mark that is never closed"),
            () if value.text.contains('\0') => Some("has a NUL character"),
            () => None,
        };
        if let Some(problem) = problem {
            let message = format!("{}=\"{}\" {problem}", value.name, value.text);
            self.context.sink.error(Code::BadValue, value.span.clone(), message, None);
        }
        words
    }
}

/// The path of a program, absolute or relative to a directory of the module's own.
pub(crate) fn program(value: &Value, context: &mut Context) -> Option<String> {
    let text = &value.text;
    let windows = text.contains('\\') || text.as_bytes().get(1) == Some(&b':');
    let parts = || text.split('/').skip(usize::from(text.starts_with('/')));
    let plain = parts().all(|part| !part.is_empty() && part != "." && part != "..");
    if !windows && plain && text.len() <= MAX_PATH && !text.contains(char::is_control) {
        return Some(text.clone());
    }
    let message = format!("{}=\"{text}\" isn't the path of a program", value.name);
    let help = if windows {
        "a path of this system: a file name such as checker.sh, or an absolute path"
    } else {
        "a file name such as checker.sh, which lies in the module's bin, or an absolute path without . and .."
    };
    context.sink.error(Code::BadValue, value.span.clone(), message, Some(help.to_owned()));
    None
}
