//! The first moments of a daemon: what runs already, what died meanwhile, what a boot asks for.

use crate::event::{Ask, Event, Loaded};
use crate::load::load;
use crate::marker::{self, Marker};
use crate::modules::{Configured, ModuleError};
use crate::shell::Shell;
use hf_config::Boot;
use hf_host::Paths;
use hf_host::files::with_causes;
use hf_host::{clock, random};
use hf_node::daemon::{DaemonActor, DaemonInput, HeartExit, boot_word, starts_at_boot};
use hf_types::{Caller, Command, Event as LogEvent, Incarnation, ModuleName, NodeName};
use hf_wire::bus::BootStatus;
use std::time::Duration;
use tokio::sync::oneshot;

/// `boot -m AM on|off`: kept unless the configuration decides.
///
/// # Errors
/// When the module is not configured, its attribute `boot` decides, or the file can't be written.
pub(crate) fn choose(paths: &Paths, given: Option<NodeName>, module: &ModuleName, on: bool) -> Result<(), ModuleError> {
    let loaded = load(paths, given);
    let found = loaded.modules.iter().find(|(name, _)| name == module);
    let Some((_, configured)) = found else {
        return Err(ModuleError::NotInstalled { module: module.clone() });
    };
    if configured.boot() != Boot::Ignore {
        return Err(ModuleError::BootIsConfigured { module: module.clone() });
    }
    Ok(marker::tell_boot(paths, module, on)?)
}

/// How it is, of one module or of all.
pub(crate) fn statuses(loaded: &Loaded, only: Option<&ModuleName>) -> Vec<BootStatus> {
    let wanted = |module: &ModuleName| only.is_none_or(|only| only == module);
    let status = |(module, configured): &(ModuleName, Configured)| BootStatus {
        module: module.clone(),
        boot: boot_word(configured.boot(), configured.boot_told).to_owned(),
        by: if configured.boot() == Boot::Ignore { "command" } else { "userconfig.xml" }.to_owned(),
    };
    loaded.modules.iter().filter(|(module, _)| wanted(module)).map(status).collect()
}

impl Shell {
    /// Takes over what is there: configuration, hearts that live, and what a boot asks for.
    pub(crate) fn begin(&mut self) {
        let loaded = load(&self.paths, self.given.clone());
        let config = self.take_over(loaded);
        self.actor = DaemonActor::new(config);
        let boot = clock::boot_id();
        let booted = std::fs::read_to_string(self.paths.daemon_boot()).map_or(true, |text| text.trim() != boot);
        let living = self.hearts.adopt_all();
        let dead = if booted { Vec::new() } else { self.find_dead() };
        let incarnation = Incarnation(random::number());
        let adopted = living.into_iter().chain(dead.clone()).collect();
        self.feed(DaemonInput::Started { incarnation, adopted });
        for module in dead {
            self.feed(DaemonInput::HeartGone { module, exit: HeartExit::Died });
        }
        if booted {
            for (module, configured) in self.modules.clone() {
                self.boot_module(&module, &configured, &boot);
            }
        }
        self.notes.booted(&boot);
    }

    /// First start after a boot (reference 004, 13.2.3 `boot`).
    fn boot_module(&mut self, module: &ModuleName, configured: &Configured, boot: &str) {
        let marker = self.marker(module);
        if matches!(&marker, Some(Marker::Running { boot: of }) if of != boot) {
            self.log(Some(module), &LogEvent::PreviousHaltUnexpected);
            self.notes.mark(module, Some(Marker::Halted));
        }
        if !starts_at_boot(configured.boot(), configured.boot_told, marker.is_some()) {
            return self.notes.mark(module, None);
        }
        let (events, module) = (self.events.clone(), module.clone());
        let delay = Duration::from_millis(configured.config.service.boot_delay_ms);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let ask = Ask::Control { module, command: Command::Start, by: Caller::boot() };
            let (answer, answered) = oneshot::channel();
            if events.send(Event::Ask { ask, answer }).await.is_ok()
                && let Ok(Err(why)) = answered.await
            {
                tracing::warn!("start at boot: {why}");
            }
        });
    }

    /// After a restart of the daemon alone: modules that were running and whose heart is gone without having removed its socket
    /// lost their heart meanwhile.
    fn find_dead(&self) -> Vec<ModuleName> {
        let without_heart = self.modules.keys().filter(|module| !self.hearts.lives(module));
        let (dead, stopped): (Vec<_>, Vec<_>) = without_heart
            .filter(|module| matches!(self.marker(module), Some(Marker::Running { .. })))
            .cloned()
            .partition(|module| self.paths.heart_socket(module).exists());
        for module in stopped {
            self.notes.mark(&module, None);
        }
        dead
    }

    fn marker(&self, module: &ModuleName) -> Option<Marker> {
        match marker::read(&self.paths, module) {
            Ok(marker) => marker,
            Err(error) => {
                self.tell(&with_causes(&error));
                None
            }
        }
    }
}
