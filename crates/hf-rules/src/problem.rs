use std::ops::Range;

/// What kind of thing is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text doesn't follow the grammar.
    Syntax,
    /// More text, rules or parentheses than any real configuration has.
    Limit,
    /// A label twice.
    Duplicate,
    /// A resource that nothing makes.
    UnknownResource,
    /// It can be read, but not be meant.
    Conflict,
    /// It can be read, and will probably never do what was meant: the only kind that is no error.
    Doubtful,
}

/// One finding about a text of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    /// The place as a range of bytes in the text.
    pub span: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { kind, span, message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Problem {
        Problem { help: Some(help.into()), ..self }
    }
}

/// A word from the text, cut to a length that fits a message.
pub(crate) fn short(word: &str) -> String {
    word.chars().take(64).collect()
}
