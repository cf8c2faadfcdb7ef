//! docs/user/configuration.md is what the tables say.

use std::fs;
use std::path::Path;

#[test]
fn the_page_of_tags_and_attributes_is_up_to_date() {
    let text = hf_config::reference_page();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/configuration.md");
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        fs::write(&page, &text).expect("the page can be written");
    }
    let found = fs::read_to_string(&page).expect("the page is there");
    assert_eq!(found, text, "run the test with HOLDFAST_BLESS=1");
}

const CLUSTER: &str = r#"<cluster><lans>
  <lan name="default"><node name="node1" addr="192.168.1.67"/><node name="node2" addr="192.168.1.68"/></lan>
  <lan name="repli"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
</lans></cluster>"#;

#[test]
fn the_pages_of_tags_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/tags");
    let pages = hf_config::tag_pages();
    assert!(pages.len() > 30, "{} pages", pages.len());
    if std::env::var_os("HOLDFAST_BLESS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder can be made");
        pages.iter().for_each(|page| fs::write(folder.join(&page.file), &page.text).expect("a page can be written"));
    }
    for page in &pages {
        let found = fs::read_to_string(folder.join(&page.file)).unwrap_or_default();
        assert_eq!(found, page.text, "{}: run the test with HOLDFAST_BLESS=1", page.file);
    }
    let there = fs::read_dir(&folder).expect("the folder is there").count();
    assert_eq!(there, pages.len(), "a page of a tag that is gone: run the test with HOLDFAST_BLESS=1");
}

/// What an administrator copies from a page is accepted, and says something of the tag.
#[test]
fn the_examples_of_the_pages_are_good() {
    let cluster = hf_config::parse_cluster(CLUSTER, "cluster.xml").expect("a good cluster");
    let node = hf_config::OnNode { others: &[], names: &|_| Ok([192, 168, 1, 200].into()) };
    for (tag, example) in hf_config::tag_pages().into_iter().flat_map(|page| page.examples) {
        assert!(example.contains(&format!("<{tag}")), "<{tag}> isn't in its own example");
        if example.starts_with("<cluster>") {
            let checked = hf_config::check_cluster(&example, "cluster.xml");
            assert!(checked.value.is_some(), "<{tag}>: {}", checked.diagnostics);
            continue;
        }
        let mode = if example.contains("<farm") { "farm" } else { "mirror" };
        let heart = if mode == "farm" || example.contains("<heart>") || example.contains("<heart ") {
            ""
        } else {
            "<heart><heartbeat name=\"default\"/></heart>"
        };
        let text = match example.starts_with("<safe>") {
            true => example,
            false => format!("<safe><service mode=\"{mode}\">{heart}\n{example}</service></safe>"),
        };
        let checked =
            hf_config::check_module_on(&node, &text, "userconfig.xml", "m", Some(&cluster), &|_| Some(String::new()));
        assert!(checked.value.is_some(), "<{tag}>:\n{text}\n{}", checked.diagnostics);
    }
}
