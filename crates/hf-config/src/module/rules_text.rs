//! The text inside `<failover>`, with the place in the file of each of its bytes.

use std::ops::Range;

use crate::context::Context;
use crate::element::Element;

/// Rules as they are read, and where each piece stands in the file.
pub(super) struct RulesText {
    text: String,
    /// Where a piece begins in `text` and in the file, and whether it is the same text there.
    pieces: Vec<Piece>,
}

struct Piece {
    at: usize,
    source: usize,
    /// Else it stands for what begins at `source` and has this length: an entity, a macro.
    verbatim: bool,
    length: usize,
}

impl RulesText {
    /// What stands inside the tag: CDATA and plain text, macros replaced, comments and tags (which are reported elsewhere) left out.
    pub(super) fn of(tag: &Element, source: &str, context: &Context) -> RulesText {
        let mut rules = RulesText { text: String::new(), pieces: Vec::new() };
        let Some(inside) = inside(source, tag.range()) else {
            return rules;
        };
        let mut at = inside.start;
        while at < inside.end {
            at = rules.take(source, at..inside.end, context);
        }
        rules
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Takes the next piece; returns where the one after it begins.
    fn take(&mut self, source: &str, range: Range<usize>, context: &Context) -> usize {
        let rest = &source[range.clone()];
        let at = range.start;
        if let Some(data) = rest.strip_prefix("<![CDATA[") {
            let length = data.find("]]>").unwrap_or(data.len());
            let from = at + "<![CDATA[".len();
            self.plain(source, from..from + length, context);
            return (from + length + "]]>".len()).min(range.end);
        }
        if rest.starts_with("<!--") {
            self.stands_for(" ", at, 0);
            return at + rest.find("-->").map_or(rest.len(), |end| end + 3);
        }
        if rest.starts_with('<') {
            return at + rest.find('>').map_or(rest.len(), |end| end + 1);
        }
        if let Some((character, length)) = entity(rest) {
            self.stands_for(character, at, length);
            return at + length;
        }
        // An ampersand that begins no entity we know stands for itself.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let length = first + rest[first..].find(['<', '&']).unwrap_or(rest.len() - first);
        self.plain(source, at..at + length, context);
        at + length
    }

    /// Text as it stands, but for its macros.
    fn plain(&mut self, source: &str, range: Range<usize>, context: &Context) {
        let mut rest = range;
        while let Some((before, name, length)) = context.known_macro(&source[rest.clone()]) {
            let start = rest.start + before;
            self.verbatim(&source[rest.start..start], rest.start);
            self.stands_for(&name, start, length);
            rest.start = start + length;
        }
        self.verbatim(&source[rest.clone()], rest.start);
    }

    fn verbatim(&mut self, text: &str, source: usize) {
        self.pieces.push(Piece { at: self.text.len(), source, verbatim: true, length: text.len() });
        self.text.push_str(text);
    }

    fn stands_for(&mut self, text: &str, source: usize, length: usize) {
        self.pieces.push(Piece { at: self.text.len(), source, verbatim: false, length });
        self.text.push_str(text);
    }

    /// The place in the file of a place in the rules.
    pub(super) fn place(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.at(span.start, false);
        let end = if span.end > span.start { self.at(span.end - 1, true) } else { start };
        start..end.max(start)
    }

    /// Where a byte stands, or where what it belongs to ends.
    fn at(&self, byte: usize, behind: bool) -> usize {
        let piece = self.pieces.partition_point(|piece| piece.at <= byte);
        match piece.checked_sub(1).and_then(|piece| self.pieces.get(piece)) {
            None => 0,
            Some(piece) if piece.verbatim => piece.source + (byte - piece.at) + usize::from(behind),
            Some(piece) if behind => piece.source + piece.length,
            Some(piece) => piece.source,
        }
    }
}

/// What stands between a tag's two halves; none if it has only one.
fn inside(source: &str, tag: Range<usize>) -> Option<Range<usize>> {
    let text = source.get(tag.clone())?;
    let mut quote = None;
    let open = text.char_indices().find(|(_, c)| {
        match (quote, *c) {
            (None, '"' | '\'') => quote = Some(*c),
            (Some(open), c) if c == open => quote = None,
            (None, '>') => return true,
            _ => {}
        }
        false
    });
    let start = tag.start + open?.0 + 1;
    let end = tag.start + text.rfind("</")?;
    (start <= end).then_some(start..end)
}

/// The character that an entity at the beginning stands for, and the entity's length.
fn entity(text: &str) -> Option<(&'static str, usize)> {
    let known = [("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'")];
    known.into_iter().find(|(entity, _)| text.starts_with(entity)).map(|(entity, stands)| (stands, entity.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn rules(inner: &str) -> (String, RulesText) {
        let source = format!("<failover extends=\"yes\">{inner}</failover>");
        let document = roxmltree::Document::parse(&source).expect("it is well-formed");
        let mut context = Context::new(&source, "f", &|_| None);
        context.define("WHO", "tcp.a");
        let tag = Element::open(document.root_element(), &spec::FAILOVER, &mut context);
        let text = RulesText::of(&tag, &source, &context);
        (source, text)
    }

    /// The text of the file that a text of the rules comes from.
    fn origin(inner: &str, what: &str) -> String {
        let (source, text) = rules(inner);
        let start = text.as_str().find(what).expect("it is there");
        source[text.place(&(start..start + what.len()))].to_owned()
    }

    #[test]
    fn cdata_text_and_entities_make_one_text() {
        let (_, text) = rules("a<![CDATA[ && <b ]]>&amp;&amp; c<!-- x --> d");
        assert_eq!(text.as_str(), "a && <b && c  d");
    }

    #[test]
    fn every_byte_knows_its_place() {
        let inner = "é <![CDATA[ x<y ]]> p &amp;&amp; q <!-- -- no --> r";
        let inner = inner.replace("-- no", "no");
        for what in ["é", "x<y", "p", "q", "r"] {
            assert_eq!(origin(&inner, what), what);
        }
        assert_eq!(origin(&inner, "&&"), "&amp;&amp;");
        assert_eq!(origin(&inner, "p &"), "p &amp;");
    }

    #[test]
    fn a_macro_stands_where_it_is_used() {
        let inner = "<![CDATA[l: if (%WHO% == down) 50% %NOBODY% ]]>";
        let (_, text) = rules(inner);
        assert_eq!(text.as_str(), "l: if (tcp.a == down) 50% %NOBODY% ");
        assert_eq!(origin(inner, "tcp.a"), "%WHO%");
        assert_eq!(origin(inner, "== down"), "== down");
    }

    #[test]
    fn a_tag_without_an_inside_has_no_rules() {
        let source = "<failover/>";
        assert_eq!(inside(source, 0..source.len()), None);
        assert_eq!(rules("").1.as_str(), "");
    }
}
