//! What differs between two trees, by content.

use hf_config::Exclusions;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const BUFFER: usize = 256 << 10;

/// One path that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Relative to the directory.
    pub path: PathBuf,
    /// `only kept`, `only now`, `differs`.
    pub what: &'static str,
}

type Failed = (PathBuf, io::Error);

/// In the order of the paths; below something that is only on one side nothing is listed. What isn't replicated was neither kept nor overwritten.
pub fn differences(kept: &Path, now: &Path, left_out: &Exclusions) -> Result<Vec<Difference>, Failed> {
    let mut found = Vec::new();
    below(kept, now, Path::new(""), left_out, &mut found)?;
    Ok(found)
}

fn below(
    kept: &Path,
    now: &Path,
    path: &Path,
    left_out: &Exclusions,
    found: &mut Vec<Difference>,
) -> Result<(), Failed> {
    let (ours, theirs) = (names(&kept.join(path))?, names(&now.join(path))?);
    for name in ours.union(&theirs) {
        let path = path.join(name);
        if !left_out.is_empty() {
            let one = if theirs.contains(name) { now } else { kept };
            if left_out.leaves_out(&path.to_string_lossy(), look(&one.join(&path))?.is_dir()) {
                continue;
            }
        }
        let what = match (ours.contains(name), theirs.contains(name)) {
            (true, false) => "only kept",
            (false, _) => "only now",
            (true, true) => {
                let (one, other) = (look(&kept.join(&path))?, look(&now.join(&path))?);
                if one.is_dir() && other.is_dir() {
                    below(kept, now, &path, left_out, found)?;
                    continue;
                }
                if same(kept, now, &path, (&one, &other))? {
                    continue;
                }
                "differs"
            }
        };
        found.push(Difference { path, what });
    }
    Ok(())
}

fn names(dir: &Path) -> Result<BTreeSet<std::ffi::OsString>, Failed> {
    let failed = |error| (dir.to_owned(), error);
    std::fs::read_dir(dir).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.file_name())).collect()
}

fn look(path: &Path) -> Result<Metadata, Failed> {
    path.symlink_metadata().map_err(|error| (path.to_owned(), error))
}

fn same(kept: &Path, now: &Path, path: &Path, (one, other): (&Metadata, &Metadata)) -> Result<bool, Failed> {
    let attributes = |meta: &Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.rdev());
    if attributes(one) != attributes(other) || (one.is_file() && one.len() != other.len()) {
        return Ok(false);
    }
    let (one_path, other_path) = (kept.join(path), now.join(path));
    let failed = |error| (other_path.clone(), error);
    if one.is_symlink() {
        return Ok(std::fs::read_link(&one_path).map_err(failed)? == std::fs::read_link(&other_path).map_err(failed)?);
    }
    if !one.is_file() {
        return Ok(true);
    }
    same_content(&one_path, &other_path).map_err(failed)
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        let len = one.read(&mut left)?;
        if len == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
        match other.read_exact(&mut right[..len]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            done => done?,
        }
        if left[..len] != right[..len] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_config::NotReplicated;

    #[test]
    fn every_kind_of_difference_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, now) = (dir.path().join("kept"), dir.path().join("now"));
        for root in [&kept, &now] {
            std::fs::create_dir_all(root.join("sub")).unwrap();
            std::fs::write(root.join("sub/same"), vec![7; 600 << 10]).unwrap();
            std::fs::write(root.join("byte"), vec![7; 600 << 10]).unwrap();
        }
        let mut bytes = vec![7; 600 << 10];
        bytes[500 << 10] = 8;
        std::fs::write(now.join("byte"), bytes).unwrap();
        std::fs::write(kept.join("sub/gone"), b"x").unwrap();
        std::fs::create_dir(now.join("new")).unwrap();
        std::fs::write(now.join("sub/x.tmp"), b"never kept").unwrap();
        let left_out = Exclusions::of(&[NotReplicated::Pattern(r".*\.tmp".into())]).unwrap();
        let seen = |left_out: &Exclusions| {
            let found = differences(&kept, &now, left_out).unwrap();
            found.iter().map(|d| format!("{} {}", d.path.display(), d.what)).collect::<Vec<_>>()
        };
        assert_eq!(seen(&left_out), ["byte differs", "new only now", "sub/gone only kept"]);
        assert!(seen(&Exclusions::default()).contains(&"sub/x.tmp only now".to_owned()));
    }
}
