use crate::credentials;
use crate::shell::Shell;
use hf_exec::{PidFile, PidFileError};
use hf_host::Paths;
use hf_host::files::{make_dir, with_causes};
use hf_store::{Limits, Store};
use hf_types::NodeName;
use rustix::mm::{MlockAllFlags, mlockall};
use std::io;
use std::process::ExitCode;

/// `holdfast daemon`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonArgs {
    /// `--node`: the own node's name in cluster.xml, for a machine whose host name is another one.
    pub node: Option<NodeName>,
    /// `--ready-port`: TCP port of the listener for health checks, 9010 unless said otherwise.
    pub ready_port: u16,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    File(#[from] hf_host::files::FileError),
    #[error("a daemon runs already")]
    Running(#[from] PidFileError),
    #[error("the daemon can't start")]
    Io(#[from] io::Error),
}

/// Runs the daemon until it is asked to end (SIGTERM: with all modules; SIGUSR2: alone). The roots come from the environment.
pub fn run(args: DaemonArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast daemon: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(args: DaemonArgs) -> Result<(), StartError> {
    let paths = Paths::from_environment();
    make_dir(&paths.run(), 0o755)?;
    make_dir(&paths.safevar().join("db"), 0o750)?;
    let _alone = PidFile::acquire(&paths.daemon_pid())?;
    stay_alive();
    let store = Store::open(&paths.database(), Limits::default(), |notice| {
        tracing::warn!("{}", notice.0);
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = credentials::listen(&paths.admin_socket())?;
        Shell::new(paths, args, store)?.run(listener).await;
        Ok::<_, io::Error>(())
    })?;
    // Hearts' children and hung disks don't hold the end up.
    runtime.shutdown_background();
    Ok(())
}

/// Last in line for the OOM killer, and never swapped out: who supervises must not be the first to suffer. What fails is told and gone without.
fn stay_alive() {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        tracing::warn!("not protected from the OOM killer: {error}");
    }
    // Only what is touched: thread stacks are mostly not.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        tracing::warn!("memory not locked: {error}");
    }
}
