//! `rfssync` (reference 004, 13.6.4.9).

use super::{Admin, Failure, Replies, blocking};
use crate::event::Ask;
use hf_host::files::with_causes;
use hf_host::{module, settings};
use hf_types::{ModuleName, SyncPolicy};
use hf_wire::bus::Reply;

impl Admin {
    /// What is chosen is on the disk before anybody goes by it, also for a module that is stopped.
    pub(super) async fn rfssync(&self, module: ModuleName, set: Option<SyncPolicy>) -> Replies {
        if !self.paths.applied(&module).exists() {
            return Err(self.unknown(&module));
        }
        let (paths, given, of, chosen) = (self.paths.clone(), self.given.clone(), module.clone(), set.clone());
        let kept = blocking(move || {
            let cluster = super::cluster_of(&paths, given).map_err(|error| with_causes(&error))?;
            let applied = module::load(&paths, &of, &cluster).map_err(|error| with_causes(&error))?;
            if applied.config.rfs.is_none() {
                return Err(format!("{of} replicates nothing: it has no <rfs>"));
            }
            if let Some(policy) = chosen {
                settings::keep_sync_policy(&paths, &of, &policy).map_err(|error| with_causes(&error))?;
            }
            settings::sync_policy(&paths, &of).map_err(|error| with_causes(&error))
        });
        let policy = kept.await?.map_err(Failure::new)?;
        match set {
            None => Ok(vec![Reply::Rfssync(policy)]),
            Some(_) => self.ask(Ask::Rfssync { module, policy }).await,
        }
    }
}
