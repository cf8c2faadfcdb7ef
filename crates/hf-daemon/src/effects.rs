use crate::event::Event;
use crate::fence::Orphan;
use crate::marker::Marker;
use crate::shell::Shell;
use hf_host::files::with_causes;
use hf_host::machine::Restarter;
use hf_node::daemon::{DaemonEffect, DaemonInput, HeartExit};
use hf_types::{Caller, Command, CommandLine, Event as LogEvent, ModuleName};
use hf_wire::bus::ModuleStatus;
use std::future::Future;
use std::time::Duration;

/// How long a machine that was asked to reboot may take for its own services.
const REBOOT_WITHIN: Duration = Duration::from_secs(600);

impl Shell {
    /// Runs one effect. What takes time becomes a task that brings its end back as an event.
    pub(crate) fn run_effect(&mut self, effect: DaemonEffect) {
        match effect {
            DaemonEffect::SendMembership { to, lan, body } => self.lanes.send(&to, &lan, &body),
            DaemonEffect::SpawnHeart { module, first, by } => self.spawn_heart(module, first, &by),
            DaemonEffect::ToHeart { module, message } => self.hearts.send(&module, &message),
            DaemonEffect::Answer { ticket, result } => {
                if let Some(answer) = self.answers.remove(&ticket) {
                    // Who asked may be gone.
                    let _gone = answer.send(result);
                }
            }
            DaemonEffect::FenceRfs { module } => {
                let orphan = self.orphan(&module);
                self.later(async move {
                    orphan.fence_rfs().await;
                    DaemonInput::RfsFenced { module }
                });
            }
            DaemonEffect::ClearVips { module } => self.clear_vips(module),
            DaemonEffect::RunScript { module, run, script, args, timeout } => {
                let orphan = self.orphan(&module);
                self.later(async move {
                    let outcome = orphan.run_script(script, args, timeout).await;
                    DaemonInput::ScriptEnded { module, run, script, outcome }
                });
            }
            DaemonEffect::AbortMounts { module } => self.abort_mounts(&module),
            DaemonEffect::KillModule { module } => {
                let orphan = self.orphan(&module);
                self.later(async move {
                    orphan.kill_all().await;
                    DaemonInput::Killed { module }
                });
            }
            DaemonEffect::Reboot { module } => self.reboot(module),
            DaemonEffect::Log { module, event } => self.log(module.as_ref(), &event),
            DaemonEffect::Publish { modules, .. } => {
                self.ready.tell(&self.me, &modules);
                self.note_states(&modules);
            }
            DaemonEffect::Exit => self.exit = true,
        }
    }

    /// The commands log tells when a module changes its state on some node (reference 004, 10.9).
    fn note_states(&mut self, modules: &[ModuleStatus]) {
        for status in modules {
            let of = (status.node.clone(), status.module.clone());
            let before = self.states.insert(of, status.state);
            if before.is_none_or(|before| before == status.state) {
                continue;
            }
            self.store.add_command(CommandLine {
                at_us: hf_host::clock::wall_us(),
                kind: "cluster".to_owned(),
                module: Some(status.module.to_string()),
                pid: 0,
                what: "I".to_owned(),
                text: format!("module state change on node {}", status.node),
            });
        }
    }

    fn spawn_heart(&mut self, module: ModuleName, first: Command, by: &Caller) {
        self.notes.mark(&module, Some(Marker::Running { boot: hf_host::clock::boot_id() }));
        let Err(error) = self.hearts.spawn(&self.me.clone(), &module, first, by) else {
            return;
        };
        let event = LogEvent::ProcessDied { process: "heart".to_owned(), detail: with_causes(&error) };
        self.log(Some(&module), &event);
        // Through the queue, not at once: the actor is in the middle of an input.
        self.later(async move { DaemonInput::HeartGone { module, exit: HeartExit::Died } });
    }

    /// In good order: whoever restarts the machine ends this daemon, which stops the other modules first.
    fn reboot(&mut self, module: ModuleName) {
        self.notes.mark(&module, Some(Marker::Halted));
        self.later(async move {
            let done = tokio::task::spawn_blocking(|| Restarter::find()?.reboot()).await;
            let why = match done {
                // Unless the machine goes on after a while all the same.
                Ok(Ok(())) => {
                    tokio::time::sleep(REBOOT_WITHIN).await;
                    "it was asked to reboot and runs on".to_owned()
                }
                Ok(Err(error)) => with_causes(&error),
                Err(error) => error.to_string(),
            };
            DaemonInput::RebootFailed { module, why }
        });
    }

    fn clear_vips(&self, module: ModuleName) {
        let (orphan, events) = (self.orphan(&module), self.events.clone());
        tokio::task::spawn_blocking(move || {
            orphan.clear_vips();
            // The loop only goes away with the whole daemon.
            let _gone = events.blocking_send(Event::Input(DaemonInput::VipsCleared { module }));
        });
    }

    /// Beside the loop: reading the list of mounts may take a moment.
    fn abort_mounts(&self, module: &ModuleName) {
        let orphan = self.orphan(module);
        tokio::task::spawn_blocking(move || orphan.abort_mounts());
    }

    fn orphan(&self, module: &ModuleName) -> Orphan {
        Orphan { paths: self.paths.clone(), module: module.clone(), configured: self.modules.get(module).cloned() }
    }

    fn later(&self, work: impl Future<Output = DaemonInput> + Send + 'static) {
        let events = self.events.clone();
        tokio::spawn(async move {
            let input = work.await;
            if events.send(Event::Input(input)).await.is_err() {
                tracing::debug!("the loop is gone");
            }
        });
    }
}
