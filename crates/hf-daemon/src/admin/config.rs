//! `config` and `confcheck` (reference 004, 9.6): also on a module that runs.

use super::{Admin, Failure, Replies, blocking, cluster_of, unless_empty};
use crate::event::Ask;
use crate::load::load;
use crate::modules as installed;
use hf_node::daemon::{Finding, Proposal, Verdict, judge};
use hf_types::{Colour, ModuleName, ModuleState, Script};
use hf_wire::bus::Reply;
use std::time::Duration;

/// How long the heart of a stopped module may take to leave.
const LEAVING: Duration = Duration::from_secs(3);

impl Admin {
    pub(super) async fn config(&self, module: ModuleName, dry_run: bool) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        let place = self.place_of(&module).await?;
        let (proposal, diagnostics) = self.propose(&module).await?;
        let verdict = judge(&module, place, &proposal);
        let mut replies = unless_empty(&diagnostics);
        // What runs was looked at before; it isn't disturbed.
        let found = if place.is_none() { self.prerequisites(&module).await? } else { Vec::new() };
        replies.extend(found.iter().map(|one| Reply::Progress { text: told(one) }));
        if dry_run {
            replies.extend(proposal.told(&verdict).into_iter().map(|text| Reply::Progress { text }));
            if let Verdict::Refused { message, hint } = verdict {
                replies.extend([message, hint].map(|text| Reply::Progress { text }));
            }
            replies.push(Reply::Progress { text: "Nothing was applied (dry run).".to_owned() });
            return Ok(replies);
        }
        if let Verdict::Refused { message, hint } = verdict {
            return Err(Failure::hinted(message, &hint));
        }
        if found.iter().any(|one| matches!(one, Finding::Error(_))) {
            let errors = found.iter().filter(|one| matches!(one, Finding::Error(_))).map(Finding::text);
            let errors = errors.collect::<Vec<_>>().join("; ");
            return Err(Failure::hinted(
                errors,
                &format!("nothing was changed; then again: holdfast config -m {module}"),
            ));
        }
        self.put_in_place(&module).await?;
        if verdict == Verdict::Now {
            self.ask(Ask::Reread { module: module.clone() }).await?;
            replies.extend(proposal.told(&verdict).into_iter().map(|text| Reply::Progress { text }));
        }
        let bin = self.paths.user_bin(&module);
        let done = "the configuration is applied, but: ";
        replies.extend(self.follow_with_script(&module, Script::Config, &bin, done).await?);
        Ok(replies)
    }

    /// Where the module is on this node, while its heart lives. One that is stopped and about to leave is waited for.
    async fn place_of(&self, module: &ModuleName) -> Result<Option<(ModuleState, Colour)>, Failure> {
        let end = tokio::time::Instant::now() + LEAVING;
        loop {
            let place = self.place_now(module).await?;
            let leaves = matches!(place, Some((ModuleState::Stop, _)));
            if !leaves || tokio::time::Instant::now() >= end {
                return Ok(place);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn place_now(&self, module: &ModuleName) -> Result<Option<(ModuleState, Colour)>, Failure> {
        let snapshot = self.look().await?;
        if !snapshot.running.contains(module) {
            return Ok(None);
        }
        let mut here = snapshot.status.modules.iter().filter(|status| status.node == snapshot.me);
        let place = here.find(|status| status.module == *module).map(|status| (status.state, status.colour));
        Ok(place.or(Some((ModuleState::Unknown, Colour::Grey))))
    }

    async fn propose(&self, module: &ModuleName) -> Result<(Proposal, hf_config::Diagnostics), Failure> {
        let (paths, given, name) = (self.paths.clone(), self.given.clone(), module.clone());
        blocking(move || {
            let member = hf_host::cluster::load(&paths, &hf_host::cluster::Identity::of_this_machine(given))?;
            Ok::<_, Failure>(installed::propose(&paths, &name, &member)?)
        })
        .await?
    }

    async fn put_in_place(&self, module: &ModuleName) -> Result<(), Failure> {
        let (paths, given, name) = (self.paths.clone(), self.given.clone(), module.clone());
        let loaded = blocking(move || {
            let cluster = cluster_of(&paths, given.clone())?;
            installed::config(&paths, &name, Some(&cluster))?;
            Ok::<_, Failure>(load(&paths, given))
        })
        .await??;
        self.reload(loaded).await
    }

    pub(super) async fn confcheck(&self, module: ModuleName) -> Replies {
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let name = module.clone();
        let (config, diagnostics) = blocking(move || {
            // Without a cluster the networks can't be checked; everything else can.
            let cluster = cluster_of(&paths, given).ok();
            installed::edited(&paths, &name, cluster.as_ref())
        })
        .await??;
        let mut replies = unless_empty(&diagnostics);
        replies.extend(self.edited_confcheck(&module, config.user.as_ref()).await?);
        Ok(replies)
    }
}

fn told(found: &Finding) -> String {
    match found {
        Finding::Error(text) => format!("Error: {text}"),
        Finding::Warning(text) => format!("Warning: {text}"),
    }
}
