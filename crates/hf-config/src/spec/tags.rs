//! docs/user/tags: a page for each tag, written from the tables and from `tags.md`, which says what the tables can't.

use std::fmt::Write as _;

use super::page::standing;
use super::{Attribute, Spec, Standing, check, cluster, farm, of_modules};

const TEXTS: &str = include_str!("tags.md");

const HEAD: &str = "\
# The tags of cluster.xml and userconfig.xml

Written from the tables of crates/hf-config and from its src/spec/tags.md (`HOLDFAST_BLESS=1 cargo test -p hf-config`). All tables on one page: [configuration.md](../configuration.md).
";

/// A page of docs/user/tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPage {
    /// Its file's name.
    pub file: String,
    /// Its text (Markdown).
    pub text: String,
    /// The examples on it, each with its tag: a whole file, or what stands inside of `<service>`.
    pub examples: Vec<(&'static str, String)>,
}

/// What `tags.md` says of one tag.
#[derive(Default)]
struct Words {
    text: String,
    example: String,
    attributes: Vec<(&'static str, &'static str)>,
}

/// `key`: the tag, or `outer/tag`.
fn words(file: &str, key: &str) -> Option<Words> {
    let of_file = TEXTS.split("\n## ").find_map(|part| part.strip_prefix(file))?;
    let section = of_file.split("\n# ").find_map(|part| part.strip_prefix(key)?.strip_prefix('\n'))?;
    let mut words = Words::default();
    for line in section.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix("    "), line.strip_prefix("- ").and_then(|line| line.split_once(": "))) {
            (Some(line), _) => words.example.extend([line, "\n"]),
            (None, Some(attribute)) => words.attributes.push(attribute),
            (None, None) => words.text.push_str(line),
        }
    }
    Some(words)
}

fn key(spec: &Spec) -> String {
    check::home_of(spec).map_or_else(|| spec.tag.to_owned(), |home| format!("{home}/{}", spec.tag))
}

/// The tags that this one may stand in.
fn parents(spec: &Spec, family: &[&'static Spec]) -> String {
    let home = check::home_of(spec);
    let inside = |other: &&&Spec| {
        home.is_none_or(|home| home == other.tag) && other.children.iter().any(|(tag, _)| *tag == spec.tag)
    };
    let parents: Vec<String> = family.iter().filter(inside).map(|other| format!("`<{}>`", other.tag)).collect();
    parents.join(", ")
}

fn row(attribute: &Attribute, words: &Words) -> String {
    let meaning = words.attributes.iter().find(|(name, _)| *name == attribute.name).map_or("", |(_, meaning)| meaning);
    let standing = match attribute.standing {
        Standing::Served => String::new(),
        other => format!(" ({})", standing(other)),
    };
    let running = if attribute.dynamic { "yes" } else { "no" };
    let (form, absence) = (attribute.form.described(), attribute.form.absence());
    format!("| `{}` | {meaning}{standing} | {form} | {absence} | {running} |\n", attribute.name)
}

/// What is said of one tag, below its heading.
fn body(spec: &Spec, family: &[&'static Spec], words: &Words) -> String {
    let mut out = String::new();
    let parents = parents(spec, family);
    // Writing to a String can't fail.
    let _ = match parents.is_empty() {
        true => writeln!(out, "\n{}", words.text),
        false => writeln!(out, "\nIn {parents}. {}", words.text),
    };
    if farm::comes_later(spec) {
        let _ = writeln!(out, "\n{}", farm::LATER);
    }
    if !words.example.is_empty() {
        let _ = write!(out, "\n```xml\n{}```\n", words.example);
    }
    if !spec.children.is_empty() {
        let inside: Vec<String> = spec.children.iter().map(|(tag, _)| format!("`<{tag}>`")).collect();
        let _ = writeln!(out, "\nInside: {}.", inside.join(", "));
    }
    if !spec.attributes.is_empty() {
        out.push_str("\n| attribute | what it does | value | default | changes while the module runs |\n");
        out.push_str("| --- | --- | --- | --- | --- |\n");
        out.extend(spec.attributes.iter().map(|attribute| row(attribute, words)));
    }
    out
}

fn section(file: &str, spec: &'static Spec, family: &[&'static Spec], page: &mut TagPage) {
    let words = words(file, &key(spec)).unwrap_or_default();
    let level = if page.text.is_empty() { "#" } else { "\n##" };
    let _ = writeln!(page.text, "{level} `<{}>`", spec.tag);
    page.text.push_str(&body(spec, family, &words));
    if !words.example.is_empty() {
        page.examples.push((spec.tag, words.example));
    }
}

fn page_of(file: &'static str, name: &str, specs: &[&'static Spec], family: &[&'static Spec]) -> TagPage {
    let mut page = TagPage { file: format!("{name}.md"), text: String::new(), examples: Vec::new() };
    for spec in specs {
        section(file, spec, family, &mut page);
    }
    page.text.push_str("\nAll tags: [README.md](README.md).\n");
    page
}

/// One page for cluster.xml and one for each tag of userconfig.xml, and the list of them.
pub fn tag_pages() -> Vec<TagPage> {
    let (cluster, modules) = (cluster::TAGS.to_vec(), of_modules().collect::<Vec<_>>());
    let mut pages = vec![page_of("cluster.xml", "cluster.xml", &cluster, &cluster)];
    let mut index = format!("{HEAD}\n## [cluster.xml](cluster.xml.md)\n\n");
    let line = |file: &str, link: &str, spec: &Spec| {
        let text = words(file, &key(spec)).unwrap_or_default().text;
        format!("- [`<{}>`]({link}.md): {text}\n", spec.tag)
    };
    index.extend(cluster.iter().map(|spec| line("cluster.xml", "cluster.xml", spec)));
    index.push_str("\n## userconfig.xml\n\n");
    for spec in modules.iter().filter(|spec| check::home_of(spec).is_none()) {
        let within = modules.iter().filter(|other| check::home_of(other) == Some(spec.tag));
        let specs: Vec<_> = [*spec].into_iter().chain(within.copied()).collect();
        pages.push(page_of("userconfig.xml", spec.tag, &specs, &modules));
        index.push_str(&line("userconfig.xml", spec.tag, spec));
    }
    // Two tags of one name in different places have one page.
    pages.dedup_by(|later, earlier| later.file == earlier.file);
    pages.push(TagPage { file: "README.md".to_owned(), text: index, examples: Vec::new() });
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a tag or an attribute says in `tags.md` what it is for.
    #[test]
    fn every_attribute_is_described() {
        let all = cluster::TAGS.into_iter().map(|spec| ("cluster.xml", spec));
        for (file, spec) in all.chain(of_modules().map(|spec| ("userconfig.xml", spec))) {
            let key = key(spec);
            let words = words(file, &key).unwrap_or_else(|| panic!("src/spec/tags.md says nothing of {key} ({file})"));
            assert!(words.text.ends_with(['.', ')']) && !words.text.contains(" :"), "{key}: {}", words.text);
            let described: Vec<&str> = words.attributes.iter().map(|(name, _)| *name).collect();
            let there: Vec<&str> = spec.attributes.iter().map(|attribute| attribute.name).collect();
            for name in &there {
                assert!(described.contains(name), "src/spec/tags.md says nothing of {key} {name}");
            }
            assert_eq!(described.len(), there.len(), "{key}: src/spec/tags.md has {described:?}, the table {there:?}");
            assert!(!words.example.is_empty() || check::home_of(spec).is_some(), "{key} has no example");
        }
    }
}
