//! Start of the process.

use crate::application::Application;
use crate::checkers::Checkers;
use crate::errd::Processes;
use crate::event::Event;
use crate::lanes::{Lanes, Names};
use crate::load::{LoadError, Loaded, load};
use crate::replication::Replication;
use crate::reread::Sources;
use crate::scripts::Scripts;
use crate::shell::{OWN_TICKETS, Reported, Shell};
use crate::vips::Vips;
use crate::{boost, loops, schedule, socket};
use hf_exec::{CgroupError, PidFile, PidFileError};
use hf_host::files::{FileError, make_dir, with_causes};
use hf_host::{Paths, ProcessLog, clock, random, wake};
use hf_node::heart::{HeartActor, HeartInput};
use hf_store::RingError;
use hf_types::{Caller, Command, Incarnation, ModuleName, NodeName};
use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use tokio::sync::mpsc;

/// `holdfast heart AM`: started by the daemon, never by hand.
#[derive(Clone, Debug, clap::Args)]
pub struct HeartArgs {
    /// The module.
    pub module: ModuleName,
    /// The command that the heart is started for.
    #[arg(long, value_parser = command)]
    pub first: Command,
    /// Who called it.
    #[arg(long, default_value = "SYSTEM")]
    pub by: String,
    /// This node's name in cluster.xml; else HOLDFAST_NODE, else the machine's.
    #[arg(long)]
    pub node: Option<NodeName>,
}

fn command(text: &str) -> Result<Command, String> {
    Command::from_argument(text).ok_or_else(|| format!("{text:?} is no command of a module"))
}

/// Why a heart did not start. The module is as it was.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Pid(#[from] PidFileError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("can't {what}")]
    Io {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> StartError {
    move |source| StartError::Io { what, source }
}

/// Runs the heart until the module is stopped.
pub fn run(args: &HeartArgs) -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(io("start the runtime"))
        .and_then(|runtime| runtime.block_on(live(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast heart {}: {}", args.module, with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn live(args: &HeartArgs) -> Result<(), StartError> {
    let paths = Paths::from_environment();
    make_dir(&paths.module_run(&args.module), 0o750)?;
    make_dir(&paths.user_var(&args.module), 0o755)?;
    let _pid = PidFile::acquire(&paths.pid_file(&args.module, "heart"))?;
    let loaded = load(&paths, &args.module, node_name(args)?)?;
    let schedule = loaded.applied.config.rfs.as_ref().and_then(|rfs| rfs.sync_at.clone());
    let (sender, events) = mpsc::unbounded_channel();
    let mut shell = assemble(&paths, &args.module, loaded, sender.clone())?;
    let socket = paths.heart_socket(&args.module);
    let listener = socket::listen(&socket).map_err(io("listen on the heart's socket"))?;
    if let Some(schedule) = schedule {
        schedule::watch(schedule, sender.clone());
    }
    tokio::spawn(socket::serve(listener, sender));
    for problem in boost::this_process() {
        tracing::warn!("{problem}");
    }
    shell.tell_silent_lanes();
    shell.tell_insecure();
    shell.vips.clear_all();
    shell.vips.watch();
    let incarnation = Incarnation(random::number());
    let by = Caller(args.by.clone());
    let loops = loops::read(&paths, &args.module).unwrap_or_else(|error| {
        tracing::warn!("{}; restarts are counted from the beginning", with_causes(&error));
        None
    });
    shell.inputs.push_back(HeartInput::Started { incarnation, first: args.first, by, loops });
    shell.run(events).await;
    // How a daemon that comes later tells an end in good order from a death.
    hf_host::files::remove_if_there(&socket).map_err(io("remove the heart's socket"))
}

/// As the command line says, else the environment.
fn node_name(args: &HeartArgs) -> Result<Option<NodeName>, StartError> {
    match std::env::var("HOLDFAST_NODE") {
        Ok(name) if args.node.is_none() => Ok(Some(name.parse().map_err(LoadError::from)?)),
        _ => Ok(args.node.clone()),
    }
}

fn assemble(
    paths: &Paths,
    module: &ModuleName,
    loaded: Loaded,
    events: crate::event::Events,
) -> Result<Shell, StartError> {
    let Loaded { member, keys, applied, heart, lanes, vips } = loaded;
    let config = applied.config;
    let bell = events.clone();
    let application = Application::prepare()?;
    let tcp_reset = config.vip.as_ref().is_some_and(|vip| vip.tcp_reset);
    let dirs = config.rfs.iter().flat_map(|rfs| &rfs.replicated).map(|replicated| replicated.dir.clone()).collect();
    let permanent_arp = config.heart.permanent_arp;
    // Without another node there is no lane that would need its name.
    let peer = heart.peer.as_ref();
    let names = Names {
        module: module.clone(),
        me: heart.me.to_string(),
        peer: peer.map_or_else(String::new, NodeName::to_string),
    };
    let lanes = Lanes::open(lanes, &keys.ring, names, permanent_arp);
    Ok(Shell {
        lanes: lanes.map_err(io("listen for heartbeats"))?,
        insecure: keys.insecure,
        sources: Sources::new(paths, module, &member.me, events.clone()),
        config: heart.clone(),
        // The loop only goes away with the whole process.
        log: ProcessLog::open(paths, module, "heart", move || drop(bell.send(Event::Bell)))?,
        checkers: Checkers::new(events.clone()),
        scripts: Scripts::new(paths, module, config.user.as_ref(), application.clone(), events.clone()),
        application,
        processes: Processes::open(paths, module, heart.errd.as_ref(), events.clone())
            .map_err(io("watch processes"))?,
        vips: Vips::open(vips, tcp_reset, events.clone()).map_err(io("open the network"))?,
        replication: Replication::new(paths.clone(), module.clone(), member.me.clone(), events.clone()),
        loops: loops::Keeper::start(paths, module, events).map_err(io("start a thread"))?,
        dirs,
        daemon: None,
        last_status: None,
        untold: None,
        assigned: BTreeMap::new(),
        answers: BTreeMap::new(),
        next_ticket: OWN_TICKETS,
        inputs: VecDeque::new(),
        leaving: false,
        watch: wake::Watch::new(clock::now()),
        reported: Reported::default(),
        actor: HeartActor::new(heart),
    })
}
