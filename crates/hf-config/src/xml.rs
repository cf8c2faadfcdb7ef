//! From text to a document tree, with limits.

use std::ops::Range;

use roxmltree::{Document, ParsingOptions};

use crate::context::Sink;
use crate::diagnostic::Code;

/// The largest configuration text that is read, in bytes. Real ones have a few thousand.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// The most elements, texts and comments in one file.
const MAX_NODES: u32 = 20_000;

/// Parses the text; what keeps it from being a document goes to the sink.
pub(crate) fn parse<'a>(text: &'a str, sink: &mut Sink) -> Option<Document<'a>> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_TEXT_BYTES} are read", text.len());
        sink.error(Code::Limit, 0..0, message, None);
        return None;
    }
    if let Some(span) = unacceptable_doctype(text) {
        let help = "leave it out, or keep only the name, as in <!DOCTYPE safe>".to_owned();
        sink.error(Code::Doctype, span, "a document type with entities or external parts isn't read", Some(help));
        return None;
    }
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, entity_resolver: None };
    match Document::parse_with_options(text, options) {
        Ok(document) => Some(document),
        Err(error) => {
            report(text, &error, sink);
            None
        }
    }
}

fn report(text: &str, error: &roxmltree::Error, sink: &mut Sink) {
    use roxmltree::Error;
    let at = match error {
        // The library points at the first line for these: the end of the text says more.
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => text.len()..text.len(),
        other => position(text, other.pos()),
    };
    match error {
        Error::NodesLimitReached | Error::AttributesLimitReached | Error::NamespacesLimitReached => {
            sink.error(Code::Limit, at, format!("the file has more than {MAX_NODES} tags and texts"), None);
        }
        Error::UnexpectedCloseTag(expected, actual, _) => {
            let message = format!("</{}> closes a tag that isn't open here", quoted(actual));
            sink.error(Code::Syntax, at, message, Some(format!("</{}> is expected", quoted(expected))));
        }
        other => sink.error(Code::Syntax, at, without_place(&other.to_string()), None),
    }
}

/// The library ends its messages with " at line:column"; the diagnostic says that itself.
fn without_place(message: &str) -> String {
    let cut = message.rfind(" at ").filter(|at| message[at + 4..].starts_with(|c: char| c.is_ascii_digit()));
    quoted(&message[..cut.unwrap_or(message.len())])
}

fn quoted(name: &str) -> String {
    name.chars().take(100).collect()
}

/// The byte at a place given as line and character column.
fn position(text: &str, place: roxmltree::TextPos) -> Range<usize> {
    let row = (place.row as usize).saturating_sub(1);
    let start = match row {
        0 => 0,
        row => text.match_indices('\n').nth(row - 1).map_or(text.len(), |(at, _)| at + 1),
    };
    let column = (place.col as usize).saturating_sub(1);
    let at = text[start..].char_indices().nth(column).map_or(text.len(), |(at, _)| start + at);
    at..at
}

/// Finds a document type that is more than a bare name.
///
/// Only comments, white space and processing instructions can stand before it, so a scan of the beginning suffices.
fn unacceptable_doctype(text: &str) -> Option<Range<usize>> {
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        rest = if let Some(comment) = rest.strip_prefix("<!--") {
            &comment[comment.find("-->")? + 3..]
        } else if let Some(instruction) = rest.strip_prefix("<?") {
            &instruction[instruction.find("?>")? + 2..]
        } else {
            break;
        };
    }
    let start = text.len() - rest.len();
    let name = rest.strip_prefix("<!DOCTYPE")?.trim_start();
    let after = name.trim_start_matches(|c: char| c.is_alphanumeric() || "_-.:".contains(c)).trim_start();
    (!after.starts_with('>')).then(|| start..start + "<!DOCTYPE".len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_document_type_passes() {
        assert_eq!(unacceptable_doctype("<?xml version='1.0'?><!-- a --><!DOCTYPE safe><safe/>"), None);
        assert_eq!(unacceptable_doctype("<!DOCTYPE safe ><safe/>"), None);
        assert_eq!(unacceptable_doctype("<safe/>"), None);
    }

    #[test]
    fn entities_and_external_parts_are_found() {
        assert_eq!(unacceptable_doctype("<!DOCTYPE s [<!ENTITY a 'b'>]><s/>"), Some(0..9));
        assert_eq!(unacceptable_doctype(" <!DOCTYPE s SYSTEM 'file:///etc/passwd'><s/>"), Some(1..10));
        assert_eq!(unacceptable_doctype("<!-- x --><!DOCTYPE s PUBLIC 'a' 'b'><s/>"), Some(10..19));
    }
}
