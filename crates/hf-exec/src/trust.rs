//! Who could have changed a script.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file isn't run as root.
#[derive(Debug, Error)]
pub enum Untrusted {
    #[error("{path:?} is not an absolute path")]
    Relative { path: PathBuf },
    #[error("{path:?} belongs to user {uid}: chown it to root")]
    Owner { path: PathBuf, uid: u32 },
    #[error("{path:?} can be written by others than root (mode {mode:04o}): chmod go-w it")]
    Writable { path: PathBuf, mode: u32 },
    #[error("{path:?} is not an executable file: chmod +x it")]
    NotExecutable { path: PathBuf },
    #[error("{path:?} can't be examined")]
    Examine { path: PathBuf, source: io::Error },
}

/// Checks that only root could have changed the file at `path`: the file and every directory above
/// it, both as the path is written and as it is after links. `Ok(None)` if there is no such file.
///
/// Only root can change what was checked, so it stays true until the file is run.
pub fn check_trust(path: &Path) -> Result<Option<PathBuf>, Untrusted> {
    if !path.is_absolute() {
        return Err(Untrusted::Relative { path: path.to_owned() });
    }
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Untrusted::Examine { path: path.to_owned(), source });
        }
    };
    let places: BTreeSet<&Path> = real.ancestors().chain(path.ancestors()).collect();
    for place in places {
        check_place(place)?;
    }
    check_executable(&real)?;
    Ok(Some(real))
}

fn check_place(place: &Path) -> Result<(), Untrusted> {
    let path = || place.to_owned();
    let meta = place.symlink_metadata().map_err(|source| Untrusted::Examine { path: path(), source })?;
    if meta.uid() != 0 {
        return Err(Untrusted::Owner { path: path(), uid: meta.uid() });
    }
    // A link has no mode of its own; its directory's counts. The group's bit counts even where the group
    // is root's, because with an access control list it is the mask of all named users.
    if !meta.is_symlink() && meta.mode() & 0o022 != 0 {
        return Err(Untrusted::Writable { path: path(), mode: meta.mode() & 0o7777 });
    }
    Ok(())
}

fn check_executable(real: &Path) -> Result<(), Untrusted> {
    let meta = real.metadata().map_err(|source| Untrusted::Examine { path: real.to_owned(), source })?;
    if !meta.is_file() || meta.mode() & 0o111 == 0 {
        return Err(Untrusted::NotExecutable { path: real.to_owned() });
    }
    Ok(())
}
