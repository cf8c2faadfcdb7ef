//! The `holdfast` binary: every process of Holdfast but the web server, and the command line.

mod elsewhere;

use clap::Parser;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// `holdfast daemon`: membership, commands, supervision (the reference's safeadmin).
#[derive(Debug, Parser)]
#[command(name = "holdfast daemon")]
struct Daemon {
    /// The own node's name in cluster.xml, if it is not the host's name
    #[arg(long, env = "HOLDFAST_NODE")]
    node: Option<hf_types::NodeName>,
    /// The TCP port where load balancers and other nodes' <module> checkers ask
    #[arg(long, env = "HOLDFAST_READY_PORT", value_name = "PORT", default_value_t = hf_types::ports::CONSOLE,
          value_parser = clap::value_parser!(u16).range(1..))]
    ready_port: u16,
}

/// `holdfast heart`: heartbeats, state machine, scripts, virtual addresses of one module.
#[derive(Debug, Parser)]
#[command(name = "holdfast heart")]
struct Heart {
    #[command(flatten)]
    args: hf_heart::HeartArgs,
}

/// `holdfast rfs`: the mount and the replication of one module.
#[derive(Debug, Parser)]
#[command(name = "holdfast rfs")]
struct Rfs {
    #[command(flatten)]
    args: hf_rfs::RfsArgs,
}

/// `holdfast keeper`: holds what must outlive the server of a mount.
#[derive(Debug, Parser)]
#[command(name = "holdfast keeper")]
struct Keeper {
    /// The module
    module: hf_types::ModuleName,
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let verb = args.get(1).and_then(|verb| verb.to_str()).unwrap_or_default();
    match verb {
        // The lab forks and enters namespaces, so it must run before anything starts a thread.
        "lab" => hf_lab::run(hf_lab::LabArgs::parse_from(&args[1..])),
        "daemon" => {
            let args = Daemon::parse_from(&args[1..]);
            log_to_stderr();
            link_special_commands(&hf_host::Paths::from_environment());
            hf_daemon::run(hf_daemon::DaemonArgs { node: args.node, ready_port: args.ready_port })
        }
        "heart" => {
            let args = Heart::parse_from(&args[1..]);
            log_to_stderr();
            hf_heart::run(&args.args)
        }
        "rfs" => {
            let args = Rfs::parse_from(&args[1..]);
            log_to_stderr();
            hf_rfs::run(&args.args)
        }
        // Before anything is read or started: it gives its rights away first.
        "unpack" => match hf_package::decode_as_nobody() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE, // standard output is for the package alone, and its reader notices
        },
        // The same; its standard output is the socket that listens.
        "ready" => match hf_ready::run_as_nobody() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("holdfast ready: {error}");
                ExitCode::FAILURE
            }
        },
        // A checker of the heart's, in a process that may hang.
        "disk" => disk(&args[2..]),
        "conflict" => hf_rfs::conflict::run(&hf_rfs::conflict::ConflictArgs::parse_from(&args[1..])),
        "keeper" => keeper(&Keeper::parse_from(&args[1..]).module),
        _ => hf_cli::main(args, &elsewhere::verbs()),
    }
}

/// SAFEBIN holds the special commands (reference 004, 14.4) as links to this program. What is there already is somebody's choice.
fn link_special_commands(paths: &hf_host::Paths) {
    let safebin = paths.safe().join("private/bin");
    let installed = paths.safe().join("holdfast");
    let make = || -> std::io::Result<()> {
        // A development tree has no installed program.
        let program = if installed.exists() { installed.clone() } else { std::env::current_exe()? };
        std::fs::create_dir_all(&safebin)?;
        for name in hf_cli::special_commands() {
            match std::os::unix::fs::symlink(&program, safebin.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    if let Err(error) = make() {
        tracing::warn!(%error, "the special commands can't be linked into {}", safebin.display());
    }
}

fn disk(args: &[OsString]) -> ExitCode {
    let [dir, write] = args else {
        eprintln!(
            "usage: holdfast disk DIRECTORY on|off (started by holdfast heart; a look for each line of its standard input)"
        );
        return ExitCode::from(2);
    };
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    match hf_check::serve_disk(std::path::Path::new(dir), write == "on", input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // who asked is gone
    }
}

fn keeper(module: &hf_types::ModuleName) -> ExitCode {
    let paths = hf_host::Paths::from_environment();
    let outcome = hf_exec::PidFile::acquire(&paths.pid_file(module, "keeper"))
        .map_err(|error| hf_host::files::with_causes(&error))
        .and_then(|_pid| {
            let socket = paths.module_run(module).join("keeper.sock");
            hf_fs::keeper::run(&socket).map_err(|error| hf_host::files::with_causes(&error))
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast keeper {module}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a long-lived process says beside its log: on standard error, at `HOLDFAST_LOG` (as `RUST_LOG`; default `info`).
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
