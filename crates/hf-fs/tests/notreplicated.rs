//! Two mounts that follow each other, with something left out (`<notreplicated>`, and what each file system has for itself). Needs root and kernel 6.9.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::pair::Pair;
use common::seen;

const LEFT_OUT: [&str; 2] = [r".*\.tmp", "cache"];

fn is_own(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tmp") || path.starts_with("./cache")
}

/// What is replicated of a tree. A directory's links count the directories in it that aren't, too.
fn replicated(at: &Path) -> BTreeMap<PathBuf, String> {
    let without_links = |(path, text): (PathBuf, String)| match (at.join(&path).is_dir(), text.split_once(" links ")) {
        (true, Some((start, end))) => (path, format!("{start} {}", end.split_once(' ').unwrap().1)),
        _ => (path, text),
    };
    seen(at).into_iter().filter(|(path, _)| !is_own(path)).map(without_links).collect()
}

fn own(at: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = seen(at).into_keys().filter(|path| is_own(path) && at.join(path).is_file());
    files.map(|path| (path.clone(), fs::read(at.join(path)).unwrap())).collect()
}

/// As programs replace a file.
fn replace(file: &Path, text: &[u8]) {
    let aside = file.with_extension("tmp");
    let mut new = fs::File::create(&aside).unwrap();
    new.write_all(text).unwrap();
    new.sync_all().unwrap();
    fs::rename(&aside, file).unwrap();
}

#[test]
fn each_node_has_its_own_over_a_synchronisation_a_death_and_a_swap() {
    let mut pair = Pair::leaving_out("none", &LEFT_OUT);
    pair.connect();
    let one = pair.primary.mount();
    fs::create_dir(one.join("cache")).unwrap();
    fs::write(one.join("cache/index"), b"of the first").unwrap();
    fs::write(one.join("before.tmp"), b"of the first").unwrap();
    fs::write(one.join("conf"), b"1").unwrap();
    pair.synchronise();
    pair.secondary.drain();
    let two = pair.secondary.mount();
    assert!(!two.join("cache").exists() && !two.join("before.tmp").exists());
    for round in 0..20 {
        replace(&one.join("conf"), format!("version {round}").as_bytes());
        replace(&one.join("large"), &vec![round; 3_000_000]);
        fs::rename(one.join("large"), one.join("large.tmp")).unwrap();
        fs::write(one.join("cache/index"), [round; 1000]).unwrap();
        if round == 10 {
            pair.kill_primary();
        }
    }
    pair.primary.drain();
    pair.secondary.drain();
    assert_eq!(fs::read(two.join("conf")).unwrap(), b"version 19");
    assert_eq!(replicated(&one), replicated(&two));
    let of_the_first = own(&one);
    assert_eq!(of_the_first.len(), 3);
    assert_eq!(own(&two), []);

    pair.swap();
    // What isn't replicated is read-only on a secondary, too: whoever writes there would write at the wrong node.
    let refused = fs::write(one.join("before.tmp"), b"x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EROFS));
    assert_eq!(fs::read(one.join("before.tmp")).unwrap(), b"of the first");
    fs::create_dir(two.join("cache")).unwrap();
    fs::write(two.join("cache/index"), b"of the second").unwrap();
    replace(&two.join("conf"), b"by the second");
    let of_the_second = own(&two);
    pair.primary.drain();
    pair.secondary.drain();
    assert_eq!(fs::read(one.join("conf")).unwrap(), b"by the second");
    assert_eq!((own(&one), own(&two)), (of_the_first.clone(), of_the_second.clone()));

    pair.swap();
    fs::write(one.join("cache/more"), b"of the first again").unwrap();
    fs::remove_file(one.join("large.tmp")).unwrap();
    pair.primary.drain();
    pair.secondary.drain();
    pair.stop();
    let (data_one, data_two) = (pair.primary.data(), pair.secondary.data());
    assert_eq!(replicated(&data_one), replicated(&data_two));
    assert_eq!(own(&data_two), of_the_second);
    assert_eq!(own(&data_one).len(), of_the_first.len());
}

#[test]
fn a_directory_that_is_a_file_system_of_its_own_is_replicated() {
    let disk = tempfile::tempdir().unwrap();
    let image = disk.path().join("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    assert!(std::process::Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap().success());
    let mut pair = Pair::on_disk("second", &image);
    pair.connect();
    let (one, two) = (pair.primary.mount(), pair.secondary.mount());
    let shown = |at: &Path| {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(shown(&one), ["lost+found"], "what is ours isn't listed");
    fs::create_dir(one.join("dir")).unwrap();
    fs::write(one.join("dir/file"), vec![7; 200_000]).unwrap();
    pair.synchronise();
    // Held while it is open, on the same file system.
    let mut open = fs::File::create(one.join("unlinked")).unwrap();
    fs::remove_file(one.join("unlinked")).unwrap();
    open.write_all(b"x").unwrap();
    drop(open);
    pair.kill_primary();
    fs::write(one.join("dir/more"), b"after a death").unwrap();
    pair.swap();
    fs::write(two.join("third"), b"by the other").unwrap();
    pair.primary.drain();
    pair.secondary.drain();
    pair.stop();
    // The file system is where it was; the other node has a directory and its data beside it.
    let (own, data) = (one, pair.primary.data());
    assert!(hf_fs::front::mountpoint::mounts().unwrap().iter().any(|mount| mount.mountpoint == own));
    assert_eq!(shown(&own), [".holdfast", "dir", "lost+found", "third"]);
    assert_eq!(shown(&data), ["dir", "third"]);
    for path in ["dir/file", "dir/more", "third"] {
        assert_eq!(fs::read(own.join(path)).unwrap(), fs::read(data.join(path)).unwrap(), "{path}");
    }
}
