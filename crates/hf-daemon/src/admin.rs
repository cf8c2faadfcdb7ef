//! `admin.sock`: the commands of administrators.

mod cluster_orders;
mod config;
mod logs;
mod modules;
mod prerequisites;
mod record;
mod rfs;
mod rfssync;
mod scripts;
mod support;

use self::record::Record;
use crate::boot;
use crate::credentials::{self, Client};
use crate::event::{Ask, Event, Events, Loaded, Snapshot};
use crate::load::load;
use crate::modules::{Installing, ModuleError};
use hf_bus::{BusError, Connection, accept};
use hf_config::{Cluster, Diagnostics};
use hf_host::Paths;
use hf_host::cluster::{self, ClusterError, Identity};
use hf_host::files::with_causes;
use hf_store::Store;
use hf_types::{Caller, Command, ErrdOrder, ModuleName, NodeName};
use hf_wire::bus::{Reply, Request, Role};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, oneshot};

/// What every connection needs.
pub struct Admin {
    pub paths: Paths,
    /// The own node's name, if given on the command line.
    pub given: Option<NodeName>,
    /// TCP port of the listener for health checks.
    pub ready_port: u16,
    pub events: Events,
    pub store: Store,
    /// One change of configuration at a time.
    pub changing: Mutex<()>,
}

/// Accepts connections for ever.
pub async fn serve(listener: UnixListener, admin: Arc<Admin>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, admin.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a command could not connect");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, admin: Arc<Admin>) {
    let client = credentials::of(&stream);
    let result = match client {
        Ok(client) => exchange(stream, &client, &admin).await,
        Err(refused) => refuse(stream, refused.to_string()).await,
    };
    if let Err(error) = result {
        tracing::debug!(error = %with_causes(&error), "a command's connection ended");
    }
}

async fn refuse(stream: UnixStream, message: String) -> Result<(), BusError> {
    tracing::warn!("a command was refused: {message}");
    let mut connection = accept(stream, Role::Daemon).await?;
    let hint = "call it as root, or as a member of the group holdfast";
    connection.send(&Failure::hinted(message, hint).into_reply()).await
}

async fn exchange(stream: UnixStream, client: &Client, admin: &Admin) -> Result<(), BusError> {
    let mut connection = accept(stream, Role::Daemon).await?;
    while let Some(request) = connection.receive::<Request>().await? {
        answer(&mut connection, client, admin, request).await?;
    }
    Ok(())
}

async fn answer(
    connection: &mut Connection<UnixStream>,
    client: &Client,
    admin: &Admin,
    request: Request,
) -> Result<(), BusError> {
    let record = Record::begin(&request, client, &admin.store);
    let result = match request {
        Request::Rfs { module, order } => admin.ask_rfs(&module, order, connection).await?,
        request => admin.perform(request).await,
    };
    if let Some(record) = record {
        record.end(&result, &admin.store);
    }
    let replies = match result {
        Ok(mut replies) => {
            replies.push(Reply::Done);
            replies
        }
        Err(failure) => failure.into_replies(),
    };
    for reply in &replies {
        connection.send(reply).await?;
    }
    Ok(())
}

/// A command that failed.
struct Failure {
    message: String,
    hint: Option<String>,
    diagnostics: Option<Box<Diagnostics>>,
}

impl Failure {
    fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, diagnostics: None }
    }

    fn hinted(message: impl Into<String>, hint: &str) -> Failure {
        Failure { hint: Some(hint.to_owned()), ..Failure::new(message) }
    }

    fn into_replies(self) -> Vec<Reply> {
        let diagnostics = self.diagnostics.as_deref().map(diagnostics_reply);
        diagnostics.into_iter().chain([Failure { diagnostics: None, ..self }.into_reply()]).collect()
    }

    fn into_reply(self) -> Reply {
        Reply::Error { message: self.message, hint: self.hint, exit_code: 1 }
    }
}

fn diagnostics_reply(diagnostics: &Diagnostics) -> Reply {
    Reply::Diagnostics {
        text: diagnostics.render(false),
        // Our own plain data always serialises.
        json: serde_json::to_value(diagnostics).unwrap_or_default(),
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Failure {
        let message = with_causes(&error);
        match error {
            ClusterError::Invalid(diagnostics) => Failure {
                diagnostics: Some(diagnostics),
                ..Failure::hinted(message, "nothing was changed; correct the file and call the command again")
            },
            ClusterError::Missing => Failure::hinted(message, "holdfast cluster config FILE"),
            _ => Failure::new(message),
        }
    }
}

impl From<ModuleError> for Failure {
    fn from(error: ModuleError) -> Failure {
        let message = with_causes(&error);
        match error {
            ModuleError::Invalid { diagnostics, .. } => Failure {
                diagnostics: Some(diagnostics),
                ..Failure::hinted(message, "nothing was changed; correct the file and call the command again")
            },
            ModuleError::NotInstalled { module } => {
                Failure::hinted(message, &format!("holdfast module install -m {module} PACKAGE"))
            }
            ModuleError::NoPackage { .. } => {
                Failure::hinted(message, "give an absolute path, or the name of a package in SAFE/Application_Modules")
            }
            _ => Failure::new(message),
        }
    }
}

type Replies = Result<Vec<Reply>, Failure>;

impl Admin {
    async fn perform(&self, request: Request) -> Replies {
        if let Some(module) = about(&request) {
            self.check_known(module)?;
        }
        match request {
            Request::ClusterConfig { file, xml, key, lock } => self.cluster_config(file, xml, key, lock).await,
            Request::ClusterConfinfo => {
                Ok(self.warned(vec![Reply::Confinfo { nodes: self.look().await?.status.nodes }]))
            }
            Request::Cluster(order) => self.cluster_order(order).await,
            Request::ModuleInstall { module, package, reinstall, id } => {
                self.install(module, package, Installing { again: reinstall, id }).await
            }
            Request::ModuleKey { module, generate } => self.module_key(module, generate).await,
            Request::ModuleUninstall { module } => self.remove(module, true).await,
            Request::Deconfig { module } => self.remove(module, false).await,
            Request::ModuleScript { module, script } => self.ask_script(module, script).await,
            Request::Modules => self.modules().await,
            Request::Ports { module } => self.ports(module).await,
            Request::ModuleInfo { module } => self.module_info(module).await,
            Request::Config { module, dry_run } => self.config(module, dry_run).await,
            Request::Confcheck { module } => self.confcheck(module).await,
            Request::Control { module, command, by } => self.control(module, command, by).await,
            Request::Set { module, assignment } => self.ask(Ask::Set { module, assignment }).await,
            Request::Errd { module, order, by } => self.errd(module, order, by).await,
            Request::Rfssync { module, set, .. } => self.rfssync(module, set).await,
            Request::Shutdown => self.ask(Ask::Shutdown).await,
            Request::Boot { module, set } => self.boot(module, set).await,
            Request::Waitstart { module } => self.ask(Ask::Waitstart { module }).await,
            Request::Waitstate { module, state } => self.ask(Ask::Waitstate { module, state }).await,
            Request::State { module } => Ok(self.warned(self.state(module).await?)),
            Request::Log { module, last, levels } => self.log(module, last, levels).await,
            Request::LogFollow { module, after, last, levels } => self.log_follow(module, after, last, levels).await,
            Request::Print { module, level, by, text } => self.print(&module, level, by, text),
            Request::Commands { last } => self.commands(last).await,
            Request::ResourceHistory { module, name, last } => self.resource_history(module, name, last).await,
            // Its replies come one by one: see above.
            Request::Rfs { .. } => Ok(Vec::new()),
            Request::Dump { module } => self.dump(module).await,
            Request::Clean { module, what } => self.clean(module, what).await,
        }
    }

    /// What is chosen for longer than the module runs is kept before anybody goes by it.
    async fn control(&self, module: ModuleName, command: Command, by: Caller) -> Replies {
        if let Command::CheckerOn | Command::CheckerOff = command {
            let (paths, of, on) = (self.paths.clone(), module.clone(), command == Command::CheckerOn);
            if !paths.applied(&of).exists() {
                return Err(self.unknown(&module));
            }
            blocking(move || hf_host::settings::keep_checking(&paths, &of, on)).await?.map_err(ModuleError::from)?;
        }
        self.ask(Ask::Control { module, command, by }).await
    }

    async fn boot(&self, module: Option<ModuleName>, set: Option<bool>) -> Replies {
        let _one_at_a_time = self.changing.lock().await;
        let (paths, given) = (self.paths.clone(), self.given.clone());
        let (wanted, missing) = (module.clone(), module.as_ref().map(|module| self.unknown(module)));
        let (loaded, modules) = blocking(move || {
            if let (Some(module), Some(on)) = (&wanted, set) {
                boot::choose(&paths, given.clone(), module, on)?;
            }
            let loaded = load(&paths, given);
            let rows = boot::statuses(&loaded, wanted.as_ref());
            Ok::<_, Failure>((loaded, rows))
        })
        .await??;
        if let Some(missing) = missing.filter(|_| modules.is_empty()) {
            return Err(missing);
        }
        self.reload(loaded).await?;
        Ok(vec![Reply::Boot { modules }])
    }

    /// What holds over a stop is on the disk before anybody is told, also for a module that is stopped.
    async fn errd(&self, module: ModuleName, order: ErrdOrder, by: Caller) -> Replies {
        if let Some(off) = order.off() {
            let (paths, module) = (self.paths.clone(), module.clone());
            let kept = blocking(move || hf_host::module::keep_errd_off(&paths, &module, off)).await?;
            kept.map_err(|error| Failure::new(with_causes(&error)))?;
        }
        self.ask(Ask::Errd { module, order, by }).await
    }

    async fn ask(&self, ask: Ask) -> Replies {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Ask { ask, answer }).await?;
        match answered.await {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(why)) => Err(Failure::new(why)),
            Err(_) => Err(going()),
        }
    }

    async fn state(&self, module: Option<ModuleName>) -> Replies {
        let Snapshot { status, me, .. } = self.look().await?;
        let mut modules = status.modules;
        if let Some(module) = module {
            modules.retain(|status| status.module == module);
            if modules.is_empty() {
                return Err(self.unknown(&module));
            }
        }
        Ok(vec![Reply::State { modules, me: Some(me) }])
    }

    /// Why a module that is installed has no state.
    fn unknown(&self, module: &ModuleName) -> Failure {
        let message = format!("the module {module} is installed, but not configured");
        Failure::hinted(message, &format!("holdfast config -m {module}"))
    }

    async fn look(&self) -> Result<Snapshot, Failure> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Look(answer)).await?;
        answered.await.map_err(|_| going())
    }

    async fn reload(&self, loaded: Loaded) -> Result<(), Failure> {
        let (done, wait) = oneshot::channel();
        let loaded = Box::new(loaded);
        let done = Some(done);
        self.tell(Event::Loaded { loaded, done }).await?;
        wait.await.map_err(|_| going())
    }

    async fn tell(&self, event: Event) -> Result<(), Failure> {
        self.events.send(event).await.map_err(|_| going())
    }
}

/// The installed module that a request is about.
fn about(request: &Request) -> Option<&ModuleName> {
    match request {
        Request::ModuleUninstall { module }
        | Request::ModuleKey { module, .. }
        | Request::Deconfig { module }
        | Request::ModuleScript { module, .. }
        | Request::Ports { module }
        | Request::ModuleInfo { module }
        | Request::Config { module, .. }
        | Request::Confcheck { module }
        | Request::Control { module, .. }
        | Request::Set { module, .. }
        | Request::Errd { module, .. }
        | Request::Rfssync { module, .. }
        | Request::Log { module, .. }
        | Request::LogFollow { module, .. }
        | Request::Print { module, .. }
        | Request::ResourceHistory { module, .. }
        | Request::Dump { module }
        | Request::Rfs { module, .. }
        | Request::Clean { module, .. }
        | Request::Waitstart { module }
        | Request::Waitstate { module, .. } => Some(module),
        Request::State { module } | Request::Boot { module, .. } => module.as_ref(),
        Request::ClusterConfig { .. }
        | Request::ClusterConfinfo
        | Request::Cluster(_)
        | Request::ModuleInstall { .. }
        | Request::Modules
        | Request::Shutdown
        | Request::Commands { .. } => None,
    }
}

fn cluster_of(paths: &Paths, given: Option<NodeName>) -> Result<Cluster, ClusterError> {
    let identity = Identity::of_this_machine(given);
    Ok(cluster::load(paths, &identity)?.cluster)
}

fn unless_empty(diagnostics: &Diagnostics) -> Vec<Reply> {
    let worth_it = !diagnostics.is_empty();
    worth_it.then(|| diagnostics_reply(diagnostics)).into_iter().collect()
}

fn going() -> Failure {
    Failure::new("the daemon is going down")
}

/// Work that waits for disks, away from the loop.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(format!("an error of Holdfast itself: {error}")))
}
