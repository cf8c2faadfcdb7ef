//! Holds the graph against the rules.

use crate::graph::Graph;
use crate::rules::{CLOCK_AND_CHANCE, IO, Layer, NEVER, NO_IO, NOT_IN_HOLDFAST, layer};

/// Every violation, one sentence each.
pub fn check(graph: &Graph) -> Vec<String> {
    let mut violations = never(graph);
    for member in graph.members() {
        match layer(member) {
            None => violations.push(format!("{member} has no layer: give it one in xtask/src/rules.rs")),
            Some(of_member) => {
                violations.extend(edges(graph, member, of_member));
                violations.extend(purity(graph, member, of_member));
            }
        }
    }
    violations.extend(linked(
        graph,
        "holdfast",
        NOT_IN_HOLDFAST,
        "parses strangers' input and belongs in another binary",
    ));
    violations
}

fn never(graph: &Graph) -> Vec<String> {
    let found = graph.names().filter(|name| NEVER.contains(name));
    found.map(|name| format!("{name} is in the graph: see `cargo tree -i {name}`")).collect()
}

fn edges(graph: &Graph, member: &str, of_member: Layer) -> Vec<String> {
    let forbidden = |dependency: &&str| layer(dependency).is_some_and(|of| !may_see(of_member, dependency, of));
    let dependencies = graph.own_dependencies(member).into_iter().filter(forbidden);
    dependencies
        .map(|dependency| format!("{member} ({of_member:?}) must not depend on {dependency} ({:?})", layer(dependency)))
        .collect()
}

fn may_see(from: Layer, name: &str, to: Layer) -> bool {
    match (from, to) {
        (Layer::Pure { rank: mine }, Layer::Pure { rank: its }) => its < mine,
        (Layer::Shell { core }, Layer::Pure { .. }) => core.contains(&name),
        (Layer::Common, Layer::Pure { .. } | Layer::Shell { .. }) => true,
        (Layer::Loop, Layer::Pure { .. } | Layer::Shell { .. } | Layer::Common) => true,
        (Layer::Binary, _) => !matches!(to, Layer::Tool { .. }),
        (Layer::Tool { .. }, Layer::Pure { .. }) => true,
        (Layer::Tool { core }, Layer::Shell { .. }) => core.contains(&name),
        (Layer::Pure { .. } | Layer::Shell { .. } | Layer::Common | Layer::Loop | Layer::Tool { .. }, _) => false,
    }
}

fn purity(graph: &Graph, member: &str, of_member: Layer) -> Vec<String> {
    let pure = matches!(of_member, Layer::Pure { .. });
    let mut violations = Vec::new();
    if pure || NO_IO.contains(&member) {
        violations.extend(linked(graph, member, IO, "does input or output"));
    }
    if pure {
        violations.extend(linked(graph, member, CLOCK_AND_CHANCE, "reads a clock or draws random numbers"));
    }
    violations
}

fn linked(graph: &Graph, member: &str, banned: &[&str], why: &str) -> Vec<String> {
    let ways = graph.linked(member);
    let found = ways.iter().filter(|(name, _)| banned.contains(name));
    found.map(|(name, way)| format!("{member} must not link {name}, which {why}: {way}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A workspace of `members` with `edges` (from, to, kind); macros end in `-derive`.
    fn violations(members: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        let mut names: Vec<&str> = members.to_vec();
        names.extend(edges.iter().map(|(_, to, _)| *to));
        names.sort();
        names.dedup();
        let kind = |name: &str| if name.ends_with("-derive") { "proc-macro" } else { "lib" };
        let package = |name: &&str| json!({"id": name, "name": name, "targets": [{"kind": [kind(name)]}]});
        let node = |name: &&str| {
            let of_node = edges.iter().filter(|(from, _, _)| from == name);
            let deps: Vec<Value> =
                of_node.map(|(_, to, kind)| json!({"pkg": to, "dep_kinds": [{"kind": kind}]})).collect();
            json!({"id": name, "deps": deps})
        };
        let metadata = json!({
            "packages": names.iter().map(package).collect::<Vec<_>>(),
            "workspace_members": members,
            "resolve": {"nodes": names.iter().map(node).collect::<Vec<_>>()},
        });
        check(&Graph::parse(metadata.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn this_workspace_obeys() {
        let graph = Graph::load(crate::root()).unwrap();
        assert_eq!(check(&graph), Vec::<String>::new());
        assert!(graph.members().count() >= 20 && graph.linked("hf-heart").contains_key("hf-types"));
    }

    #[test]
    fn a_pure_crate_that_links_io_is_found_with_the_way_to_it() {
        let found = violations(
            &["hf-module", "hf-types"],
            &[("hf-module", "hf-types", None), ("hf-types", "helpful", None), ("helpful", "tokio", None)],
        );
        assert_eq!(
            found,
            [
                "hf-module must not link tokio, which does input or output: hf-module -> hf-types -> helpful -> tokio",
                "hf-types must not link tokio, which does input or output: hf-types -> helpful -> tokio",
            ]
        );
        let found = violations(&["hf-node"], &[("hf-node", "rand", None)]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn what_only_tests_builds_and_macros_use_is_not_linked() {
        let edges = [
            ("hf-types", "tokio", Some("dev")),
            ("hf-types", "libc", Some("build")),
            ("hf-types", "serde-derive", None),
            ("serde-derive", "rand", None),
        ];
        assert_eq!(violations(&["hf-types"], &edges), Vec::<String>::new());
    }

    #[test]
    fn layers_are_kept() {
        let wrong = |from: &'static str, to: &'static str| violations(&[from, to], &[(from, to, None)]);
        for (from, to) in [
            ("hf-types", "hf-wire"),
            ("hf-module", "hf-replica"),
            ("hf-node", "hf-exec"),
            ("hf-net", "hf-exec"),
            ("hf-fs", "hf-node"),
            ("hf-store", "hf-wire"),
            ("hf-heart", "hf-daemon"),
            ("hf-exec", "hf-heart"),
            ("hf-heart", "hf-sim"),
            ("hf-exec", "hf-host"),
            ("hf-host", "hf-heart"),
            ("holdfast", "xtask"),
            ("hf-sim", "hf-net"),
        ] {
            let found = wrong(from, to);
            assert!(found.len() == 1 && found[0].contains("must not depend on"), "{from} -> {to}: {found:?}");
        }
        for (from, to) in [
            ("hf-node", "hf-types"),
            ("hf-fs", "hf-replica"),
            ("hf-heart", "hf-node"),
            ("hf-heart", "hf-net"),
            ("hf-heart", "hf-host"),
            ("hf-host", "hf-seal"),
            ("hf-sim", "hf-node"),
            ("holdfast", "hf-heart"),
            ("holdfast", "hf-lab"),
        ] {
            assert_eq!(wrong(from, to), Vec::<String>::new(), "{from} -> {to}");
        }
    }

    #[test]
    fn banned_libraries_and_unknown_crates_are_found() {
        let found = violations(&["hf-net"], &[("hf-net", "x", Some("dev")), ("x", "ring", None)]);
        assert_eq!(found, ["ring is in the graph: see `cargo tree -i ring`"]);
        let found = violations(&["hf-new"], &[]);
        assert_eq!(found, ["hf-new has no layer: give it one in xtask/src/rules.rs"]);
        let found = violations(
            &["holdfast", "hf-heart"],
            &[("holdfast", "hf-heart", None), ("hf-heart", "axum", None), ("axum", "hyper", None)],
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("holdfast -> hf-heart -> axum"), "{found:?}");
        assert_eq!(violations(&["hf-seal"], &[("hf-seal", "aws-lc-rs", None)]), Vec::<String>::new());
        assert_eq!(violations(&["hf-seal"], &[("hf-seal", "socket2", None)]).len(), 1);
    }
}
