//! The dependency graph as `cargo metadata` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` for an ordinary dependency, else "dev" or "build".
    kind: Option<String>,
}

const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Packages, and for each those that are linked with it: no dev or build dependencies, no procedural macros, which run
/// in the compiler only.
pub struct Graph {
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    linked: BTreeMap<String, Vec<String>>,
}

impl Graph {
    /// The graph of the workspace at `root` on Linux.
    pub fn load(root: &Path) -> anyhow::Result<Self> {
        let metadata = cargo(root, &["metadata", "--format-version", "1", "--filter-platform", PLATFORM])?;
        let mut graph = Self::parse(&metadata)?;
        // What a dependency could have and nobody asked for is in the metadata too (`ring` of rustls-webpki), but not in the tree.
        let tree =
            ["tree", "--workspace", "--edges", "all", "--prefix", "none", "--format", "{p}", "--target", PLATFORM];
        let tree = String::from_utf8(cargo(root, &tree)?).context("cargo tree wrote something unexpected")?;
        let compiled: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        graph.names.retain(|_, name| compiled.contains(name.as_str()));
        Ok(graph)
    }

    /// Takes the JSON text of `cargo metadata`.
    pub fn parse(json: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("cargo metadata wrote something unexpected")?;
        let is_macro = |package: &Package| package.targets.iter().any(|t| t.kind.iter().any(|k| k == "proc-macro"));
        let macros: BTreeSet<&str> =
            metadata.packages.iter().filter(|package| is_macro(package)).map(|package| package.id.as_str()).collect();
        let linked = |node: &Node| {
            let ordinary = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            let packages = node.deps.iter().filter(ordinary).map(|dependency| dependency.pkg.clone());
            packages.filter(|package| !macros.contains(package.as_str())).collect()
        };
        let linked = metadata.resolve.nodes.iter().map(|node| (node.id.clone(), linked(node))).collect();
        let names = metadata.packages.iter().map(|package| (package.id.clone(), package.name.clone())).collect();
        Ok(Self { names, members: metadata.workspace_members, linked })
    }

    /// Names of all packages, also of those that only tests need.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Names of the workspace's own crates.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|id| self.name(id))
    }

    /// The workspace's crates that `member` depends on itself.
    pub fn own_dependencies(&self, member: &str) -> Vec<&str> {
        let own = |id: &&String| self.members.contains(*id);
        self.direct(self.id(member)).iter().filter(own).map(|id| self.name(id)).collect()
    }

    /// For each package that is linked with `member`, a way to it: `member -> a -> b -> package`.
    pub fn linked(&self, member: &str) -> BTreeMap<&str, String> {
        let mut ways = BTreeMap::new();
        let mut queue = vec![(self.id(member), member.to_owned())];
        let mut seen = BTreeSet::new();
        let mut next = 0;
        while next < queue.len() {
            let (id, way) = queue[next].clone();
            next += 1;
            for dependency in self.direct(id) {
                if seen.insert(dependency) {
                    let way = format!("{way} -> {}", self.name(dependency));
                    ways.insert(self.name(dependency), way.clone());
                    queue.push((dependency, way));
                }
            }
        }
        ways
    }

    fn direct(&self, id: &str) -> &[String] {
        self.linked.get(id).map_or(&[], Vec::as_slice)
    }

    fn id(&self, member: &str) -> &str {
        let found = self.members.iter().find(|id| self.name(id) == member);
        found.map_or("", String::as_str)
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("?", String::as_str)
    }
}

/// What cargo writes.
fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let what = format!("cargo {}", arguments[0]);
    let output = Command::new(cargo_program()).args(arguments).arg("--locked").current_dir(root).output();
    let output = output.with_context(|| format!("can't run {what}"))?;
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// The cargo that runs us.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
