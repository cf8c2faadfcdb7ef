use std::ops::Range;

/// What the text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// A label, a keyword, a resource, a state: letters, digits and `_ - . : @ * ?`.
    Word(&'t str),
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Semicolon,
    Not,
    Equal,
    Differs,
    Assign,
    And,
    Or,
    /// A character that has no meaning here.
    Other(char),
    End,
}

/// Reads tokens; white space and comments (`/* */`, and `//` to the end of the line) lie between them.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// Where a comment begins that never ends.
    pub(crate) open_comment: Option<usize>,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Lexer<'t> {
        Lexer { text, at: 0, open_comment: None }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            self.at = if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => self.at + end + 4,
                    None => {
                        self.open_comment.get_or_insert(self.at);
                        self.text.len()
                    }
                }
            } else if rest.starts_with("//") {
                self.at + rest.find('\n').unwrap_or(rest.len())
            } else {
                return;
            };
        }
    }

    /// The next token, and where it stands.
    pub(crate) fn next(&mut self) -> (Token<'t>, Range<usize>) {
        self.skip_space();
        let (start, rest) = (self.at, self.rest());
        let Some(first) = rest.chars().next() else {
            return (Token::End, start..start);
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenBracket, 1),
            ']' => (Token::CloseBracket, 1),
            ';' => (Token::Semicolon, 1),
            '!' if rest.starts_with("!=") => (Token::Differs, 2),
            '!' => (Token::Not, 1),
            '=' if rest.starts_with("==") => (Token::Equal, 2),
            '=' => (Token::Assign, 1),
            '&' if rest.starts_with("&&") => (Token::And, 2),
            '|' if rest.starts_with("||") => (Token::Or, 2),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            }
            c => (Token::Other(c), c.len_utf8()),
        };
        self.at += length;
        (token, start..self.at)
    }

    /// Reads on from an earlier place.
    pub(crate) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// A label, if one stands here; its colon is not taken.
    pub(crate) fn label(&mut self) -> Option<(&'t str, Range<usize>)> {
        self.skip_space();
        let (start, rest) = (self.at, self.rest());
        let length = rest.find(|c| !is_label(c)).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        self.at += length;
        Some((&rest[..length], start..self.at))
    }

    /// A colon, if one stands here.
    pub(crate) fn colon(&mut self) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(':');
        self.at += usize::from(found);
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.:@*?".contains(c)
}

/// A label may have a checker's name in it, and a colon ends it.
fn is_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.@".contains(c)
}
