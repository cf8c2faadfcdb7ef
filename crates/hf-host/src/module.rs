//! A module's applied configuration.

use crate::Paths;
use crate::files::{FileError, read_if_there};
use hf_config::{Cluster, Diagnostics, ModuleConfig, parse_module};
use hf_types::ModuleName;

/// Why a module can't be started with what is applied.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the module {0} is not configured on this node: run 'holdfast config -m {0}'")]
    NotConfigured(ModuleName),
    #[error("the applied configuration of {module} has errors:\n{text}")]
    Invalid { module: ModuleName, text: String },
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
    let config = parse_module(&text, &file.to_string_lossy(), module.as_str(), Some(cluster), &environment);
    let invalid = |errors: Diagnostics| ModuleError::Invalid { module: module.clone(), text: errors.render(false) };
    let id = read_if_there(&paths.module_id(module))?.and_then(|text| text.trim().parse().ok());
    Ok(Applied { id: id.ok_or_else(|| ModuleError::NoId(module.clone()))?, config: config.map_err(invalid)? })
}

/// UDP port of a module's heartbeats (reference 004, 10.3.3.2.2).
pub fn heart_port(id: u32) -> u16 {
    port(8888, id, 1)
}

/// TCP port of a module's replication (reference 004, 10.3.3.2.2).
pub fn rfs_port(id: u32) -> u16 {
    port(5600, id, 4)
}

fn port(first: u32, id: u32, step: u32) -> u16 {
    let port = first + id.saturating_sub(1) * step;
    u16::try_from(port).unwrap_or(u16::MAX) // ids are small: they are counted from 1
}
