//! What can go wrong in a lab command, as one line that a person can act on.

use std::io;
use std::path::{Path, PathBuf};

/// Why a lab command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The command line names something that isn't there, or can't be. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Namespaces, mounts and loop devices are root's.
    #[error("namespaces, mounts and loop devices are made by root only: run it as root")]
    NotRoot,
    /// A program that the lab needs is missing or failed.
    #[error("{program}: {detail}")]
    Tool { program: String, detail: String },
    /// A system call failed; `what` names the operation.
    #[error("{what}: {source}")]
    System {
        what: String,
        #[source]
        source: io::Error,
    },
    /// Something did not happen within its time.
    #[error("{what} (waited {waited_ms} ms){hint}")]
    Timeout { what: String, waited_ms: u64, hint: String },
    /// The lab is in a state that doesn't allow the command, or a part of it failed.
    #[error("{0}")]
    Failed(String),
}

impl LabError {
    /// The exit code of `holdfast lab` for this error: 2 for the command line, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            LabError::Usage(_) => 2,
            LabError::NotRoot
            | LabError::Tool { .. }
            | LabError::System { .. }
            | LabError::Timeout { .. }
            | LabError::Failed(_) => 1,
        }
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, LabError>;

/// Names the operation at which a system call failed.
pub trait Context<T> {
    /// `what` is called only on failure.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::System { what: what(), source: source.into() })
    }
}

/// Reads a whole text file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

/// Writes a whole file in place.
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, text).context(|| format!("writing {}", path.display()))
}

/// Makes a directory and its parents.
pub fn mkdir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).context(|| format!("making {}", path.display()))
}

/// Removes a tree; that it is not there is fine.
pub fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("removing {}", path.display())),
    }
}

/// The entries of a directory, sorted; none if it isn't there.
pub fn entries(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}
