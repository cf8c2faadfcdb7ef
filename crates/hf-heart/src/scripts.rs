//! User scripts: each run is a task; its end comes back as an input.

use crate::application::Application;
use crate::event::{Event, Events};
use hf_config::{Logging, User};
use hf_exec::{ScriptSpec, run_or_kill, truncate_userlog};
use hf_host::{Paths, environment};
use hf_node::heart::HeartInput;
use hf_types::{ModuleName, RunId, Script};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

pub struct Scripts {
    bin: PathBuf,
    environment: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    application: Application,
    events: Events,
    /// Dropping the sender kills the run.
    running: BTreeMap<RunId, oneshot::Sender<()>>,
}

impl Scripts {
    pub fn new(
        paths: &Paths,
        module: &ModuleName,
        user: Option<&User>,
        application: Application,
        events: Events,
    ) -> Scripts {
        let log = paths.user_var(module).join("userlog.ulog");
        if let Some(user) = user
            && let Err(error) = truncate_userlog(&log, user.userlog_kb)
        {
            tracing::warn!(%error, "the user log can't be shortened");
        }
        let logged = user.is_none_or(|user| user.logging == Logging::Userlog);
        Scripts {
            bin: paths.user_bin(module),
            environment: environment::of_scripts(paths, module, user),
            log_file: logged.then_some(log),
            application,
            events,
            running: BTreeMap::new(),
        }
    }

    pub fn run(&mut self, run: RunId, script: Script, args: Vec<String>, timeout: Option<Duration>) {
        let (kill, killed) = oneshot::channel();
        self.running.insert(run, kill);
        let (path, env, log_file) = (self.bin.join(script.as_str()), self.environment.clone(), self.log_file.clone());
        let (application, events) = (self.application.clone(), self.events.clone());
        tokio::spawn(async move {
            let cgroup = Some(application.cgroup());
            let spec = ScriptSpec { path, args, env, timeout, log_file, cgroup, term_grace: None };
            let ran = run_or_kill(&spec, async { drop(killed.await) }).await;
            // The loop only goes away with the whole process.
            drop(events.send(Event::Input(HeartInput::ScriptEnded { run, script, outcome: ran.outcome })));
        });
    }

    /// Ends a run with its process group; its `ScriptEnded` follows.
    pub fn kill(&mut self, run: RunId) {
        self.running.remove(&run);
    }

    /// To be told of every end, so that nothing is kept for a run that is over.
    pub fn ended(&mut self, run: RunId) {
        self.running.remove(&run);
    }
}
