//! Where things are: `SAFE` and `SAFEVAR` (docs/internals/files.md).

use std::path::PathBuf;

use hf_types::ModuleName;

/// The two roots of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) safe: PathBuf,
    pub(crate) safevar: PathBuf,
}

impl Paths {
    /// From the environment, else the defaults.
    pub(crate) fn from_environment() -> Paths {
        let root = |name: &str, default: &str| match std::env::var_os(name) {
            Some(value) if !value.is_empty() => PathBuf::from(value),
            _ => PathBuf::from(default),
        };
        Paths { safe: root("SAFE", "/opt/holdfast"), safevar: root("SAFEVAR", "/var/holdfast") }
    }

    /// The daemon's socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.safevar.join("run/admin.sock")
    }

    /// A started module's own socket.
    pub(crate) fn heart_socket(&self, module: &ModuleName) -> PathBuf {
        self.safevar.join("run").join(module.as_str()).join("heart.sock")
    }

    /// What `errd list` wrote.
    pub(crate) fn errd_list(&self, module: &ModuleName) -> PathBuf {
        self.safevar.join("modules").join(module.as_str()).join("errdlist")
    }

    /// An installed module as the administrator edits it.
    pub(crate) fn module(&self, module: &ModuleName) -> PathBuf {
        self.safe.join("modules").join(module.as_str())
    }

    /// What is exported to scripts, for one module or for none (reference 004, 10.1).
    pub(crate) fn variables(&self, module: Option<&ModuleName>) -> Vec<(&'static str, PathBuf)> {
        let mut all = vec![
            ("SAFE", self.safe.clone()),
            ("SAFEVAR", self.safevar.clone()),
            ("SAFEBIN", self.safe.join("private/bin")),
        ];
        if let Some(module) = module {
            all.push(("SAFEMODULE", PathBuf::from(module.as_str())));
            all.push(("SAFEUSERBIN", self.safe.join("private/modules").join(module.as_str()).join("bin")));
            all.push(("SAFEUSERVAR", self.safevar.join("modules").join(module.as_str())));
        }
        all
    }
}
