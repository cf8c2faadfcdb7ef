//! Which modules there are, what is known of each, and taking one away.

use super::{ModuleError, as_applied, clear, keys, read_id};
use hf_host::Paths;
use hf_host::files::{failed, names_in, sync_parent};
use hf_host::module::forget_names;
use hf_host::paths::LAST_CONFIGS;
use hf_types::ModuleName;
use hf_wire::bus::{ConfigStamp, ModuleEntry, ModuleInfo};
use std::fs;
use std::path::Path;

/// The modules that are installed, or were applied, on this node.
pub fn names(paths: &Paths) -> Result<Vec<ModuleName>, ModuleError> {
    let mut names = Vec::new();
    for dir in [paths.edited_modules(), paths.applied_modules()] {
        // Our own leftovers begin with a dot, and so are no names.
        names.extend(names_in(&dir)?.iter().filter_map(|name| name.parse::<ModuleName>().ok()));
    }
    names.sort();
    names.dedup();
    names.retain(|name| name.as_str() != LAST_CONFIGS);
    Ok(names)
}

/// What `module list` shows; `running` is left to whoever knows.
pub fn installed(paths: &Paths) -> Result<Vec<ModuleEntry>, ModuleError> {
    names(paths)?.iter().map(|module| entry(paths, module)).collect()
}

fn entry(paths: &Paths, module: &ModuleName) -> Result<ModuleEntry, ModuleError> {
    let configured = paths.applied(module).join("conf").is_dir();
    Ok(ModuleEntry { module: module.clone(), id: read_id(paths, module)?, configured, running: false })
}

/// What `confinfo` shows; `kept` is left empty.
pub fn info(paths: &Paths, module: &ModuleName) -> Result<ModuleInfo, ModuleError> {
    let stamp = |dir: &Path, key: &Path| -> Result<Option<ConfigStamp>, ModuleError> {
        let signature = hf_host::module::signature(dir, key)?;
        Ok(signature.map(|(signature, changed_s)| ConfigStamp { signature, changed_s }))
    };
    let entry = entry(paths, module)?;
    Ok(ModuleInfo {
        // The one mode that can be applied in this version.
        mode: entry.configured.then(|| "mirror".to_owned()),
        active: if entry.configured { stamp(&paths.applied(module), &paths.applied_module_key(module))? } else { None },
        current: stamp(&paths.edited(module), &paths.module_key(module))?,
        kept: Vec::new(),
        entry,
    })
}

/// Takes the applied configuration away, and with `everything` the module itself and its id. Replicated data is touched by
/// neither: what is said of it comes back.
pub fn remove(paths: &Paths, module: &ModuleName, everything: bool) -> Result<Vec<String>, ModuleError> {
    let left = left_behind(paths, module);
    let applied = paths.applied(module);
    keys::forget(paths, module)?;
    if everything {
        keys::delete(paths, module)?;
        clear(&applied)?;
        clear(&paths.edited(module))?;
    } else {
        for part in ["conf", "bin"] {
            clear(&applied.join(part))?;
        }
        forget_names(&applied)?;
    }
    sync_parent(&applied).map_err(failed("sync", &applied))?;
    Ok(left)
}

/// Replicated directories whose data lies beside them.
fn left_behind(paths: &Paths, module: &ModuleName) -> Vec<String> {
    let Ok((config, _)) = as_applied(paths, module, None) else {
        return Vec::new(); // nothing was applied, or what was can't be read
    };
    let dirs = config.rfs.iter().flat_map(|rfs| &rfs.replicated).map(|replicated| replicated.dir.clone());
    let links = dirs.filter_map(|dir| Some((fs::read_link(&dir).ok()?, dir)));
    links.map(|(data, dir)| format!("{dir} stays a link to its data in {}", data.display())).collect()
}
