//! The cgroup of what the module's scripts start.

use hf_exec::{CgroupError, ModuleCgroup};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// `HOLDFAST_CGROUP/app`; without cgroups the scripts' process groups.
#[derive(Clone)]
pub struct Application(Arc<ModuleCgroup>);

impl Application {
    pub fn prepare() -> Result<Application, CgroupError> {
        let parent = std::env::var_os("HOLDFAST_CGROUP");
        Ok(Application(Arc::new(ModuleCgroup::create(parent.as_deref().map(Path::new), "app")?)))
    }

    pub fn cgroup(&self) -> &ModuleCgroup {
        &self.0
    }

    /// Ends all of it, in the background: what hangs in the kernel is not waited for.
    pub fn kill(&self) {
        let group = self.0.clone();
        tokio::spawn(async move {
            if let Err(error) = group.kill_and_wait(KILL_PATIENCE).await {
                tracing::warn!(%error, "processes of the application are left");
            }
        });
    }
}
