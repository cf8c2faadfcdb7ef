//! The catalogue of what modules say in their logs, in English and French (reference 004, 9.5 and its Log Messages Index). Pure.
//!
//! Logs are stored in English, because scripts and people search them for the reference's own sentences. A reader who wants another
//! language gets each line translated when it is shown: the English sentence is found in [`MESSAGES`], its parts are put into the other one. So
//! old lines, and lines of other versions, are translated as well, and what nobody knows (what a script wrote, an error of the system) stays
//! as it was written.
//!
//! A text has places for its parts: `{1}` for what is the same in every language (names, numbers, errors of the system), `{1=}` for a part
//! that the catalogue knows itself ([`PHRASES`]).

mod messages;
mod phrases;

pub use messages::MESSAGES;
pub use phrases::PHRASES;

/// In what language messages are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    English,
    French,
}

impl Language {
    /// The words of `-l`, and their languages.
    pub const WORDS: [(&'static str, Language); 2] = [("en", Language::English), ("fr", Language::French)];

    /// The language that a word of `-l` stands for.
    pub fn from_word(word: &str) -> Option<Language> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, language)| *language)
    }
}

/// A sentence, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub en: &'static str,
    pub fr: &'static str,
}

/// A line of a log in `language`; as it is if the catalogue doesn't know it.
pub fn message(text: &str, language: Language) -> String {
    shown(MESSAGES, text, language)
}

/// The same for a reason, an outcome, or another part of a sentence.
pub fn phrase(text: &str, language: Language) -> String {
    shown(PHRASES, text, language)
}

/// The entry of `entries` that a text was made from, and its parts. Of several, the one that says most itself.
pub fn found<'e, 't>(entries: &'e [Entry], text: &'t str) -> Option<(&'e Entry, Vec<&'t str>)> {
    entries
        .iter()
        .filter_map(|entry| parts(entry.en, text).map(|parts| (entry, parts)))
        .max_by_key(|(entry, _)| literals(entry.en).map(str::len).sum::<usize>())
}

fn shown(entries: &[Entry], text: &str, language: Language) -> String {
    match (language, found(entries, text)) {
        (Language::French, Some((entry, parts))) => filled(entry.fr, &parts, language),
        _ => text.to_owned(),
    }
}

fn filled(template: &str, parts: &[&str], language: Language) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, place, after)) = next_place(rest) {
        out.push_str(before);
        let part = parts.get(place.number - 1).copied().unwrap_or_default();
        out.push_str(&if place.known { phrase(part, language) } else { part.to_owned() });
        rest = after;
    }
    out + rest
}

/// What stands in the places of `template`, if `text` was made from it. A part ends where the next words of the template begin.
fn parts<'t>(template: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut literals = literals(template);
    let mut rest = text.strip_prefix(literals.next()?)?;
    let mut found = Vec::new();
    let mut literals = literals.peekable();
    if literals.peek().is_none() {
        return rest.is_empty().then_some(found);
    }
    while let Some(literal) = literals.next() {
        let end = match literals.peek() {
            // The last one is at the end, wherever it also occurs.
            None => rest.len().checked_sub(literal.len()).filter(|at| rest.get(*at..) == Some(literal)),
            Some(_) => rest.find(literal),
        }?;
        found.push(&rest[..end]);
        rest = &rest[end + literal.len()..];
    }
    Some(found)
}

/// The words between the places, one more than there are places.
fn literals(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(template);
    std::iter::from_fn(move || {
        let here = rest?;
        match next_place(here) {
            Some((before, _, after)) => {
                rest = Some(after);
                Some(before)
            }
            None => {
                rest = None;
                Some(here)
            }
        }
    })
}

struct Place {
    /// From 1 on.
    number: usize,
    /// The catalogue knows what stands there.
    known: bool,
}

fn next_place(template: &str) -> Option<(&str, Place, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    let (number, known) = match inside.strip_suffix('=') {
        Some(number) => (number, true),
        None => (inside, false),
    };
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some((before, Place { number, known }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both languages have the same places, numbered in the English order; no sentence is there twice.
    #[test]
    fn the_catalogue_is_in_order() {
        let places = |mut template: &str| {
            let mut all = Vec::new();
            while let Some((_, place, after)) = next_place(template) {
                all.push((place.number, place.known));
                template = after;
            }
            all
        };
        for entries in [MESSAGES, PHRASES] {
            for entry in entries {
                let english = places(entry.en);
                let numbers: Vec<usize> = english.iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers, (1..=english.len()).collect::<Vec<_>>(), "{entry:?}");
                let mut french = places(entry.fr);
                french.sort_unstable();
                assert_eq!(french, english, "{entry:?}");
                assert_eq!(entry.en.matches('{').count(), english.len(), "a place that is none: {entry:?}");
                assert_eq!(entry.fr.matches('{').count(), english.len(), "a place that is none: {entry:?}");
                assert_eq!(entries.iter().filter(|other| other.en == entry.en).count(), 1, "twice: {entry:?}");
            }
        }
    }

    #[test]
    fn parts_end_where_the_next_words_begin() {
        assert_eq!(parts("Local state {1} {2=}", "Local state PRIM green"), Some(vec!["PRIM", "green"]));
        assert_eq!(parts("End of stop", "End of stop"), Some(vec![]));
        assert_eq!(parts("End of stop", "End of stop now"), None);
        assert_eq!(parts("a {1} b", "a b b b"), Some(vec!["b b"]), "the last word is at the end");
        assert_eq!(parts("a {1} b", "a b"), None, "words don't overlap");
        assert_eq!(parts("{1}: {2}", "x: y: z"), Some(vec!["x", "y: z"]));
    }

    #[test]
    fn what_nobody_knows_stays() {
        let said = "the backup has begun: 12 €";
        assert_eq!(message(said, Language::French), said);
        assert_eq!(message("Local state PRIM green", Language::English), "Local state PRIM green");
        assert_eq!(Language::from_word("fr"), Some(Language::French));
        assert_eq!(Language::from_word("de"), None);
    }
}
