//! User scripts: each run is a task; its end comes back as an input.

use crate::application::Application;
use crate::event::{Event, Events};
use hf_config::{Logging, User};
use hf_exec::{Ran, ScriptSpec, run_or_kill, run_watched, truncate_userlog};
use hf_host::{Paths, environment};
use hf_node::heart::HeartInput;
use hf_types::{ModuleName, RunId, Script, ScriptOutcome};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a script waits for its log to be shortened.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

pub struct Scripts {
    module: ModuleName,
    bin: PathBuf,
    environment: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    /// `userlogsize`.
    log_limit_kb: u64,
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
        let mut scripts = Scripts {
            module: module.clone(),
            bin: paths.user_bin(module),
            environment: Vec::new(),
            log_file: None,
            log_limit_kb: 0,
            application,
            events,
            running: BTreeMap::new(),
        };
        scripts.configure(paths, module, user);
        scripts
    }

    /// What the next script on gets.
    pub fn configure(&mut self, paths: &Paths, module: &ModuleName, user: Option<&User>) {
        let log = paths.user_var(module).join("userlog.ulog");
        let logged = user.is_none_or(|user| user.logging == Logging::Userlog);
        self.environment = environment::of_scripts(paths, module, user);
        self.log_file = logged.then_some(log);
        self.log_limit_kb = user.map_or(2048, |user| user.userlog_kb);
    }

    /// The program of a `<proc>`: an absolute path, or one below the module's `bin`. Its time has no limit.
    pub fn run_handler(&mut self, run: RunId, handler: &str) {
        let (kill, killed) = oneshot::channel();
        self.running.insert(run, kill);
        let (path, env, log_file) = (self.bin.join(handler), self.environment.clone(), self.log_file.clone());
        let (application, events) = (self.application.clone(), self.events.clone());
        tokio::spawn(async move {
            let cgroup = Some(application.cgroup());
            let spec = ScriptSpec { path, env, log_file, cgroup, ..ScriptSpec::default() };
            let ran = run_or_kill(&spec, async { drop(killed.await) }).await;
            // The loop only goes away with the whole process.
            drop(events.send(Event::Input(HeartInput::HandlerEnded { run, outcome: ran.outcome })));
        });
    }

    pub fn run(&mut self, run: RunId, script: Script, args: Vec<String>, timeout: Option<Duration>) {
        let (kill, killed) = oneshot::channel();
        self.running.insert(run, kill);
        let (path, env, log_file) = (self.bin.join(script.as_str()), self.environment.clone(), self.log_file.clone());
        let (application, events, limit_kb) = (self.application.clone(), self.events.clone(), self.log_limit_kb);
        tokio::spawn(async move {
            if let Some(log) = log_file.clone() {
                // Before its first line, so that a module that runs for years has a bounded log, too.
                let shortened = aside(move || truncate_userlog(&log, limit_kb).map(drop));
                if tokio::time::timeout(LOG_PATIENCE, shortened).await.is_err() {
                    tracing::warn!("the user log's disk does not answer");
                }
            }
            let cgroup = Some(application.cgroup());
            let spec = ScriptSpec { path, args, env, timeout, log_file, cgroup, ..ScriptSpec::default() };
            // The loop only goes away with the whole process.
            let tell = |input| drop(events.send(Event::Input(input)));
            let hangs = |hang| tell(HeartInput::ScriptHangs { run, script, hang });
            let Ran { outcome, log, not_logged, .. } = run_watched(&spec, async { drop(killed.await) }, hangs).await;
            if let Some(why) = not_logged {
                tell(HeartInput::ScriptNotLogged { script, why });
            }
            let missing = outcome == ScriptOutcome::Missing;
            tell(HeartInput::ScriptEnded { run, script, outcome });
            if let Some(log) = log.filter(|_| !missing) {
                aside(move || log.save(limit_kb).map(drop)).await;
            }
        });
    }

    pub fn module(&self) -> &str {
        self.module.as_str()
    }

    /// A program of the module in the surroundings of its scripts: `path` is relative to SAFEUSERBIN.
    pub fn program(&self, path: &str, args: Vec<String>) -> Program {
        Program {
            path: self.bin.join(path),
            args,
            env: self.environment.clone(),
            log_file: self.log_file.clone(),
            application: self.application.clone(),
        }
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

/// What is run, and all that it needs.
pub struct Program {
    path: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log_file: Option<PathBuf>,
    application: Application,
}

impl Program {
    /// Without a time-out.
    pub fn spec(&self) -> ScriptSpec<'_> {
        ScriptSpec {
            path: self.path.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            log_file: self.log_file.clone(),
            cgroup: Some(self.application.cgroup()),
            ..ScriptSpec::default()
        }
    }
}

/// Work with the user log, away from the loop. A disk that is full keeps no script from running.
async fn aside(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the user log"),
        Err(error) => tracing::warn!(%error, "the user log"),
    }
}
