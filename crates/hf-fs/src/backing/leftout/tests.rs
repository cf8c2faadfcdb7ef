use super::*;
use crate::backing::Found;
use crate::table::Table;
use hf_config::NotReplicated;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Place {
    dir: tempfile::TempDir,
    backing: Backing,
}

fn place(list: &[NotReplicated]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    fs::create_dir(&root).unwrap();
    let table = Arc::new(Table::create(1).unwrap());
    let backing = Backing::open(&root, &dir.path().join("data.hold"), table).unwrap();
    Place { backing: backing.leaving_out(Exclusions::of(list).unwrap()), dir }
}

fn pattern(text: &str) -> NotReplicated {
    NotReplicated::Pattern(text.into())
}

impl Place {
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("data").join(path)
    }

    fn find(&self, path: &str) -> Found {
        let mut found = None;
        for part in path.split('/') {
            let parent = found.map_or(FileId::ROOT, |found: Found| found.id);
            found = Some(self.backing.lookup(parent, &Name::new(part.as_bytes()).unwrap()).unwrap());
        }
        found.unwrap()
    }

    fn listed(&self, id: FileId) -> Vec<String> {
        let mut names: Vec<_> =
            self.backing.list(id).unwrap().into_iter().map(|e| String::from_utf8(e.name).unwrap()).collect();
        names.sort();
        names
    }

    fn aside(&self) -> Vec<String> {
        let home = self.dir.path().join("data.hold/leftout");
        let mut all: Vec<_> = fs::read_dir(home)
            .into_iter()
            .flatten()
            .flat_map(|number| fs::read_dir(number.unwrap().path()).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"x").unwrap();
}

#[test]
fn what_is_left_out_is_known_by_its_path_and_not_listed() {
    let place = place(&[pattern(r".*\.tmp"), NotReplicated::Path("a/cache".into())]);
    for path in ["x", "x.tmp", "a/y", "a/y.tmp", "a/cache/deep/z", "cache"] {
        write(&place.path(path));
    }
    for (path, own) in [
        ("x", false),
        ("x.tmp", true),
        ("a", false),
        ("a/y", false),
        ("a/y.tmp", true),
        ("a/cache", true),
        ("a/cache/deep", true),
        ("a/cache/deep/z", true),
        ("cache", false),
    ] {
        assert_eq!(place.backing.is_own(place.find(path).id), own, "{path}");
    }
    assert_eq!(place.listed(FileId::ROOT), ["a", "cache", "x"]);
    assert_eq!(place.listed(place.find("a").id), ["y"]);
    assert_eq!(place.listed(place.find("a/cache").id), [""; 0]);
    // Under another name it is another side's.
    fs::rename(place.path("x.tmp"), place.path("z")).unwrap();
    assert!(!place.backing.is_own(place.find("z").id));
}

#[test]
fn a_file_with_a_replicated_name_is_replicated_under_each() {
    let place = place(&[pattern(r".*\.tmp")]);
    write(&place.path("x"));
    let known = place.find("x").id;
    fs::hard_link(place.path("x"), place.path("x.tmp")).unwrap();
    assert_eq!(place.find("x.tmp").id, known);
    assert!(!place.backing.is_own(known));
}

#[test]
fn a_path_that_is_longer_than_the_kernel_says_is_found_by_climbing() {
    let place = place(&[pattern(".*tmp")]);
    let long = "d".repeat(200);
    let mut dir = open_dir(place.backing.root(), c".").unwrap();
    let (mut id, mut expected) = (FileId::ROOT, Vec::new());
    for _ in 0..30 {
        rustix::fs::mkdirat(&dir, &*long, Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, &*long, DIR, Mode::empty()).unwrap();
        id = place.backing.lookup(id, &Name::new(long.as_bytes()).unwrap()).unwrap().id;
        expected.push(long.clone());
    }
    let node = place.backing.node(id).unwrap();
    assert_eq!(place.backing.path_of(node.as_fd()).unwrap(), Some(expected.join("/")));
    assert!(place.backing.is_name_own(id, &Name::new(b"a.tmp").unwrap(), false).unwrap());
    assert!(!place.backing.is_name_own(id, &Name::new(b"a").unwrap(), false).unwrap());
}

#[test]
fn a_directory_outside_of_the_root_has_no_path() {
    let place = place(&[pattern(".*")]);
    let outside = open_dir(place.backing.hold(), c".").unwrap();
    assert_eq!(place.backing.path_of(outside.as_fd()).unwrap(), None);
    assert_eq!(place.backing.path_of(place.backing.root()).unwrap(), Some(String::new()));
}

#[test]
fn what_is_in_the_way_or_loses_its_directory_goes_aside() {
    let place = place(&[NotReplicated::AllBut("keep(/.*)?".into())]);
    // A file of this name isn't replicated, a directory is.
    write(&place.path("name"));
    place.backing.make_way(FileId::ROOT, &Name::new(b"name").unwrap()).unwrap();
    place.backing.make_way(FileId::ROOT, &Name::new(b"name").unwrap()).unwrap();
    assert!(!place.path("name").exists());
    write(&place.path("dir/sub/own"));
    write(&place.path("dir/own2"));
    place.backing.rescue_below(FileId::ROOT, &Name::new(b"dir").unwrap()).unwrap();
    assert!(place.path("dir/sub").is_dir() && !place.path("dir/sub/own").exists());
    assert_eq!(place.aside(), ["name", "own", "own2"]);
    // What is replicated stays.
    write(&place.path("keep/it"));
    place.backing.make_way(FileId::ROOT, &Name::new(b"keep").unwrap()).unwrap();
    place.backing.rescue_below(FileId::ROOT, &Name::new(b"keep").unwrap()).unwrap();
    assert!(place.path("keep/it").exists());
}

#[test]
fn a_directory_that_moves_takes_along_what_is_left_out_there_too() {
    let place = place(&[NotReplicated::Path("a/local".into()), NotReplicated::Path("b/local".into())]);
    write(&place.path("a/local/file"));
    let dir = place.find("a").id;
    assert!(!place.backing.changes_side(dir, "a", "b").unwrap());
    assert!(place.backing.changes_side(dir, "a", "c").unwrap());
    fs::rename(place.path("a"), place.path("b")).unwrap();
    place.backing.rescue_moved(FileId::ROOT, &Name::new(b"b").unwrap(), "a").unwrap();
    assert!(place.path("b/local/file").exists());
    fs::rename(place.path("b"), place.path("c")).unwrap();
    place.backing.rescue_moved(FileId::ROOT, &Name::new(b"c").unwrap(), "b").unwrap();
    assert!(!place.path("c/local").exists());
    assert_eq!(place.aside(), ["local"]);
    // The other way round: what is replicated now and wouldn't be there.
    write(&place.path("e/local"));
    assert!(place.backing.changes_side(place.find("e").id, "e", "a").unwrap());
}
