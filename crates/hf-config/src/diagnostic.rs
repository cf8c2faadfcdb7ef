//! What is wrong, where, and what to do about it.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// At most so many diagnostics are kept for one file; the rest is counted. A hostile file can't make the answer large.
pub(crate) const MAX_DIAGNOSTICS: usize = 100;

/// How much a diagnostic matters. Only errors keep a configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing to do.
    Note,
    /// Accepted, but probably not what was meant or not yet in effect.
    Warning,
    /// Refused.
    Error,
}

/// What kind of thing is wrong: stable names for programs and for searching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The text isn't well-formed XML.
    Syntax,
    /// The text is larger than any real configuration.
    Limit,
    /// A document type with entities, a subset or an external part.
    Doctype,
    /// A tag that the reference doesn't know at this place.
    UnknownElement,
    /// An attribute that the reference doesn't know on this tag.
    UnknownAttribute,
    /// Text between tags, where it means nothing.
    StrayText,
    /// A required tag is missing.
    MissingElement,
    /// A required attribute is missing.
    MissingAttribute,
    /// A value of the wrong form or out of range.
    BadValue,
    /// The same name, address or tag twice where it must be there once.
    Duplicate,
    /// Valid in the reference, not served by this version.
    NotYet,
    /// Valid, but only of use on another operating system.
    OtherSystem,
    /// Valid, but there is nothing here that it could change.
    NoEffect,
    /// An old way of saying something, still accepted.
    Obsolete,
    /// `%NAME%` that no macro and no environment variable explains.
    UnknownMacro,
    /// A network that the cluster doesn't have, or that can't be used for this.
    BadLan,
    /// An address that no other node could reach.
    BadAddress,
    /// Two settings that don't go together.
    Conflict,
    /// A failover rule that doesn't follow the grammar.
    BadRule,
    /// A failover rule names a resource that nothing makes.
    UnknownResource,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Code::Syntax => "syntax",
            Code::Limit => "limit",
            Code::Doctype => "doctype",
            Code::UnknownElement => "unknown-element",
            Code::UnknownAttribute => "unknown-attribute",
            Code::StrayText => "stray-text",
            Code::MissingElement => "missing-element",
            Code::MissingAttribute => "missing-attribute",
            Code::BadValue => "bad-value",
            Code::Duplicate => "duplicate",
            Code::NotYet => "not-yet",
            Code::OtherSystem => "other-system",
            Code::NoEffect => "no-effect",
            Code::Obsolete => "obsolete",
            Code::UnknownMacro => "unknown-macro",
            Code::BadLan => "bad-lan",
            Code::BadAddress => "bad-address",
            Code::Conflict => "conflict",
            Code::BadRule => "bad-rule",
            Code::UnknownResource => "unknown-resource",
        })
    }
}

/// One finding about a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The kind of problem.
    pub code: Code,
    /// Whether it keeps the file from being used.
    pub severity: Severity,
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The place as a range of bytes in the text.
    pub span: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub help: Option<String>,
}

/// All that was found in one file, in the order of the text.
///
/// `Display` renders it as plain text with the source lines; [`Diagnostics::render`] can colour it. It serialises as
/// the list of its [`Diagnostic`]s with the count of those left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// The findings, at most a hundred.
    pub list: Vec<Diagnostic>,
    /// How many more there were.
    pub left_out: usize,
    #[serde(skip)]
    pub(crate) text: String,
}

impl Diagnostics {
    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|found| found.severity == Severity::Error)
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// A value, if there was no error, and everything that was found on the way, notes and warnings included.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked<T> {
    /// The value; `None` exactly when `diagnostics` has an error.
    pub value: Option<T>,
    /// Errors, warnings and notes.
    pub diagnostics: Diagnostics,
}

impl<T> Checked<T> {
    pub(crate) fn new(value: Option<T>, diagnostics: Diagnostics) -> Self {
        let value = if diagnostics.has_errors() { None } else { value };
        Checked { value, diagnostics }
    }

    /// The value alone, or the diagnostics when one of them is an error. Notes and warnings of a good file are dropped.
    pub fn into_result(self) -> Result<T, Diagnostics> {
        self.value.ok_or(self.diagnostics)
    }
}
