//! What lies in a replicated directory, as far as it matters before the module is configured.

use hf_config::Exclusions;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub users: BTreeSet<u32>,
    pub groups: BTreeSet<u32>,
    /// What the files take on the disk.
    pub bytes: u64,
    /// Files that have more names than were found here: one of the names, and how many lie elsewhere.
    pub outside: Vec<(PathBuf, u64)>,
    /// The time was too short to see everything: nothing is known of names elsewhere then.
    pub incomplete: bool,
}

/// A file with several names.
struct Linked {
    names: u64,
    found: u64,
    path: PathBuf,
}

/// Looks at everything below `root` that is replicated, for so long. What can't be read is passed over.
pub fn walk(root: &Path, left_out: &Exclusions, limit: Duration) -> Seen {
    let end = Instant::now() + limit;
    let (mut seen, mut linked) = (Seen::default(), HashMap::new());
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        if Instant::now() >= end {
            seen.incomplete = true;
            return seen;
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(data) = fs::symlink_metadata(&path) else { continue };
            let below = path.strip_prefix(root).map(Path::to_string_lossy).unwrap_or_default();
            if left_out.leaves_out(&below, data.is_dir()) {
                continue;
            }
            seen.users.insert(data.uid());
            seen.groups.insert(data.gid());
            if data.is_dir() {
                todo.push(path);
                continue;
            }
            seen.bytes += data.blocks() * 512;
            if data.nlink() > 1 {
                let linked = linked.entry((data.dev(), data.ino()));
                linked.or_insert_with(|| Linked { names: data.nlink(), found: 0, path }).found += 1;
            }
        }
    }
    let outside = linked.into_values().filter(|linked| linked.found < linked.names);
    seen.outside = outside.map(|linked| (linked.path, linked.names - linked.found)).collect();
    seen.outside.sort();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_config::NotReplicated;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn names_elsewhere_are_found_and_names_inside_are_none() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("data");
        fs::create_dir_all(root.join("sub/tmp")).expect("a directory");
        for name in ["one", "two", "three", "sub/four"] {
            fs::write(root.join(name), "x").expect("a file");
        }
        fs::hard_link(root.join("one"), root.join("sub/one")).expect("a link");
        fs::hard_link(root.join("two"), place.path().join("two")).expect("a link");
        fs::hard_link(root.join("three"), root.join("sub/tmp/three")).expect("a link");
        std::os::unix::fs::symlink("/", root.join("all")).expect("a link");
        let all = walk(&root, &Exclusions::default(), LONG);
        assert_eq!(all.outside, [(root.join("two"), 1)]);
        assert!(!all.incomplete && all.bytes >= 4 * 512 && all.bytes < 1 << 20, "{all:?}");
        assert!(all.users.contains(&rustix::process::getuid().as_raw()));
        // What is left out is somewhere else on the other node.
        let left_out = Exclusions::of(&[NotReplicated::Path("sub/tmp".to_owned())]).expect("a list");
        let outside = walk(&root, &left_out, LONG).outside;
        assert_eq!(outside, [(root.join("three"), 1), (root.join("two"), 1)]);
    }

    #[test]
    fn without_time_nothing_is_claimed() {
        let seen = walk(Path::new("/usr"), &Exclusions::default(), Duration::ZERO);
        assert!(seen.incomplete && seen.outside.is_empty());
    }
}
