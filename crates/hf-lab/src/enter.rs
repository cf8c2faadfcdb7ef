//! Running things inside a machine: `exec` and `shell`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::error::{Context, LabError, Result};
use crate::node::boot::environment;
use crate::node::init::EXEC_GROUP;
use crate::process::check;
use crate::state::Lab;

/// Variables of the caller that mean the same in a machine.
const PASSED_ON: &[&str] = &["TERM", "LANG", "LC_ALL", "RUST_LOG", "RUST_BACKTRACE", "NO_COLOR"];

/// A command that will run inside the machine, in its namespaces and its cgroup: a power cut kills it too.
///
/// The caller's process changes only the namespace that its *children* get their pids in; it must start nothing else afterwards,
/// so this is for short-lived threads or processes.
fn inside(lab: &Lab, machine: &str, argv: &[OsString]) -> Result<Command> {
    let state = lab.machine(machine)?;
    let Some(init) = state.alive() else {
        return Err(LabError::Failed(format!("{machine} is powered off")));
    };
    let what = || format!("entering {machine}");
    let pidfd = init.pidfd().ok_or_else(|| LabError::Failed(format!("{machine} is powered off")))?;
    let group = Cgroup::lab(&lab.name)?.child(machine).child(EXEC_GROUP);
    // systemd removes a slice that is empty.
    group.create()?;
    let procs = File::options().write(true).open(group.procs_file()).context(what)?;
    let Some((program, args)) = argv.split_first() else {
        return Err(LabError::Usage("nothing to run".to_owned()));
    };
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let cwd = std::ffi::CString::new(cwd.into_os_string().into_encoded_bytes())
        .map_err(std::io::Error::from)
        .context(what)?;
    // SAFETY: plain call on our own descriptor. Children are born in the machine's PID namespace.
    check(unsafe { libc::setns(pidfd.as_raw_fd(), libc::CLONE_NEWPID) }).context(what)?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(environment());
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // SAFETY: in the child before exec, only async-signal-safe calls.
    unsafe {
        command.pre_exec(move || {
            (&procs).write_all(b"0")?;
            let all = libc::CLONE_NEWNS
                | libc::CLONE_NEWNET
                | libc::CLONE_NEWUTS
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWCGROUP;
            check(libc::setns(pidfd.as_raw_fd(), all))?;
            // The directory of the caller if the machine sees it too.
            if libc::chdir(cwd.as_ptr()) != 0 {
                check(libc::chdir(c"/".as_ptr()))?;
            }
            // If the command on the host is killed, what it runs inside ends too.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))
        })
    };
    Ok(command)
}

/// Runs a command in a machine with our own input and output, and waits. Interrupts from the terminal are the command's, not ours.
pub fn exec(lab: &Lab, machine: &str, argv: &[OsString]) -> Result<ExitStatus> {
    lab.check_machine(machine)?;
    let name = argv.first().map(|n| n.to_string_lossy().into_owned());
    let mut child = inside(lab, machine, argv)?
        .spawn()
        .map_err(|e| cannot_run(machine, name.as_deref().unwrap_or_default(), &e))?;
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: sets a disposition in a process with one thread.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    child.wait().context(|| format!("waiting for {}", name.unwrap_or_default()))
}

/// As a shell says it, so that the exit code is a shell's too.
fn cannot_run(machine: &str, program: &str, e: &std::io::Error) -> LabError {
    LabError::Tool { program: program.to_owned(), detail: format!("can't be run in {machine}: {e}") }
}

/// An interactive shell. Not a login shell: that would set PATH anew, without SAFE.
pub fn shell(lab: &Lab, machine: &str) -> Result<ExitStatus> {
    exec(lab, machine, &["/bin/bash".into()])
}

/// The exit code that a shell would give.
pub fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => 128 + signal as u8,
        (None, None) => 1,
    }
}

/// What a command in a machine printed.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
}

/// Runs a command in a machine and collects its standard output; kills it after `limit`.
///
/// On a thread of its own, because entering a PID namespace sticks to the thread.
pub fn ask(lab: &Lab, machine: &str, argv: &[&str], limit: Duration) -> Result<Output> {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    std::thread::scope(|scope| {
        scope
            .spawn(|| ask_here(lab, machine, &argv, limit))
            .join()
            .unwrap_or_else(|_| Err(LabError::Failed("a thread panicked".to_owned())))
    })
}

fn ask_here(lab: &Lab, machine: &str, argv: &[OsString], limit: Duration) -> Result<Output> {
    let what = || format!("running {:?} in {machine}", argv);
    // The reader first: a thread that has entered a PID namespace for its children can't make another thread.
    let (mut output, input) = std::io::pipe().context(what)?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What came before an error counts.
        let _ = output.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    // The command holds the pipe's other end: it is gone when this statement ends.
    let mut child =
        inside(lab, machine, argv)?.stdin(Stdio::null()).stdout(input).stderr(Stdio::null()).spawn().context(what)?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().context(what)? {
            break status;
        }
        if Instant::now() > deadline {
            // It may have ended meanwhile.
            let _ = child.kill();
            return Err(LabError::Timeout { what: what(), waited_ms: limit.as_millis() as u64, hint: String::new() });
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stdout = reader.join().unwrap_or_default();
    Ok(Output { status, stdout })
}
