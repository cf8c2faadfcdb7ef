//! A module's applied configuration.

use crate::Paths;
use crate::cluster::Member;
use crate::files::{FileError, failed, make_dir, names_in, read_if_there, remove_if_there, write_durably};
use hf_config::{Addresses, Cluster, Diagnostics, ModuleConfig, OnNode, check_module_on};
use hf_seal::{ClusterKey, KeyError, KeyRing};
use hf_types::ModuleName;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Why a module can't be started with what is applied.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the module {0} is not configured on this node: run 'holdfast config -m {0}'")]
    NotConfigured(ModuleName),
    #[error("the applied configuration of {module} has errors:\n{text}")]
    Invalid { module: ModuleName, text: String },
    #[error("the module's own key {path} is no key: {source}; 'holdfast module genkey' makes another one")]
    Key {
        path: std::path::PathBuf,
        #[source]
        source: KeyError,
    },
    #[error("the id of {0} is missing or no number: install the module again")]
    NoId(ModuleName),
}

/// A configured module: its id (ports follow from it) and its configuration.
#[derive(Clone, Debug)]
pub struct Applied {
    pub id: u32,
    pub config: ModuleConfig,
}

/// Reads what `config` applied last.
pub fn load(paths: &Paths, module: &ModuleName, cluster: &Cluster) -> Result<Applied, ModuleError> {
    let file = paths.applied(module).join("conf/userconfig.xml");
    let text = read_if_there(&file)?.ok_or_else(|| ModuleError::NotConfigured(module.clone()))?;
    let environment = |name: &str| std::env::var(name).ok();
    let names = kept_names(&paths.applied(module))?;
    let node = OnNode { others: &[], names: &|name| kept_name(&names, name) };
    let config = check_module_on(&node, &text, &file.to_string_lossy(), module.as_str(), Some(cluster), &environment)
        .into_result();
    let invalid = |errors: Diagnostics| ModuleError::Invalid { module: module.clone(), text: errors.render(false) };
    let id = read_if_there(&paths.module_id(module))?.and_then(|text| text.trim().parse().ok());
    Ok(Applied { id: id.ok_or_else(|| ModuleError::NoId(module.clone()))?, config: config.map_err(invalid)? })
}

/// Beside a module's applied `conf`: what the names in `userconfig.xml` were looked up as.
const NAMES: &str = "userconfig_ip.xml";

/// What the names in an applied configuration were looked up as. Nothing, where there is no name.
pub fn kept_names(applied: &Path) -> Result<Addresses, FileError> {
    let text = read_if_there(&applied.join(NAMES))?.unwrap_or_default();
    // A file that can't be read names nothing: then each name says itself that it has to be looked up.
    Ok(Addresses::from_xml(&text).unwrap_or_default())
}

/// A name of [`kept_names`], else why it isn't there.
pub fn kept_name(names: &Addresses, name: &str) -> Result<IpAddr, String> {
    let why = || "it was never looked up here: 'holdfast config' does it".to_owned();
    names.get(name).ok_or_else(why)
}

/// Keeps what names were looked up as, durably.
pub fn keep_names(applied: &Path, names: &Addresses) -> Result<(), FileError> {
    write_durably(&applied.join(NAMES), names.to_xml().as_bytes(), 0o644)
}

/// Takes away what [`keep_names`] kept.
pub fn forget_names(applied: &Path) -> Result<(), FileError> {
    let file = applied.join(NAMES);
    remove_if_there(&file).map_err(failed("remove", &file))
}

/// Whether `errd off` was said, and no `errd on` since. A file that can't be looked at isn't there: watching is what is safe.
pub fn errd_off(paths: &Paths, module: &ModuleName) -> bool {
    paths.errd_off(module).exists()
}

/// Keeps, over a stop too, what `errd off` or `errd on` said.
///
/// # Errors
/// When the file can't be written or removed; it is as it was.
pub fn keep_errd_off(paths: &Paths, module: &ModuleName, off: bool) -> Result<(), FileError> {
    let path = paths.errd_off(module);
    if !off {
        return remove_if_there(&path).map_err(failed("remove", &path));
    }
    make_dir(&paths.module_run(module), 0o750)?;
    write_durably(&path, b"off\n", 0o644)
}

pub use hf_types::ports::{heart as heart_port, rfs as rfs_port};

/// How files begin that `config` itself adds to a module's applied `bin`; a script has it in its second line.
pub const ADDED_BY_CONFIG: &str = "# Written by 'holdfast config'";

/// What seals the module's heartbeats and its replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub ring: KeyRing,
    /// Everybody knows them: the cluster has no key, and the module none of its own.
    pub insecure: bool,
}

/// The keys of a module: the cluster's, or what follows from that and the module's own (reference 004, 10.5).
///
/// # Errors
/// When the module's own key can't be read.
pub fn keys(paths: &Paths, module: &ModuleName, member: &Member) -> Result<Keys, ModuleError> {
    let path = paths.applied_module_key(module);
    let Some(text) = read_if_there(&path)? else {
        let ring = KeyRing { key: member.key.clone(), before: member.key_before.clone() };
        return Ok(Keys { ring, insecure: member.insecure });
    };
    let own = ClusterKey::from_hex(&text).map_err(|source| ModuleError::Key { path, source })?;
    let of = |key: &ClusterKey| key.of_module(&own);
    let ring = KeyRing { key: of(&member.key), before: member.key_before.as_ref().map(of) };
    Ok(Keys { ring, insecure: false })
}

/// Whether `config` wrote this file of `bin`: by its first line, or by the second one of a script.
pub fn is_added_by_config(contents: &[u8]) -> bool {
    let script = contents.strip_prefix(b"#!/bin/sh\n").unwrap_or(contents);
    script.starts_with(ADDED_BY_CONFIG.as_bytes())
}

/// Hex digest of a module's directory: the names, contents and executable bits of `conf` and `bin`; and when any of it was
/// changed last, seconds since 1970 UTC. None if nothing is there. What `config` added doesn't count: the edited module has no
/// such file, and is applied all the same. `key`: where the module's own key is, if it has one; it counts too.
pub fn signature(dir: &Path, key: &Path) -> Result<Option<(String, i64)>, FileError> {
    let mut files = Vec::new();
    for part in ["conf", "bin"] {
        collect(&dir.join(part), part, &mut files)?;
    }
    if files.is_empty() {
        return Ok(None);
    }
    files.sort();
    let mut hasher = blake3::Hasher::new_derive_key("holdfast module signature 1");
    let mut changed = 0;
    for name in files {
        let path = dir.join(&name);
        let contents = fs::read(&path).map_err(failed("read", &path))?;
        if name.starts_with("bin/") && is_added_by_config(&contents) {
            continue;
        }
        let data = fs::metadata(&path).map_err(failed("look at", &path))?;
        let executable = name.starts_with("bin/") || data.permissions().mode() & 0o111 != 0;
        for field in [name.as_bytes(), &contents] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        hasher.update(&[u8::from(executable)]);
        changed = changed.max(data.mtime());
    }
    if let Some(key) = read_if_there(key)? {
        let digest = blake3::derive_key("holdfast module key in a signature 1", key.trim().as_bytes());
        hasher.update(&digest);
    }
    Ok(Some((hasher.finalize().to_hex().to_string(), changed)))
}

/// The digest of what is applied: equal on two nodes exactly if the files and the addresses of names are. And when a file was changed last.
pub fn applied_signature(applied: &Path, key: &Path) -> Result<(String, i64), FileError> {
    let (files, changed) = signature(applied, key)?.unwrap_or_default();
    let names = kept_names(applied)?;
    if names.is_empty() {
        return Ok((files, changed));
    }
    let mut hasher = blake3::Hasher::new_derive_key("holdfast module signature with names 1");
    hasher.update(files.as_bytes()).update(names.to_xml().as_bytes());
    Ok((hasher.finalize().to_hex().to_string(), changed))
}

/// The names of all files below `dir`, with `prefix` before them; none if it isn't there.
fn collect(dir: &Path, prefix: &str, files: &mut Vec<String>) -> Result<(), FileError> {
    for name in names_in(dir)? {
        let (path, name) = (dir.join(&name), format!("{prefix}/{name}"));
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else {
            files.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_says_whether_two_configurations_are_the_same() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let make = |name: &str, script: &str, text: &str| {
            let dir = place.path().join(name);
            fs::create_dir_all(dir.join("conf")).expect("a directory");
            fs::create_dir_all(dir.join("bin")).expect("a directory");
            fs::write(dir.join("conf/userconfig.xml"), "<safe/>").expect("a file");
            fs::write(dir.join("bin").join(script), text).expect("a file");
            signature(&dir, &place.path().join("key")).expect("it can be read").expect("it is there").0
        };
        let one = make("one", "start_prim", "x");
        assert_eq!(make("two", "start_prim", "x"), one);
        assert_ne!(make("three", "start_prim", "y"), one);
        assert_ne!(make("four", "stop_prim", "x"), one);
        let added = format!("{ADDED_BY_CONFIG} for something\n");
        fs::write(place.path().join("two/bin/added"), added).expect("a file");
        let script = format!("#!/bin/sh\n{ADDED_BY_CONFIG} for something else\n");
        fs::write(place.path().join("two/bin/stop_prim"), script).expect("a file");
        assert_eq!(make("two", "start_prim", "x"), one, "what config adds is no difference");
        fs::write(place.path().join("key"), "5a".repeat(32)).expect("a file");
        assert_ne!(make("two", "start_prim", "x"), one, "a key of its own is one");
        let none = place.path().join("none");
        assert_eq!(signature(&none, &none).expect("nothing is no error"), None);
    }

    #[test]
    fn addresses_of_names_count_in_the_signature_of_what_is_applied() {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(place.path().join("conf")).expect("a directory");
        fs::write(place.path().join("conf/userconfig.xml"), "<safe/>").expect("a file");
        let of = || applied_signature(place.path(), &place.path().join("key")).expect("it can be read");
        let plain = of();
        assert_eq!(signature(place.path(), &place.path().join("key")).expect("it can be read"), Some(plain.clone()));
        let with = |last| {
            let mut names = Addresses::default();
            names.put("vip.example", IpAddr::from([10, 0, 0, last]));
            keep_names(place.path(), &names).expect("it is written");
            of().0
        };
        let (one, two) = (with(1), with(2));
        assert!(one != two && one != plain.0 && with(1) == one);
    }
}
