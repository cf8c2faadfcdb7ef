//! `dump` and `clean` (reference 004, 9.7).

use super::{Admin, Failure, Replies, blocking};
use crate::dump::{self, Material};
use crate::event::Ask;
use crate::fence::Orphan;
use crate::modules::{self, OWN_LOG};
use hf_exec::{Liveness, PidFile, ProcessWatch};
use hf_host::files::with_causes;
use hf_store::QueryError;
use hf_types::{Caller, Command, Level, ModuleName};
use hf_wire::bus::{CleanWhat, Reply};
use std::time::Duration;

/// Every level of the log.
const ALL: [Level; 6] = [Level::C, Level::U, Level::E, Level::S, Level::I, Level::D];
/// So many of the last lines of each module go into the table of all modules.
const LINES_EACH: u32 = 20_000;
/// How long a killed heart may take to be gone, and the daemon to notice.
const GONE_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Admin {
    pub(super) async fn dump(&self, module: ModuleName) -> Replies {
        let status = self.look().await?.status;
        let paths = self.paths.clone();
        let name = module.clone();
        let known = modules::names(&self.paths)?;
        let gathered = self
            .look_at(&module, move |store, module| {
                let own = OWN_LOG.parse().ok();
                let logs = known.into_iter().chain(own).map(|name| {
                    let lines = store.log(&name, LINES_EACH, &ALL)?;
                    Ok((name, lines))
                });
                let logs = logs.collect::<Result<Vec<_>, QueryError>>()?;
                Ok(Material {
                    logs,
                    log: store.log(module, u32::MAX, &ALL)?,
                    history: store.resources(module, None, u32::MAX)?,
                    commands: store.commands(u32::MAX)?,
                    modules: status.modules,
                    nodes: status.nodes,
                })
            })
            .await?;
        let path = blocking(move || dump::write(&paths, &name, &gathered)).await?;
        let path = path.map_err(|error| Failure::new(with_causes(&error)))?;
        Ok(vec![Reply::Saved { path: path.display().to_string() }])
    }

    pub(super) async fn clean(&self, module: ModuleName, what: CleanWhat) -> Replies {
        if matches!(what, CleanWhat::Process | CleanWhat::All) {
            self.clean_processes(&module).await?;
        }
        if matches!(what, CleanWhat::Log | CleanWhat::All) {
            // What lies in the rings would come back.
            self.look_at(&module, |store, module| {
                store.clean_log(module);
                Ok(())
            })
            .await?;
        }
        if matches!(what, CleanWhat::Resource | CleanWhat::All) {
            self.store.clean_resources(&module);
        }
        Ok(Vec::new())
    }

    /// Kills the heart, which fences the module, and makes sure that it is not started again by itself.
    async fn clean_processes(&self, module: &ModuleName) -> Result<(), Failure> {
        if self.look().await?.running.contains(module) {
            kill_heart(&self.paths.pid_file(module, "heart")).await?;
            let until = tokio::time::Instant::now() + GONE_PATIENCE;
            while self.look().await?.running.contains(module) && tokio::time::Instant::now() < until {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let ask = Ask::Control { module: module.clone(), command: Command::Forcestop, by: Caller::system() };
            return self.ask(ask).await.map(drop);
        }
        let loaded = {
            let (paths, given) = (self.paths.clone(), self.given.clone());
            blocking(move || crate::load::load(&paths, given)).await?
        };
        let configured = loaded.modules.into_iter().find(|(name, _)| name == module).map(|(_, configured)| configured);
        Orphan { paths: self.paths.clone(), module: module.clone(), configured }.kill_all().await;
        Ok(())
    }
}

async fn kill_heart(pid_file: &std::path::Path) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::new(format!("the heart can't be killed: {}", with_causes(error)));
    let Liveness::Alive(identity) = PidFile::verify(pid_file).map_err(|error| failed(&error))? else {
        return Ok(());
    };
    let process = ProcessWatch::open(identity).map_err(|error| failed(&error))?;
    process.kill().map_err(|error| failed(&error))?;
    match tokio::time::timeout(GONE_PATIENCE, process.exited()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(Failure::new("the heart was killed and is still there: it waits in the kernel")),
    }
}
