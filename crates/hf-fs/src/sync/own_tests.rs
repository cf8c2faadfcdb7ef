//! A synchronisation with something left out of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hf_config::{Exclusions, NotReplicated};

use crate::backing::Backing;
use crate::link::harness::*;
use crate::link::ring::Ring;
use crate::pipeline::FileId;
use crate::table::Table;

fn left_out() -> Exclusions {
    let list = [NotReplicated::Pattern(r".*\.tmp".into()), NotReplicated::Path("cache".into())];
    Exclusions::of(&list).unwrap()
}

fn node(
    dir: &Path,
    addresses: (std::net::SocketAddr, std::net::SocketAddr),
    range: u16,
    files: &[(&str, &str)],
) -> Node {
    let root = dir.join("data");
    std::fs::create_dir_all(&root).unwrap();
    for (path, text) in files {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::fs::write(root.join(path), text).unwrap();
    }
    let table = Arc::new(Table::create(range).unwrap());
    let backing = Backing::open(&root, &root.with_extension("hold"), table).unwrap().leaving_out(left_out());
    let options = options(addresses.0, addresses.1, true);
    Node::on(Arc::new(backing), &root, options, Ring::create(16 << 20).unwrap(), Word(b"open sesame"))
}

fn side(root: &Path, own: bool) -> BTreeMap<PathBuf, String> {
    let exclusions = left_out();
    let is_own = |path: &PathBuf| exclusions.leaves_out(&path.to_string_lossy(), root.join(path).is_dir());
    describe(root).into_iter().filter(|(path, _)| is_own(path) == own).collect()
}

#[test]
fn what_is_left_out_is_neither_copied_nor_removed() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (free_address(), free_address());
    let ours = [
        ("x", "ours"),
        ("x.tmp", "ours"),
        ("d/y", "ours"),
        ("d/y.tmp", "ours"),
        ("cache/z", "ours"),
        ("e/f/g", "ours"),
    ];
    let theirs = [
        ("x", "theirs!"),
        ("x.tmp", "theirs"),
        ("d/y", "old"),
        ("d/other.tmp", "theirs"),
        ("cache/deep/z", "theirs"),
        ("old/file", "goes"),
        ("old/deep/stays.tmp", "theirs"),
        // Where the primary has a directory.
        ("e/f", "goes"),
    ];
    let primary = node(one.path(), (a, b), 1, &ours);
    let secondary = node(two.path(), (b, a), 2, &theirs);
    let (own_a, mut own_b) = (side(&primary.root, true), side(&secondary.root, true));
    connect(&primary, &secondary);
    primary.synchronise();
    primary.hands().sync(FileId::ROOT).unwrap();
    primary.assert_no_fault();
    secondary.assert_no_fault();
    assert_eq!(side(&primary.root, true), own_a);
    // Its directory went away: it is aside.
    assert!(own_b.remove(Path::new("old/deep/stays.tmp")).is_some());
    assert_eq!(side(&secondary.root, true), own_b);
    let aside = two.path().join("data.hold/leftout/1/stays.tmp");
    assert_eq!(std::fs::read(aside).unwrap(), b"theirs");
    assert_eq!(side(&primary.root, false), side(&secondary.root, false));
}
