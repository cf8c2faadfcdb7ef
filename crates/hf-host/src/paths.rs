use hf_types::ModuleName;
use std::path::{Path, PathBuf};

/// The directory among the installed modules that is none.
pub const LAST_CONFIGS: &str = "lastconfig";

/// The two roots of an installation and what lies below them (docs/internals/files.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    safe: PathBuf,
    safevar: PathBuf,
}

impl Paths {
    /// The roots as the environment says: `SAFE` (default `/opt/holdfast`) and `SAFEVAR` (default `/var/holdfast`).
    pub fn from_environment() -> Paths {
        let root = |name, default| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Paths::new(root("SAFE", "/opt/holdfast"), root("SAFEVAR", "/var/holdfast"))
    }

    /// Given roots.
    pub fn new(safe: PathBuf, safevar: PathBuf) -> Paths {
        Paths { safe, safevar }
    }

    pub fn safe(&self) -> &Path {
        &self.safe
    }

    pub fn safevar(&self) -> &Path {
        &self.safevar
    }

    /// What `<vhost>` preloads into programs.
    pub fn vhost_library(&self) -> PathBuf {
        self.safe.join("private/lib/libhf_vhost.so")
    }

    /// Packaged modules.
    pub fn packages(&self) -> PathBuf {
        self.safe.join("Application_Modules")
    }

    /// Installed modules, as the administrator edits them.
    pub fn edited_modules(&self) -> PathBuf {
        self.safe.join("modules")
    }

    /// An installed module, as the administrator edits it.
    pub fn edited(&self, module: &ModuleName) -> PathBuf {
        self.edited_modules().join(module.as_str())
    }

    /// Packages of the configurations that were applied last.
    pub fn last_configs(&self) -> PathBuf {
        self.edited_modules().join(LAST_CONFIGS)
    }

    /// Dumps of a module.
    pub fn snapshots(&self, module: &ModuleName) -> PathBuf {
        self.safevar.join("snapshot/modules").join(module.as_str())
    }

    /// Applied configurations.
    pub fn applied_modules(&self) -> PathBuf {
        self.safe.join("private/modules")
    }

    /// A module's applied configuration, and its id.
    pub fn applied(&self, module: &ModuleName) -> PathBuf {
        self.applied_modules().join(module.as_str())
    }

    pub fn module_id(&self, module: &ModuleName) -> PathBuf {
        self.applied(module).join("id")
    }

    /// Keys of modules that have one of their own, as `module genkey` made them; `config` takes them into use.
    pub fn module_keys(&self) -> PathBuf {
        self.safe.join("private/module_keys")
    }

    /// The module's own key, for its next configuration.
    pub fn module_key(&self, module: &ModuleName) -> PathBuf {
        self.module_keys().join(format!("{module}.key"))
    }

    /// The module's own key that is in use. Not beside the applied configuration, which is packed and shown to others.
    pub fn applied_module_key(&self, module: &ModuleName) -> PathBuf {
        self.module_keys().join("used").join(format!("{module}.key"))
    }

    /// SAFEUSERBIN: the applied scripts.
    pub fn user_bin(&self, module: &ModuleName) -> PathBuf {
        self.applied(module).join("bin")
    }

    /// `cluster.xml` and `cluster.key`.
    pub fn cluster(&self) -> PathBuf {
        self.safevar.join("cluster")
    }

    pub fn cluster_xml(&self) -> PathBuf {
        self.cluster().join("cluster.xml")
    }

    pub fn cluster_key_before(&self) -> PathBuf {
        self.cluster().join("cluster.key.before")
    }

    pub fn cluster_key(&self) -> PathBuf {
        self.cluster().join("cluster.key")
    }

    /// What the names in `cluster.xml` were looked up as on this node.
    pub fn cluster_addresses(&self) -> PathBuf {
        self.cluster().join("cluster_ip.xml")
    }

    /// Is there if the cluster's configuration is locked.
    pub fn cluster_lock(&self) -> PathBuf {
        self.cluster().join("cluster.lock")
    }

    pub fn database(&self) -> PathBuf {
        self.safevar.join("db/holdfast.db")
    }

    pub fn run(&self) -> PathBuf {
        self.safevar.join("run")
    }

    pub fn daemon_pid(&self) -> PathBuf {
        self.run().join("daemon.pid")
    }

    /// Boot id under which a daemon started last.
    pub fn daemon_boot(&self) -> PathBuf {
        self.run().join("daemon.boot")
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.run().join("admin.sock")
    }

    /// Sockets, pid files and rings of a module.
    pub fn module_run(&self, module: &ModuleName) -> PathBuf {
        self.run().join(module.as_str())
    }

    pub fn heart_socket(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("heart.sock")
    }

    /// Where the module's rfs takes what isn't about its state: `rfsverify`, `rfsdiff`.
    pub fn rfs_socket(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("rfs.sock")
    }

    /// `heart`, `rfs` or `keeper`.
    pub fn pid_file(&self, module: &ModuleName, process: &str) -> PathBuf {
        self.module_run(module).join(format!("{process}.pid"))
    }

    /// Whether the module is meant to run, and since which boot.
    pub fn marker(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("started")
    }

    /// Restarts that detectors asked for, so far.
    pub fn loops(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("loops")
    }

    /// What `boot -m AM on|off` said last.
    pub fn boot_choice(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("boot")
    }

    /// What `checker on|off` said last.
    pub fn checker_choice(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("checker")
    }

    /// Is there after `errd off`.
    pub fn errd_off(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("errd.off")
    }

    /// What `rfssync` chose, until a synchronisation has succeeded.
    pub fn sync_policy(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("rfssync")
    }

    /// What `errd list` wrote.
    pub fn errd_list(&self, module: &ModuleName) -> PathBuf {
        self.user_var(module).join("errdlist")
    }

    /// The module's cgroup, as the daemon that made it wrote it down.
    pub fn cgroup_note(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("cgroup")
    }

    /// Written by rfs when it has stopped acknowledging because its heart is gone.
    pub fn rfs_fenced(&self, module: &ModuleName) -> PathBuf {
        self.module_run(module).join("rfs.fenced")
    }

    /// SAFEUSERVAR.
    pub fn user_var(&self, module: &ModuleName) -> PathBuf {
        self.safevar.join("modules").join(module.as_str())
    }
}
