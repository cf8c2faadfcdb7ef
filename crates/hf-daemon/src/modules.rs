//! Installed and configured modules: what is on disk, and changing it. Nothing of a module is run here.

mod ids;
mod inventory;
pub mod keys;
mod names;

use crate::ocf::{self, OcfError};
use crate::vhost::{self, VhostError};
use crate::{copy, fits, lastconfig, wrappers};
use hf_config::{Boot, Cluster, Diagnostics, ModuleConfig, OnNode, check_module_on};
use hf_host::Paths;
use hf_host::clock::wall_us;
use hf_host::cluster::{self, Member};
use hf_host::files::{FileError, beside, failed, make_dir, names_in, read_if_there, sync_parent, write_durably};
use hf_host::module::is_added_by_config;
use hf_host::paths::LAST_CONFIGS;
use hf_node::daemon::{InstalledModule, Proposal, boot_word};
use hf_node::heart::HeartConfig;
use hf_package::{InstallError, Limits, PackError};
use hf_types::ports::ID_MAX;
use hf_types::{BadName, ModuleName};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use ids::read_id;
use ids::{check_id, give_id};
pub use inventory::{info, installed, names, remove};
use names::{Kept, LookedUp, Names};
pub use names::{NameNews, look_up_again};

/// The name under which the daemon keeps its own lines: no module may have it.
pub const OWN_LOG: &str = "safeadmin";
/// Reference 004, 13.7: 300 s for both stops; used where a module runs no scripts at all.
const STOP_TIMEOUT_MS: u64 = 300_000;

/// A module that was configured on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    pub id: u32,
    /// `boot -m AM on` was said last.
    pub boot_told: bool,
    /// `checker on`.
    pub checking: bool,
    pub config: ModuleConfig,
    /// Digest of what is applied, and when it was applied (seconds since 1970 UTC).
    pub signature: (String, i64),
}

impl Configured {
    /// What the daemon decides by.
    pub fn installed(&self, module: &ModuleName) -> InstalledModule {
        let user = self.config.user.as_ref();
        let ms = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or(STOP_TIMEOUT_MS));
        InstalledModule {
            module: module.clone(),
            id: self.id,
            mode: self.config.service.mode,
            nice_stop_timeout: ms(user.map(|user| user.nice_stop_timeout_ms)),
            force_stop_timeout: ms(user.map(|user| user.force_stop_timeout_ms)),
            replicates: self.config.rfs.is_some(),
            signature: self.signature.0.clone(),
            applied_s: self.signature.1,
            boot_delay: Duration::from_millis(self.config.service.boot_delay_ms),
            boot: boot_word(self.boot(), self.boot_told).to_owned(),
            checking: self.checking,
        }
    }

    pub fn boot(&self) -> Boot {
        self.config.service.boot
    }
}

/// Why a module was not installed or configured. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Key(#[from] hf_host::module::ModuleError),
    #[error(transparent)]
    Vhost(#[from] VhostError),
    #[error(transparent)]
    Ocf(#[from] OcfError),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("{path} gives no name for the module: name it with -m")]
    NoName { path: PathBuf },
    #[error("no module may be called {module}: Holdfast itself uses that name")]
    Reserved { module: ModuleName },
    #[error("the id {id} has no ports: ids go from 1 to {ID_MAX}")]
    IdOutOfRange { id: u32 },
    #[error("the module {other} has the id {id} already")]
    IdTaken { id: u32, other: ModuleName },
    #[error(
        "the module {module} is configured with the id {id}; take its configuration away first: holdfast deconfig -m {module}"
    )]
    IdInUse { module: ModuleName, id: u32 },
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("the package {path} is not there")]
    NoPackage { path: PathBuf },
    #[error("the module {module} is not installed on this node")]
    NotInstalled { module: ModuleName },
    #[error("the module {module} has no {path}")]
    NoUserconfig { module: ModuleName, path: PathBuf },
    #[error("the attribute boot in the userconfig.xml of {module} decides; 'boot' is for modules without it")]
    BootIsConfigured { module: ModuleName },
    #[error("the configuration of {module} has errors")]
    Invalid { module: ModuleName, diagnostics: Box<Diagnostics> },
    #[error("{path} is no file or directory: a module holds nothing else")]
    Unfit { path: PathBuf },
    #[error("{path} holds no module id")]
    BadId { path: PathBuf },
}

/// How a module is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Installing {
    /// In the place of one that is there (`-r`).
    pub again: bool,
    /// The id that it is to have (`-M`).
    pub id: Option<u32>,
}

/// Installs a package or a directory as `SAFE/modules/AM` and gives it the id that is asked for, or the lowest free one.
pub fn install(
    paths: &Paths,
    module: Option<ModuleName>,
    package: &str,
    how: Installing,
) -> Result<(ModuleName, u32), ModuleError> {
    let package = find_package(paths, Path::new(package));
    let kind = fs::metadata(&package).map_err(|_| ModuleError::NoPackage { path: package.clone() })?;
    let module = match module {
        Some(module) => module,
        None => name_of(&package)?,
    };
    if [OWN_LOG, LAST_CONFIGS].contains(&module.as_str()) {
        return Err(ModuleError::Reserved { module });
    }
    if let Some(id) = how.id {
        check_id(paths, &module, id)?;
    }
    make_dir(&paths.edited_modules(), 0o755)?;
    let target = paths.edited(&module);
    let put = if how.again && target.is_dir() { unpack_over } else { unpack };
    if kind.is_dir() {
        install_directory(&package, &target, put)?;
    } else {
        put(&package, &target)?;
    }
    let id = give_id(paths, &module, how.id)?;
    Ok((module, id))
}

/// This program as a process without rights, which decodes a package.
#[cfg(not(test))]
fn decoder() -> std::process::Command {
    // What runs, also when the file was replaced by an upgrade meanwhile.
    let mut decoder = std::process::Command::new("/proc/self/exe");
    decoder.arg("unpack");
    decoder
}

#[cfg(not(test))]
fn unpack(package: &Path, target: &Path) -> Result<(), InstallError> {
    hf_package::install_with(&mut decoder(), package, target, &Limits::default())
}

#[cfg(not(test))]
fn unpack_over(package: &Path, target: &Path) -> Result<(), InstallError> {
    hf_package::replace_with(&mut decoder(), package, target, &Limits::default())
}

/// In a test this program is the test.
#[cfg(test)]
fn unpack(package: &Path, target: &Path) -> Result<(), InstallError> {
    hf_package::install(package, target, &Limits::default())
}

#[cfg(test)]
fn unpack_over(package: &Path, target: &Path) -> Result<(), InstallError> {
    hf_package::replace(package, target, &Limits::default())
}

/// A name without a directory means one of the packages that came with the product.
fn find_package(paths: &Paths, package: &Path) -> PathBuf {
    if package.is_absolute() {
        return package.to_owned();
    }
    paths.packages().join(package)
}

fn name_of(package: &Path) -> Result<ModuleName, ModuleError> {
    let name = if package.extension().is_some_and(|e| e == "safe") { package.file_stem() } else { package.file_name() };
    let name = name.and_then(|name| name.to_str());
    let name = name.ok_or_else(|| ModuleError::NoName { path: package.to_owned() })?;
    Ok(name.parse()?)
}

/// By way of a package, so that a directory is held to the same rules.
fn install_directory(
    dir: &Path,
    target: &Path,
    put: fn(&Path, &Path) -> Result<(), InstallError>,
) -> Result<(), ModuleError> {
    let package = beside(target, "packed");
    let done = hf_package::pack(dir, &package).map_err(ModuleError::from).and_then(|()| Ok(put(&package, target)?));
    hf_host::files::remove_if_there(&package).map_err(failed("remove", &package))?;
    done
}

/// Checks `SAFE/modules/AM/conf/userconfig.xml`; warnings and notes of a good one.
pub fn confcheck(paths: &Paths, module: &ModuleName, cluster: Option<&Cluster>) -> Result<Diagnostics, ModuleError> {
    Ok(edited(paths, module, cluster)?.1)
}

/// The same, with the configuration as it would be applied.
pub fn edited(
    paths: &Paths,
    module: &ModuleName,
    cluster: Option<&Cluster>,
) -> Result<(ModuleConfig, Diagnostics), ModuleError> {
    let dir = paths.edited(module);
    if !dir.is_dir() {
        return Err(ModuleError::NotInstalled { module: module.clone() });
    }
    let found = check(&dir, module, cluster, &others(paths, module, cluster)?, &LookedUp::beside(paths, module)?)?;
    ocf::prepare(&found.0.ocf, &dir.join("bin"))?;
    Ok(found)
}

/// Reads and checks the configuration in a module's directory.
fn check(
    dir: &Path,
    module: &ModuleName,
    cluster: Option<&Cluster>,
    others: &[ModuleConfig],
    names: &dyn Names,
) -> Result<(ModuleConfig, Diagnostics), ModuleError> {
    let path = dir.join("conf/userconfig.xml");
    let text = read_if_there(&path)?
        .ok_or_else(|| ModuleError::NoUserconfig { module: module.clone(), path: path.clone() })?;
    let file = path.to_string_lossy();
    let node = OnNode { others, names: &|name| names.address_of(name) };
    let checked = check_module_on(&node, &text, &file, module.as_str(), cluster, &cluster::environment);
    match checked.value {
        Some(config) => Ok((config, checked.diagnostics)),
        None => Err(ModuleError::Invalid { module: module.clone(), diagnostics: Box::new(checked.diagnostics) }),
    }
}

/// What was applied.
fn as_applied(
    paths: &Paths,
    module: &ModuleName,
    cluster: Option<&Cluster>,
) -> Result<(ModuleConfig, Diagnostics), ModuleError> {
    let dir = paths.applied(module);
    check(&dir, module, cluster, &[], &Kept::of(&dir)?)
}

/// What the node's other modules were configured with. One that can't be read says so by itself when it is looked for.
fn others(paths: &Paths, module: &ModuleName, cluster: Option<&Cluster>) -> Result<Vec<ModuleConfig>, ModuleError> {
    let found = scan(paths, cluster)?.modules.into_iter();
    Ok(found.filter(|(other, _)| other != module).map(|(_, configured)| configured.config).collect())
}

/// Checks the edited configuration and applies it: copies `conf` and `bin` beside the applied ones and exchanges the two as a
/// whole.
pub fn config(paths: &Paths, module: &ModuleName, cluster: Option<&Cluster>) -> Result<Diagnostics, ModuleError> {
    let diagnostics = confcheck(paths, module, cluster)?;
    let id = give_id(paths, module, None)?;
    let target = paths.applied(module);
    let fresh = beside(&target, "new");
    clear(&fresh)?;
    make_dir(&fresh, 0o755)?;
    for part in ["conf", "bin"] {
        let from = paths.edited(module).join(part);
        if from.is_dir() {
            copy::tree(&from, &fresh.join(part))?;
        }
    }
    write_durably(&fresh.join("id"), format!("{id}\n").as_bytes(), 0o644)?;
    // What was copied is what counts: somebody may have edited meanwhile.
    let names = LookedUp::beside(paths, module)?;
    let (config, _) = check(&fresh, module, cluster, &others(paths, module, cluster)?, &names)?;
    names.keep(&fresh)?;
    make_dir(&fresh.join("bin"), 0o755)?;
    vhost::write_all(paths, &config.virtual_host_names, &fresh.join("bin"))?;
    wrappers::write(&fresh, paths, module, &config)?;
    ocf::write(&fresh, &config.ocf)?;
    // The module is stopped if this changes anything.
    keys::apply(paths, module)?;
    renameat_with(CWD, &fresh, CWD, &target, RenameFlags::EXCHANGE)
        .map_err(|error| failed("exchange", &target)(error.into()))?;
    sync_parent(&target).map_err(failed("sync", &target))?;
    clear(&fresh)?;
    lastconfig::keep(paths, module, wall_us())?;
    Ok(diagnostics)
}

/// What [`config`] would change, against what is applied; nothing is changed. Also what a good configuration is warned of.
pub fn propose(paths: &Paths, module: &ModuleName, member: &Member) -> Result<(Proposal, Diagnostics), ModuleError> {
    let (edited, applied) = (paths.edited(module), paths.applied(module));
    if !edited.is_dir() {
        return Err(ModuleError::NotInstalled { module: module.clone() });
    }
    let cluster = Some(&member.cluster);
    let names = LookedUp::beside(paths, module)?;
    let (next, diagnostics) = check(&edited, module, cluster, &others(paths, module, cluster)?, &names)?;
    let Ok((present, _)) = as_applied(paths, module, cluster) else {
        // Nothing is applied, or nothing that could run.
        return Ok((Proposal::default(), diagnostics));
    };
    let heart = |config: &ModuleConfig| HeartConfig::from_config(config, &member.cluster, &member.me);
    let mut unfit = match (heart(&present), heart(&next)) {
        (Ok(old), Ok(new)) if old.peer != new.peer || old.me_first != new.me_first => old.needs_a_stop(&new),
        (_, Err(why)) => vec![why.to_string()],
        _ => Vec::new(),
    };
    if keys::changes(paths, module)? {
        unfit.push("the module's own key is another one".to_owned());
    }
    let scripts = differing(&applied.join("bin"), &edited.join("bin"))?;
    Ok((Proposal { changes: hf_config::changes(&present, &next), scripts, unfit }, diagnostics))
}

/// Why the module, which runs, can't go on with another cluster configuration. One that isn't configured on this node is judged where it is.
pub fn why_not(paths: &Paths, module: &ModuleName, member: &Member, after: &Cluster) -> Vec<String> {
    let Ok((present, _)) = as_applied(paths, module, Some(&member.cluster)) else {
        return Vec::new();
    };
    let next = as_applied(paths, module, Some(after)).map(|(config, _)| config).map_err(|error| match error {
        ModuleError::Invalid { diagnostics, .. } => fits::errors(&diagnostics),
        other => other.to_string(),
    });
    fits::why_not(&next, &present, (&member.cluster, after), &member.me)
}

/// The names of files that only one of two directories has, or that differ. What `config` itself added doesn't count.
fn differing(applied: &Path, edited: &Path) -> Result<Vec<String>, FileError> {
    let mut names = names_in(applied)?;
    names.extend(names_in(edited)?);
    names.sort();
    names.dedup();
    let look = |path: PathBuf| {
        let mode = fs::metadata(&path).map(|data| data.permissions().mode() & 0o111).ok();
        (fs::read(path).ok(), mode)
    };
    names.retain(|name| {
        let (old, new) = (look(applied.join(name)), look(edited.join(name)));
        let added = old.0.as_ref().is_some_and(|text| is_added_by_config(text));
        old != new && !(added && new.0.is_none())
    });
    Ok(names)
}

fn clear(dir: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// What [`scan`] found.
#[derive(Debug, Default)]
pub struct Found {
    pub modules: Vec<(ModuleName, Configured)>,
    /// What is wrong with those that can't be used.
    pub errors: Vec<ModuleError>,
}

/// The modules configured on this node.
pub fn scan(paths: &Paths, cluster: Option<&Cluster>) -> Result<Found, FileError> {
    let mut found = Found::default();
    for name in names_in(&paths.applied_modules())? {
        let Ok(module) = name.parse::<ModuleName>() else {
            continue; // our own leftovers begin with a dot
        };
        if !paths.applied(&module).join("conf").is_dir() {
            continue; // installed, not configured yet
        }
        match read(paths, &module, cluster) {
            Ok(configured) => found.modules.push((module, configured)),
            Err(error) => found.errors.push(error),
        }
    }
    Ok(found)
}

fn read(paths: &Paths, module: &ModuleName, cluster: Option<&Cluster>) -> Result<Configured, ModuleError> {
    let id = read_id(paths, module)?.ok_or_else(|| ModuleError::NotInstalled { module: module.clone() })?;
    let (config, _) = as_applied(paths, module, cluster)?;
    let signature = hf_host::module::applied_signature(&paths.applied(module), &paths.applied_module_key(module))?;
    let (boot_told, checking) = (crate::marker::boot_told(paths, module)?, hf_host::settings::checking(paths, module)?);
    Ok(Configured { id, config, signature, boot_told, checking })
}

#[cfg(test)]
mod tests;
