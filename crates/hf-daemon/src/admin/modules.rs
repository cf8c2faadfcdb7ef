//! Installed modules: which there are, putting them there, taking them away.

use super::{Admin, Failure, Replies, blocking};
use crate::load::load;
use crate::modules::{self, Installing};
use crate::{lastconfig, ports};
use hf_types::{ModuleName, Script};
use hf_wire::bus::{ModuleEntry, Reply};

impl Admin {
    pub(super) async fn install(&self, module: Option<ModuleName>, package: String, how: Installing) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        let paths = self.paths.clone();
        let (module, id) = blocking(move || modules::install(&paths, module, &package, how)).await??;
        Ok(vec![Reply::Installed { module, id }])
    }

    pub(super) async fn modules(&self) -> Replies {
        let running = self.look().await?.running;
        let paths = self.paths.clone();
        let mut modules = blocking(move || modules::installed(&paths)).await??;
        for entry in &mut modules {
            entry.running = running.contains(&entry.module);
        }
        Ok(vec![Reply::Modules { modules }])
    }

    /// `deconfig`, and with `everything` `module uninstall`.
    pub(super) async fn remove(&self, module: ModuleName, everything: bool) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        if self.look().await?.running.contains(&module) {
            let message = format!("the module {module} runs; it can be removed while it is stopped");
            return Err(Failure::hinted(message, &format!("holdfast stop -m {module}")));
        }
        // A script that fails keeps nobody from removing the module; it is said.
        let bin = self.paths.user_bin(&module);
        let undone = self.follow_with_script(&module, Script::Deconfig, &bin, "").await;
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let (left, loaded) = blocking(move || {
            let left = modules::remove(&paths, &module, everything)?;
            Ok::<_, modules::ModuleError>((left, load(&paths, given)))
        })
        .await??;
        self.reload(loaded).await?;
        let mut replies = undone.unwrap_or_else(|failure| vec![Reply::Progress { text: failure.message }]);
        replies.extend(left.into_iter().map(|text| Reply::Progress { text }));
        Ok(replies)
    }

    /// `module genkey`, `module delkey` (reference 004, 9.6).
    pub(super) async fn module_key(&self, module: ModuleName, generate: bool) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        let (paths, name) = (self.paths.clone(), module.clone());
        let text = blocking(move || {
            if generate {
                let path = modules::keys::generate(&paths, &name)?;
                return Ok(format!(
                    "The key of {name} is in {}. Copy it to the same place on the module's other nodes (owner root, mode 0600), over a \
                     connection that nobody listens to; it is used once the module is configured again on each.",
                    path.display()
                ));
            }
            Ok::<_, modules::ModuleError>(if modules::keys::delete(&paths, &name)? {
                format!("{name} has no key of its own any more: once it is configured again, the cluster's key seals what its nodes say.")
            } else {
                format!("{name} had no key of its own.")
            })
        })
        .await??;
        let then = format!("On every node of the module: holdfast stop -m {module}; holdfast config -m {module}");
        Ok([text, then].map(|text| Reply::Progress { text }).into())
    }

    pub(super) async fn ports(&self, module: ModuleName) -> Replies {
        let (paths, given, ready) = (self.paths.clone(), self.given.clone(), self.ready_port);
        let ports = blocking(move || {
            let loaded = load(&paths, given);
            let configured = loaded.modules.iter().find(|(name, _)| *name == module);
            match configured {
                Some((_, configured)) => Ok(ports::of(configured, loaded.member.as_ref(), ready)),
                None => {
                    let message = format!("the module {module} is not configured on this node");
                    Err(Failure::hinted(message, &format!("holdfast config -m {module}")))
                }
            }
        })
        .await??;
        Ok(vec![Reply::Ports { ports }])
    }

    pub(super) async fn module_info(&self, module: ModuleName) -> Replies {
        let running = self.look().await?.running.contains(&module);
        let paths = self.paths.clone();
        let info = blocking(move || {
            let mut info = modules::info(&paths, &module)?;
            info.kept = lastconfig::kept(&paths, &module)?;
            Ok::<_, modules::ModuleError>(info)
        })
        .await??;
        let entry = ModuleEntry { running, ..info.entry };
        Ok(vec![Reply::ModuleInfo(hf_wire::bus::ModuleInfo { entry, ..info })])
    }

    /// A module that nobody knows here: the nearest name that somebody does.
    pub(super) fn check_known(&self, module: &ModuleName) -> Result<(), Failure> {
        let known = modules::names(&self.paths)?;
        if known.contains(module) || module.as_str() == modules::OWN_LOG {
            return Ok(());
        }
        let message = format!("there is no module {module} on this node");
        let names = known.iter().map(ModuleName::as_str);
        let hint = match hf_config::nearest(module.as_str(), names) {
            Some(near) => format!("did you mean {near}? 'holdfast module list' shows all"),
            None => format!("holdfast module install -m {module} PACKAGE"),
        };
        Err(Failure::hinted(message, &hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_host::Paths;
    use hf_store::{Limits, Store};

    fn admin(paths: Paths) -> Admin {
        std::fs::create_dir_all(paths.database().parent().expect("a directory")).expect("a directory");
        let store = Store::open(&paths.database(), Limits::default(), drop).expect("a store");
        let (events, _) = tokio::sync::mpsc::channel(1);
        Admin { paths, given: None, ready_port: 0, events, store, changing: tokio::sync::Mutex::new(()) }
    }

    #[test]
    fn the_nearest_of_the_modules_is_named() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::new(place.path().join("safe"), place.path().join("var"));
        for module in ["postgresql", "web", "lastconfig"] {
            std::fs::create_dir_all(paths.edited_modules().join(module)).expect("a directory");
        }
        let admin = admin(paths);
        let hint = |name: &str| admin.check_known(&name.parse().expect("a name")).map_err(|failure| failure.hint);
        assert_eq!(hint("web"), Ok(()));
        assert_eq!(hint("safeadmin"), Ok(()), "the daemon's own log");
        let near = |name: &str| Err(Some(format!("did you mean {name}? 'holdfast module list' shows all")));
        assert_eq!(hint("postgrseql"), near("postgresql"));
        assert_eq!(hint("wed"), near("web"));
        let far = Err(Some("holdfast module install -m oracle PACKAGE".to_owned()));
        assert_eq!(hint("oracle"), far);
        assert_eq!(hint("lastconfig").map_err(|hint| hint.is_some()), Err(true), "that is no module");
    }
}
