//! Ids of modules: the ports follow from them (hf_types::ports).

use super::ModuleError;
use hf_host::Paths;
use hf_host::files::{make_dir, names_in, read_if_there, write_durably};
use hf_types::ModuleName;
use hf_types::ports::ID_MAX;

/// The module's id, given now if it has none or another one is wanted: the lowest that no module of this node has.
pub fn give_id(paths: &Paths, module: &ModuleName, wanted: Option<u32>) -> Result<u32, ModuleError> {
    let present = read_id(paths, module)?;
    if let Some(id) = present.filter(|id| wanted.is_none_or(|wanted| wanted == *id)) {
        return Ok(id);
    }
    let taken: Vec<u32> = ids(paths)?.into_iter().map(|(_, id)| id).collect();
    let lowest = || (1..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX);
    let id = wanted.unwrap_or_else(lowest);
    make_dir(&paths.applied(module), 0o755)?;
    write_durably(&paths.module_id(module), format!("{id}\n").as_bytes(), 0o644)?;
    Ok(id)
}

fn ids(paths: &Paths) -> Result<Vec<(ModuleName, u32)>, ModuleError> {
    let mut ids = Vec::new();
    for name in names_in(&paths.applied_modules())? {
        if let Ok(module) = name.parse::<ModuleName>()
            && let Some(id) = read_id(paths, &module)?
        {
            ids.push((module, id));
        }
    }
    Ok(ids)
}

/// Ports follow from ids: two modules with one would talk over each other, and no id may be without ports. A module that
/// was applied keeps its id, because its ports are in use.
pub fn check_id(paths: &Paths, module: &ModuleName, id: u32) -> Result<(), ModuleError> {
    if id == 0 || id > ID_MAX {
        return Err(ModuleError::IdOutOfRange { id });
    }
    let present = read_id(paths, module)?;
    if present.is_some_and(|present| present != id) && paths.applied(module).join("conf").is_dir() {
        return Err(ModuleError::IdInUse { module: module.clone(), id: present.unwrap_or_default() });
    }
    match ids(paths)?.into_iter().find(|(other, taken)| other != module && *taken == id) {
        Some((other, _)) => Err(ModuleError::IdTaken { id, other }),
        None => Ok(()),
    }
}

/// The id of an installed module.
pub fn read_id(paths: &Paths, module: &ModuleName) -> Result<Option<u32>, ModuleError> {
    let path = paths.module_id(module);
    let Some(text) = read_if_there(&path)? else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(id) if id > 0 => Ok(Some(id)),
        _ => Err(ModuleError::BadId { path }),
    }
}
