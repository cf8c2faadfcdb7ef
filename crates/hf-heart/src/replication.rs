//! Keeper and rfs as processes, and the connection that rfs makes.

use crate::event::{Event, Events};
use hf_bus::Outbox;
use hf_exec::{Identity, Liveness, PidFile, ProcessWatch};
use hf_host::Paths;
use hf_host::files::with_causes;
use hf_node::heart::HeartInput;
use hf_types::{ModuleName, NodeName};
use hf_wire::bus::HeartToRfs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

/// How long a keeper may take to listen.
const KEEPER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a killed rfs may take to be gone; one that waits in the kernel is freed by an abort.
const GONE_PATIENCE: Duration = Duration::from_secs(10);

pub struct Replication {
    paths: Paths,
    module: ModuleName,
    me: NodeName,
    events: Events,
    /// The connection of the rfs that lives; messages to none are kept by the actor, which says them again.
    link: Option<(u64, Outbox)>,
    /// Number of the latest start.
    run: u64,
    lives: bool,
}

impl Replication {
    pub fn new(paths: Paths, module: ModuleName, me: NodeName, events: Events) -> Replication {
        Replication { paths, module, me, events, link: None, run: 0, lives: false }
    }

    /// Starts what is missing of keeper and rfs, in the background. An rfs that outlived the heart before is ended first: it knows
    /// another heart's word.
    pub fn spawn(&mut self) {
        self.run += 1;
        self.lives = true;
        let starter = Starter {
            paths: self.paths.clone(),
            module: self.module.clone(),
            me: self.me.clone(),
            run: self.run,
            events: self.events.clone(),
        };
        tokio::spawn(starter.start());
    }

    pub fn connected(&mut self, link: u64, outbox: Outbox) {
        self.link = Some((link, outbox));
    }

    /// Whether messages of this connection still count.
    pub fn is_current(&self, link: u64) -> bool {
        self.link.as_ref().is_some_and(|(current, _)| *current == link)
    }

    pub fn disconnected(&mut self, link: u64) {
        if self.is_current(link) {
            self.link = None;
        }
    }

    /// The end of run `run`, if that is the one that counts.
    pub fn exited(&mut self, run: u64) -> Option<HeartInput> {
        (run == self.run && std::mem::take(&mut self.lives)).then(|| {
            self.link = None;
            HeartInput::RfsGone
        })
    }

    pub fn send(&mut self, message: &HeartToRfs) {
        let Some((link, outbox)) = &self.link else {
            tracing::debug!(?message, "no rfs to tell");
            return;
        };
        if let Err(error) = outbox.send(message) {
            tracing::warn!(error = %with_causes(&error), link, "rfs can't be told");
            self.link = None;
        }
    }

    /// Ends rfs at once; `dirs` are the mounts to abort first, if any.
    pub fn kill(&mut self, dirs: &[String]) {
        for dir in dirs {
            abort_mount(dir);
        }
        match process(&self.paths, &self.module, "rfs") {
            Some(rfs) => {
                if let Err(error) = rfs.kill() {
                    tracing::warn!(%error, "rfs can't be killed");
                }
            }
            None => tracing::debug!("no rfs to kill"),
        }
    }

    /// Ends the keeper of a module that is stopped.
    pub fn end_keeper(&self) {
        if let Some(keeper) = process(&self.paths, &self.module, "keeper")
            && let Err(error) = keeper.terminate()
        {
            tracing::warn!(%error, "the keeper can't be ended");
        }
    }
}

struct Starter {
    paths: Paths,
    module: ModuleName,
    me: NodeName,
    run: u64,
    events: Events,
}

impl Starter {
    async fn start(self) {
        let why = match self.try_start().await {
            Ok(watch) => match watch.exited().await {
                Ok(()) => "its process ended".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error,
        };
        // The loop only goes away with the whole process.
        drop(self.events.send(Event::RfsExited { run: self.run, why }));
    }

    async fn try_start(&self) -> Result<ProcessWatch, String> {
        self.end_predecessor().await?;
        self.start_keeper().await?;
        self.start_process("rfs").map_err(|error| format!("rfs can't be started: {error}"))
    }

    async fn end_predecessor(&self) -> Result<(), String> {
        let Some(old) = process(&self.paths, &self.module, "rfs") else {
            return Ok(());
        };
        old.kill().map_err(|error| format!("the rfs before can't be killed: {error}"))?;
        tokio::time::timeout(GONE_PATIENCE, old.exited())
            .await
            .map_err(|_| "the rfs before was killed and is still there".to_owned())?
            .map_err(|error| format!("the rfs before can't be watched: {error}"))
    }

    async fn start_keeper(&self) -> Result<(), String> {
        let socket = self.paths.module_run(&self.module).join("keeper.sock");
        let watch = match process(&self.paths, &self.module, "keeper") {
            Some(_) => return Ok(()),
            None => self.start_process("keeper").map_err(|error| format!("the keeper can't be started: {error}"))?,
        };
        let ready = async {
            while process(&self.paths, &self.module, "keeper").is_none() || !socket.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(KEEPER_PATIENCE, ready) => ready.map_err(|_| "the keeper doesn't listen".to_owned()),
            _ = watch.exited() => Err("the keeper ended at once; the daemon's log says why".to_owned()),
        }
    }

    /// `holdfast NAME AM` in a session of its own, so that no signal to the heart's reaches it.
    fn start_process(&self, name: &str) -> std::io::Result<ProcessWatch> {
        let program = std::env::current_exe().ok().filter(|program| program.exists());
        let program = program.unwrap_or_else(|| self.paths.safe().join("holdfast"));
        let mut command = std::process::Command::new(program);
        command
            .args([name, self.module.as_str()])
            .env("SAFE", self.paths.safe())
            .env("SAFEVAR", self.paths.safevar())
            .env("SAFEMODULE", self.module.as_str())
            .env("HOLDFAST_NODE", self.me.as_str())
            .current_dir("/")
            .stdin(std::process::Stdio::null());
        // SAFETY: setsid is async-signal-safe and touches no memory of ours.
        unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
        let mut child = command.spawn()?;
        let identity = Identity::of(child.id().cast_signed())?;
        // Reaps it; what its end means is judged by the watch.
        std::thread::spawn(move || child.wait());
        ProcessWatch::open(identity).map_err(std::io::Error::other)
    }
}

/// A living process of the module, by its pid file.
fn process(paths: &Paths, module: &ModuleName, name: &str) -> Option<ProcessWatch> {
    match PidFile::verify(&paths.pid_file(module, name)) {
        Ok(Liveness::Alive(identity)) => ProcessWatch::open(identity).ok(), // gone between the two looks
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "the pid file of {name} can't be read");
            None
        }
    }
}

/// Frees everything that waits in the FUSE mount at exactly `dir`.
fn abort_mount(dir: &str) {
    let Some(connection) = hf_host::fuse::connection(dir) else {
        return;
    };
    let file = Path::new("/sys/fs/fuse/connections").join(connection.to_string()).join("abort");
    if let Err(error) = std::fs::write(&file, "1") {
        tracing::warn!(%error, dir, "the mount can't be aborted");
    }
}
