//! What is done in place of a dead heart (docs/internals/processes.md). Each step reports what went wrong and ends in its
//! answer all the same: the next step must come.

use crate::modules::Configured;
use hf_config::ModuleConfig;
use hf_exec::{Liveness, ModuleCgroup, PidFile, ProcessWatch, ScriptSpec, run as run_script_file};
use hf_host::files::with_causes;
use hf_host::{Paths, environment, fuse};
use hf_net::{LinuxVirtualIp, VirtualIp};
use hf_types::{ModuleName, Script, ScriptOutcome};
use std::path::Path;
use std::time::Duration;

/// How long rfs may take to say by itself that it has stopped acknowledging.
const FENCE_PATIENCE: Duration = Duration::from_millis(300);
const FENCE_POLL: Duration = Duration::from_millis(5);
/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A module whose heart is dead, and where to tell what went wrong.
#[derive(Clone)]
pub struct Orphan {
    pub paths: Paths,
    pub module: ModuleName,
    pub configured: Option<Configured>,
}

impl Orphan {
    fn config(&self) -> Option<&ModuleConfig> {
        self.configured.as_ref().map(|configured| &configured.config)
    }

    fn warn(&self, what: &str, error: &str) {
        tracing::warn!(module = %self.module, "{what}: {error}");
    }

    /// A living process of the module.
    fn process(&self, name: &str) -> Option<ProcessWatch> {
        match PidFile::verify(&self.paths.pid_file(&self.module, name)) {
            Ok(Liveness::Alive(identity)) => ProcessWatch::open(identity).ok(),
            Ok(_) => None,
            Err(error) => {
                self.warn("a pid file can't be read", &with_causes(&error));
                None
            }
        }
    }

    /// Returns when rfs acknowledges nothing any more: because it is dead, because it said so, or because it was killed.
    pub async fn fence_rfs(&self) {
        let Some(rfs) = self.process("rfs") else {
            return;
        };
        let said = tokio::time::timeout(FENCE_PATIENCE, self.wait_until_fenced(&rfs)).await;
        if said.is_err() {
            self.warn("rfs", "it didn't say that it stopped acknowledging: killed");
            self.kill("rfs", &rfs).await;
        }
    }

    /// Rfs writes its own identity into the file, so that an old file never counts.
    async fn wait_until_fenced(&self, rfs: &ProcessWatch) {
        let identity = rfs.identity().to_string();
        let file = self.paths.rfs_fenced(&self.module);
        loop {
            let dead = matches!(rfs.is_alive(), Ok(false));
            let said = std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == identity);
            if dead || said {
                return;
            }
            tokio::time::sleep(FENCE_POLL).await;
        }
    }

    async fn kill(&self, name: &str, process: &ProcessWatch) {
        if let Err(error) = process.kill() {
            self.warn("killing failed", &format!("{name}: {error}"));
        }
        if tokio::time::timeout(KILL_PATIENCE, process.exited()).await.is_err() {
            self.warn("killing failed", &format!("{name} is still there"));
        }
    }

    /// Takes the virtual addresses away.
    pub fn clear_vips(&self) {
        let Some(config) = self.config() else { return };
        let mut addresses = config.moving_addresses().peekable();
        if addresses.peek().is_none() {
            return;
        }
        let mut network = match LinuxVirtualIp::open() {
            Ok(network) => network,
            Err(error) => return self.warn("virtual addresses", &error.to_string()),
        };
        let reset = config.vip.as_ref().is_some_and(|vip| vip.tcp_reset);
        for (_, address) in addresses {
            if let Err(error) = network.clear(address.addr, reset) {
                self.warn("virtual address", &with_causes(&error));
            }
        }
    }

    /// Runs one of the module's scripts as its heart would.
    pub async fn run_script(&self, script: Script, args: Vec<String>, timeout: Duration) -> ScriptOutcome {
        let cgroup = self.app_cgroup();
        let log = self.paths.user_var(&self.module).join("userlog.ulog");
        let user = self.config().and_then(|config| config.user.as_ref());
        let logged = user.is_none_or(|user| user.logging == hf_config::Logging::Userlog);
        let spec = ScriptSpec {
            path: self.paths.user_bin(&self.module).join(script.as_str()),
            args,
            env: environment::of_scripts(&self.paths, &self.module, user),
            timeout: Some(timeout),
            log_file: logged.then_some(log),
            cgroup: cgroup.as_ref(),
            ..ScriptSpec::default()
        };
        run_script_file(&spec).await.outcome
    }

    /// The cgroup of what the module's scripts started, as the heart made it.
    fn app_cgroup(&self) -> Option<ModuleCgroup> {
        let note = std::fs::read_to_string(self.paths.cgroup_note(&self.module)).ok()?;
        match ModuleCgroup::create(Some(Path::new(note.trim())), "app") {
            Ok(cgroup) => Some(cgroup),
            Err(error) => {
                self.warn("the module's cgroup", &with_causes(&error));
                None
            }
        }
    }

    /// Whoever waits in a mount of the module gets an error.
    pub fn abort_mounts(&self) {
        for dir in self.replicated_dirs() {
            self.abort_fuse(&dir);
        }
    }

    /// Ends whatever is left of the module. First the FUSE connections are aborted: who waits in one can't be killed.
    pub async fn kill_all(&self) {
        self.abort_mounts();
        if let Some(cgroup) = self.app_cgroup()
            && let Err(error) = cgroup.kill_and_wait(KILL_PATIENCE).await
        {
            self.warn("processes of the application", &with_causes(&error));
        }
        for name in ["rfs", "keeper"] {
            if let Some(process) = self.process(name) {
                self.kill(name, &process).await;
            }
        }
        for dir in self.replicated_dirs() {
            self.unmount(&dir);
        }
    }

    fn replicated_dirs(&self) -> Vec<String> {
        let rfs = self.config().and_then(|config| config.rfs.as_ref());
        let dirs = rfs.iter().flat_map(|rfs| &rfs.replicated);
        dirs.map(|replicated| replicated.dir.clone()).collect()
    }

    /// Only a FUSE mount that is mounted exactly there.
    fn abort_fuse(&self, dir: &str) {
        let Some(connection) = fuse::connection(dir) else {
            return;
        };
        let listed = "/sys/fs/fuse/connections";
        let file = format!("{listed}/{connection}/abort");
        let mut aborted = std::fs::write(&file, "1");
        if aborted.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            // Not every system mounts the list.
            let flags = nix::mount::MsFlags::empty();
            let mounted = nix::mount::mount(Some("fusectl"), listed, Some("fusectl"), flags, None::<&str>);
            aborted = mounted.map_err(std::io::Error::from).and_then(|()| std::fs::write(&file, "1"));
        }
        if let Err(error) = aborted {
            self.warn("aborting the mount", &format!("{file}: {error}"));
        }
    }

    fn unmount(&self, dir: &str) {
        while fuse::connection(dir).is_some() {
            if let Err(error) = nix::mount::umount2(dir, nix::mount::MntFlags::MNT_DETACH) {
                return self.warn("unmounting", &format!("{dir}: {error}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
