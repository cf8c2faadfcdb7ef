//! Keys of modules that have one of their own (reference 004, 9.6 and 10.5). They lie beside the modules, not in them: a package, a dump, a
//! snapshot holds none.

use super::ModuleError;
use hf_host::Paths;
use hf_host::files::{failed, make_dir, read_if_there, remove_if_there, sync_parent, write_durably};
use hf_seal::{ClusterKey, os_rng};
use hf_types::ModuleName;
use std::path::{Path, PathBuf};

/// Makes a key, in the place of one that is there. It is used from the module's next configuration on.
pub fn generate(paths: &Paths, module: &ModuleName) -> Result<PathBuf, ModuleError> {
    make_dir(&paths.module_keys(), 0o700)?;
    let path = paths.module_key(module);
    write_durably(&path, ClusterKey::generate(&mut os_rng()).to_hex().as_bytes(), 0o600)?;
    Ok(path)
}

/// Removes it; false: there was none.
pub fn delete(paths: &Paths, module: &ModuleName) -> Result<bool, ModuleError> {
    remove(&paths.module_key(module))
}

/// Takes the key into use that is there for the next configuration, or none.
pub(super) fn apply(paths: &Paths, module: &ModuleName) -> Result<(), ModuleError> {
    let (path, used) = (paths.module_key(module), paths.applied_module_key(module));
    match read_if_there(&path)? {
        Some(text) => {
            ClusterKey::from_hex(&text).map_err(|source| hf_host::module::ModuleError::Key { path, source })?;
            make_dir(&paths.module_keys().join("used"), 0o700)?;
            Ok(write_durably(&used, text.as_bytes(), 0o600)?)
        }
        None => forget(paths, module),
    }
}

/// No key of its own is in use any more.
pub(super) fn forget(paths: &Paths, module: &ModuleName) -> Result<(), ModuleError> {
    remove(&paths.applied_module_key(module)).map(drop)
}

/// Whether there was one.
fn remove(path: &Path) -> Result<bool, ModuleError> {
    let there = path.exists();
    if there {
        remove_if_there(path).and_then(|()| sync_parent(path)).map_err(failed("remove", path))?;
    }
    Ok(there)
}

/// Whether the next configuration brings another key, or takes one away.
pub(super) fn changes(paths: &Paths, module: &ModuleName) -> Result<bool, ModuleError> {
    let key = |path: PathBuf| read_if_there(&path).map(|text| text.map(|text| text.trim().to_owned()));
    Ok(key(paths.module_key(module))? != key(paths.applied_module_key(module))?)
}
