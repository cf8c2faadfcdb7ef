//! Whatever the text, there is an answer: a value, or errors that can be rendered. Never a panic.

use hf_config::{Checked, Exclusions, MAX_TEXT_BYTES, NotReplicated, Replicated, check_cluster, check_module};
use proptest::prelude::*;

fn settle<T>(checked: &Checked<T>) {
    assert_eq!(checked.value.is_none(), checked.diagnostics.has_errors());
    let rendered = checked.diagnostics.render(false);
    assert!(!rendered.contains('\u{1b}'), "an escape sequence went through");
    checked.diagnostics.render(true);
}

fn both(text: &str) {
    settle(&check_cluster(text, "c.xml"));
    settle(&check_module(text, "u.xml", "m", None, &|name| (name == "HOME").then(|| "/root".to_owned())));
}

/// Tags, attributes and values as they occur, in any wrong order.
fn fragment() -> impl Strategy<Value = String> {
    let tags = "safe|service|macro|heart|heartbeat|rfs|replicated|vip|interface_list|interface|real_interface|virtual_addr|user|var|cluster|lans|lan|node|flow|server|notreplicated|tocheck|vhost|virtualhostname";
    let attributes = "name|value|addr|mode|dir|pulse|timeout|port|ident|where|netmask|check|failover|packetsize|reipacketsize|regexpath|path|syncat|envfile";
    let values = "mirror|on|off|%A%|%HOME%|%|10.0.0.1|/data|/|1|0|18446744073709551616|5m|!\\[a-\\]|\\(a\\)\\+|\u{1F980}|&amp;|&#x1b;|é\u{301}";
    (tags, attributes, values, 0..4u8).prop_map(|(tag, attribute, value, shape)| match shape {
        0 => format!("<{tag}>"),
        1 => format!("</{tag}>"),
        2 => format!("<{tag} {attribute}=\"{value}\"/>"),
        _ => format!("<{tag} {attribute}='{value}'>"),
    })
}

/// A well-formed tree of such tags.
fn tree() -> impl Strategy<Value = String> {
    let leaf = fragment().prop_map(|text| if text.ends_with("/>") { text } else { String::new() });
    leaf.prop_recursive(6, 64, 6, |inner| {
        let tags =
            "service|heart|rfs|vip|interface_list|interface|real_interface|user|lans|lan|replicated|heartbeat|flow|vhost";
        let mode = prop_oneof![Just(" mode='mirror'"), Just(" name='a'"), Just("")];
        (tags, mode, proptest::collection::vec(inner, 0..6))
            .prop_map(|(tag, mode, inner)| format!("<{tag}{mode}>{}</{tag}>", inner.concat()))
    })
}

proptest! {
    #[test]
    fn any_text(text in "\\PC*") {
        both(&text);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        both(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn pieces_of_configuration(pieces in proptest::collection::vec(fragment(), 0..40)) {
        both(&pieces.concat());
    }

    #[test]
    fn trees_of_known_tags(inner in proptest::collection::vec(tree(), 0..6)) {
        both(&format!("<safe>{}</safe>", inner.concat()));
        both(&format!("<cluster>{}</cluster>", inner.concat()));
        both(&format!("<safe><service mode='mirror'>{}</service></safe>", inner.concat()));
    }
}

proptest! {
    #[test]
    fn any_pattern(pattern in "[a(){}|*+?!^$.\\[\\]:\\\\é&~-]{0,40}") {
        let escaped = pattern.replace('&', "&amp;");
        both(&format!(
            "<safe><service mode='mirror'><heart><heartbeat name='a'/></heart><rfs><replicated dir='/d'>\
             <notreplicated regexpath='{escaped}'/></replicated></rfs></service></safe>"
        ));
        let not_replicated = vec![NotReplicated::Pattern(pattern.clone()), NotReplicated::AllBut(pattern)];
        let replicated = Replicated { dir: "/d".into(), read_only: true, to_check: Vec::new(), not_replicated };
        if let Ok(exclusions) = Exclusions::new(&replicated) {
            exclusions.leaves_out("a/é/a-a", false);
        }
    }
}

#[test]
fn too_large() {
    both(&"x".repeat(MAX_TEXT_BYTES + 1));
    let checked = check_cluster(&" ".repeat(MAX_TEXT_BYTES + 1), "c.xml");
    assert_eq!(checked.diagnostics.list[0].code, hf_config::Code::Limit);
}

#[test]
fn deep_and_wide() {
    both(&"<safe>".repeat(100_000));
    both(&format!("<safe>{}</safe>", "<x/>".repeat(100_000)));
    both(&format!("<safe>{}</safe>", "<x a='%B%'/>".repeat(10_000)));
    let many = check_module(&format!("<safe>{}</safe>", "<x/>".repeat(10_000)), "u", "m", None, &|_| None);
    assert_eq!((many.diagnostics.list.len(), many.diagnostics.left_out), (100, 9_901));
}

#[test]
fn an_external_entity_is_not_read() {
    let text = "<!DOCTYPE safe [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><safe>&x;</safe>";
    let checked = check_module(text, "u.xml", "m", None, &|_| None);
    assert_eq!(checked.diagnostics.list[0].code, hf_config::Code::Doctype);
}

#[test]
fn terminal_sequences_come_out_harmless() {
    let text = "<safe><service mode='mirror&#x1b;'/></safe>";
    both(text);
    both("<safe><service mode='mirror\u{9b}31m'/></safe>");
    // A file's name, and a name that comes back in a help, too.
    settle(&check_cluster("<x/>", "c\u{1b}[31m.xml"));
    settle(&check_cluster(&"x".repeat(5000), "c\u{1b}[31m.xml"));
}

/// Text that means nothing is marked as it stands in the file, where an entity is longer than what it means.
#[test]
fn stray_text_with_entities_is_marked_whole() {
    for stray in ["\u{fffd}&amp;\u{fffd}\u{fffd}", "&#233;&amp;&amp;\u{1F980}", "é &lt; é"] {
        let text =
            format!("<safe><service mode='mirror'><heart>\n  {stray} <heartbeat name='a'/></heart></service></safe>");
        both(&text);
        let checked = check_module(&text, "u.xml", "m", None, &|_| None);
        let found = checked.diagnostics.list.iter().find(|found| found.message.starts_with("text inside")).unwrap();
        assert_eq!(text.get(found.span.clone()), Some(stray));
    }
}
