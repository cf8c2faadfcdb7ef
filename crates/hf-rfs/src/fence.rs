//! The word to the daemon that nothing is acknowledged any more, when the heart is gone (docs/internals/processes.md).

use hf_exec::Identity;
use hf_host::Paths;
use hf_host::files::{remove_if_there, write_durably};
use hf_types::ModuleName;
use std::path::PathBuf;

pub struct Fence {
    file: PathBuf,
    /// Names this very process, so that a file of an earlier one never counts.
    identity: String,
}

impl Fence {
    pub fn new(paths: &Paths, module: &ModuleName) -> std::io::Result<Fence> {
        Ok(Fence { file: paths.rfs_fenced(module), identity: Identity::of_self()?.to_string() })
    }

    /// To be called once the gate is closed.
    pub fn say(&self) {
        if let Err(error) = write_durably(&self.file, self.identity.as_bytes(), 0o644) {
            tracing::warn!(%error, "the daemon can't be told that this rfs is fenced; it will end it");
        }
    }

    /// A heart is back.
    pub fn take_back(&self) {
        if let Err(error) = remove_if_there(&self.file) {
            tracing::warn!(%error, "the word that this rfs is fenced can't be taken back");
        }
    }
}
