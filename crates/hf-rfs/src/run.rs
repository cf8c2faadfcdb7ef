//! Start of the process.

use crate::event::Event;
use crate::fence::Fence;
use crate::heart::keep_connected;
use crate::load::{LoadError, Loaded, load};
use crate::orders::{self, Orders};
use crate::shell::Shell;
use hf_exec::{PidFile, PidFileError};
use hf_fs::engine::{Engine, EngineError};
use hf_host::files::with_causes;
use hf_host::{Paths, ProcessLog, random};
use hf_node::rfs::{RfsActor, RfsInput};
use hf_store::RingError;
use hf_types::{Incarnation, ModuleName, NodeName};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;

/// `holdfast rfs AM`: started by the heart, never by hand.
#[derive(Clone, Debug, clap::Args)]
pub struct RfsArgs {
    /// The module.
    pub module: ModuleName,
}

/// Why rfs did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Pid(#[from] PidFileError),
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("can't {what}")]
    Io {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
}

/// Runs rfs until the heart sends it away.
pub fn run(args: &RfsArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(|source| StartError::Io { what: "start the runtime", source })
        .and_then(|runtime| runtime.block_on(live(&args.module)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast rfs {}: {}", args.module, with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn live(module: &ModuleName) -> Result<(), StartError> {
    let paths = Paths::from_environment();
    let _pid = PidFile::acquire(&paths.pid_file(module, "rfs"))?;
    for problem in hf_fs::front::protect::protect_process() {
        tracing::warn!("{}", with_causes(&problem));
    }
    let node = node_name()?;
    let Loaded { rfs, engine, live } = load(&paths, module, node.clone())?;
    let fence = Fence::new(&paths, module).map_err(|source| StartError::Io { what: "learn who I am", source })?;
    fence.take_back();
    let log = ProcessLog::open(&paths, module, "rfs", || {})?;
    let (sender, events) = mpsc::unbounded_channel();
    let to_loop = sender.clone();
    // The loop only goes away with the whole process.
    let dirs = engine.directories.iter().map(|dir| dir.dir.clone()).collect();
    let engine = Engine::start(engine, Arc::new(move |event| drop(to_loop.send(Event::Engine(event)))))?;
    let listener = orders::listen(&paths.rfs_socket(module))
        .map_err(|source| StartError::Io { what: "listen for commands", source })?;
    let orders = Orders { linked: engine.linked(), dirs, module: module.clone(), events: sender.clone() };
    tokio::spawn(orders::serve(listener, Arc::new(orders)));
    tokio::spawn(keep_connected(paths.heart_socket(module), sender.clone()));
    let incarnation = Incarnation(random::number());
    let inputs = VecDeque::from([RfsInput::Started { incarnation }]);
    let actor = RfsActor::new(rfs);
    let shell = Shell {
        actor,
        engine,
        log,
        fence,
        heart: None,
        last_status: None,
        inputs,
        leaving: false,
        sources: (paths, module.clone(), node),
        live,
        events: sender,
    };
    shell.run(events).await;
    Ok(())
}

fn node_name() -> Result<Option<NodeName>, StartError> {
    match std::env::var("HOLDFAST_NODE") {
        Ok(name) => name.parse().map(Some).map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{error}"));
            StartError::Io { what: "use HOLDFAST_NODE", source }
        }),
        Err(_) => Ok(None),
    }
}
