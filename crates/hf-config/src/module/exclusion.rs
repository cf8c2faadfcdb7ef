//! `<notreplicated>`: what of a replicated directory is left out (reference 004, 13.6.3).
//!
//! Patterns are POSIX extended regular expressions that must match a whole relative path. They run in the regex crate,
//! whose time is linear in the path's length and whose size is limited.

use regex::{Regex, RegexBuilder};

use crate::context::Context;
use crate::diagnostic::Code;
use crate::element::{Element, Value};
use crate::model::{NotReplicated, Replicated};
use crate::module::rfs::relative_path;
use crate::spec;

/// The most memory that one compiled pattern may take, in bytes.
const MAX_COMPILED: usize = 1 << 20;
const MAX_PATTERN: usize = 1024;
const MAX_NESTING: u32 = 50;
/// The classes of POSIX: `[:alpha:]` and so on.
const CLASSES: [&str; 12] =
    ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];

pub(super) fn read(replicated: &Element, context: &mut Context) -> Vec<NotReplicated> {
    let tags = replicated.children(&spec::NOTREPLICATED, context);
    tags.iter().filter_map(|tag| one(tag, context)).collect()
}

fn one(tag: &Element, context: &mut Context) -> Option<NotReplicated> {
    let given: Vec<&Value> = ["path", "regexpath", "regxpath"].iter().filter_map(|name| tag.get(name)).collect();
    match given[..] {
        [value] if value.name == "path" => relative_path(value, context).map(NotReplicated::Path),
        [value] => pattern(value, context),
        [] => {
            let message = "<notreplicated> needs the attribute path or regexpath".to_owned();
            context.sink.error(Code::MissingAttribute, tag.span(), message, None);
            None
        }
        [_, second, ..] => {
            let message = "<notreplicated> has one of path and regexpath".to_owned();
            let help = Some("write a <notreplicated> for each".to_owned());
            context.sink.error(Code::Conflict, second.span.clone(), message, help);
            None
        }
    }
}

fn pattern(value: &Value, context: &mut Context) -> Option<NotReplicated> {
    let (only, text) = match value.text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, value.text.as_str()),
    };
    match compile(text) {
        Ok(_) if only => Some(NotReplicated::AllBut(text.to_owned())),
        Ok(_) => Some(NotReplicated::Pattern(text.to_owned())),
        Err(why) => {
            let message = format!("{}=\"{}\" isn't a regular expression: {why}", value.name, value.text);
            let help = r"as in man 7 regex, for the whole path, such as .*\.tmp".to_owned();
            context.sink.error(Code::BadValue, value.span.clone(), message, Some(help));
            None
        }
    }
}

/// What is left out of one replicated directory, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    paths: Vec<String>,
    patterns: Vec<Regex>,
    only: Vec<Regex>,
}

impl Exclusions {
    /// What `replicated` leaves out. A pattern that doesn't compile (no validated configuration has one) is an error
    /// that says why.
    pub fn new(replicated: &Replicated) -> Result<Exclusions, String> {
        Exclusions::of(&replicated.not_replicated)
    }

    /// The same from the list alone.
    pub fn of(list: &[NotReplicated]) -> Result<Exclusions, String> {
        let mut all = Exclusions::default();
        for left_out in list {
            match left_out {
                NotReplicated::Path(path) => all.paths.push(path.clone()),
                NotReplicated::Pattern(text) => all.patterns.push(compile(text)?),
                NotReplicated::AllBut(text) => all.only.push(compile(text)?),
            }
        }
        Ok(all)
    }

    /// The same, and these paths.
    #[must_use]
    pub fn and_paths(mut self, paths: &[&str]) -> Exclusions {
        self.paths.extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    /// Whether only what lies in the directory itself can be left out, with all that is in it.
    pub fn is_shallow(&self) -> bool {
        self.patterns.is_empty() && self.only.is_empty() && !self.paths.iter().any(|path| path.contains('/'))
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.patterns.is_empty() && self.only.is_empty()
    }

    /// Whether it can make a difference for what lies below a directory that it moves from one path to another.
    pub fn may_differ(&self, from: &str, to: &str) -> bool {
        let inside = |path: &String, dir: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        let named = self.paths.iter().any(|path| inside(path, from) || inside(path, to));
        named || !self.patterns.is_empty() || !self.only.is_empty()
    }

    /// Whether a file or directory is left out, given its path below the replicated directory (no slash at either end).
    ///
    /// What lies in a directory that is left out is left out with it. Directories themselves pass a `!` pattern: what
    /// matches may lie in them.
    pub fn leaves_out(&self, path: &str, is_directory: bool) -> bool {
        let with_parents = || path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        let named = |part: &str| self.paths.iter().any(|left_out| left_out == part);
        let matched = |part: &str| self.patterns.iter().any(|pattern| pattern.is_match(part));
        let kept = || with_parents().any(|part| self.only.iter().any(|pattern| pattern.is_match(part)));
        with_parents().any(|part| named(part) || matched(part)) || (!self.only.is_empty() && !is_directory && !kept())
    }
}

/// A POSIX extended regular expression for texts: a command's name, a command line.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Of a whole text. No validated configuration has one that is refused; the error says why.
    pub fn new(posix: &str) -> Result<Pattern, String> {
        compile(posix).map(Pattern)
    }

    /// As [`Pattern::new`], of what may stand anywhere in the text, as regexec finds it.
    pub fn anywhere(posix: &str) -> Result<Pattern, String> {
        build(posix, |translated| format!("(?s:{translated})")).map(Pattern)
    }

    /// Whether the text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// A POSIX extended regular expression for a whole text.
pub(super) fn compile(posix: &str) -> Result<Regex, String> {
    build(posix, |translated| format!(r"\A(?s:{translated})\z"))
}

fn build(posix: &str, place: impl Fn(String) -> String) -> Result<Regex, String> {
    if posix.is_empty() || posix.len() > MAX_PATTERN {
        return Err(format!("1 to {MAX_PATTERN} bytes"));
    }
    let pattern = place(translate(posix)?);
    let built = RegexBuilder::new(&pattern).size_limit(MAX_COMPILED).nest_limit(MAX_NESTING).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        // The last line says what is wrong; those before it draw the translated pattern, which nobody wrote.
        other => other.to_string().lines().last().unwrap_or("").trim_start_matches("error: ").to_owned(),
    })
}

/// Where the two syntaxes say different things: bracket expressions, escapes, and what begins with `(?`.
fn translate(posix: &str) -> Result<String, String> {
    let mut out = String::with_capacity(posix.len() + 8);
    let mut rest = posix;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '[' => {
                let (class, after) = bracket(rest)?;
                out.push_str(&class);
                rest = after;
            }
            '\\' => {
                let escaped = rest.chars().next().ok_or("it ends with a backslash")?;
                rest = &rest[escaped.len_utf8()..];
                match escaped {
                    '1'..='9' => return Err("back references aren't possible".to_owned()),
                    'w' | 'W' | 's' | 'S' | 'b' | 'B' | '<' | '>' => out.extend(['\\', escaped]),
                    other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
                }
            }
            '(' if rest.starts_with('?') => return Err("nothing stands before the ? to be repeated".to_owned()),
            '*' | '+' | '?' if rest.starts_with(['?', '+']) => {
                return Err(format!("{c}{} has no meaning", &rest[..1]));
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// `[...]` without its opening bracket: a class of the regex crate, and what follows. In POSIX a backslash means itself
/// there, a `]` at the beginning too, and nothing but `-`, `[:`, `[.` and `[=` is special.
fn bracket(text: &str) -> Result<(String, &str), String> {
    let open = || "a [ is never closed".to_owned();
    let negated = text.starts_with('^');
    let mut rest = if negated { &text[1..] } else { text };
    let mut class = String::from(if negated { "[^" } else { "[" });
    let mut first = true;
    loop {
        let c = rest.chars().next().ok_or_else(open)?;
        if c == ']' && !first {
            class.push(']');
            return Ok((class, &rest[1..]));
        }
        if rest.starts_with("[:") {
            let end = 2 + rest[2..].find(":]").ok_or_else(open)?;
            if !CLASSES.contains(&&rest[2..end]) {
                return Err(format!("{} is no class of characters", &rest[..end + 2]));
            }
            class.push_str(&rest[..end + 2]);
            rest = &rest[end + 2..];
        } else if rest.starts_with("[.") || rest.starts_with("[=") {
            return Err("collating elements ([. and [=) aren't possible".to_owned());
        } else {
            let range = c == '-' && !first && !rest[1..].starts_with(']');
            if c != '-' && !c.is_alphanumeric() || (c == '-' && !range) {
                class.push('\\');
            }
            class.push(c);
            rest = &rest[c.len_utf8()..];
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_only_begun_is_no_class() {
        assert!(bracket("[:]").is_err());
        assert!(bracket("[:alpha:]]").is_ok());
    }

    fn exclusions(list: &[NotReplicated]) -> Exclusions {
        let replicated =
            Replicated { dir: "/d".into(), read_only: true, to_check: Vec::new(), not_replicated: list.to_vec() };
        Exclusions::new(&replicated).expect("the patterns are good")
    }

    fn matches(pattern: &str, path: &str) -> bool {
        exclusions(&[NotReplicated::Pattern(pattern.to_owned())]).leaves_out(path, false)
    }

    #[test]
    fn the_example_of_the_reference() {
        assert!(matches(r".*\.tmp", "conf/config.tmp") && matches(r".*\.tmp", "log.tmp"));
        assert!(!matches(r".*\.tmp", "conf/config.tmp.bak"));
    }

    #[test]
    fn only_a_whole_path_matches() {
        assert!(matches("log|tmp", "tmp") && !matches("log|tmp", "logs") && !matches("log|tmp", "a.tmp"));
        assert!(!matches("og", "log"));
    }

    #[test]
    fn what_is_inside_goes_with_its_directory() {
        let left_out = exclusions(&[NotReplicated::Path("a/b".into()), NotReplicated::Pattern("cache[0-9]+".into())]);
        for (path, expected) in
            [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false), ("cache12/x/y", true), ("cache/x", false)]
        {
            assert_eq!(left_out.leaves_out(path, false), expected, "{path}");
        }
    }

    #[test]
    fn an_exclamation_mark_keeps_only_what_matches() {
        let left_out =
            exclusions(&[NotReplicated::AllBut(r"db(/.*\.dat)?".into()), NotReplicated::Path("db/x.dat".into())]);
        assert!(!left_out.leaves_out("db/1.dat", false) && !left_out.leaves_out("db/any/where", false));
        assert!(left_out.leaves_out("log", false) && !left_out.leaves_out("log", true));
        assert!(left_out.leaves_out("db/x.dat", false));
    }

    #[test]
    fn brackets_as_in_posix() {
        assert!(matches(r"[\]", r"\") && matches("[]a]", "]") && matches("[a-]", "-") && matches("[^]a]", "b"));
        assert!(matches("[[:digit:]x]+", "1x2") && matches("[a&&b~^]+", "a&&b~^") && matches("[.]", "."));
        assert!(!matches("[.]", "x") && matches("[[a]", "[") && matches("[a-c]", "b") && !matches("[a-c]", "-"));
    }

    #[test]
    fn a_newline_is_a_character_like_any_other() {
        assert!(matches("a.*", "a\nb"));
    }

    #[test]
    fn what_is_no_pattern() {
        for bad in ["", "(", "[a", "a\\", r"(a)\1", "(?i)a", "a**?", ".*?", "[[.a.]]", "[[:nothing:]]", "a{2,1}"] {
            assert!(compile(bad).is_err(), "{bad}");
        }
        let nested = format!("{}a{}", "(".repeat(200), ")".repeat(200));
        assert!(compile(&nested).is_err());
        assert_eq!(compile("(a{1000}){1000}").expect_err("too large"), "it is too large");
    }
}
