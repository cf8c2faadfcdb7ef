//! Power on: disk, namespaces, cables, init.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::init::EXEC_GROUP;
use super::{root, systemd};
use crate::addr;
use crate::cgroup::Cgroup;
use crate::disk::{self, control, loopdev};
use crate::error::{Context, LabError, Result, mkdir, read};
use crate::process::{ProcessId, check, spawn_helper, wait_until};
use crate::shape;
use crate::state::{DiskKind, Lab};
use crate::switch;

/// Boots a machine of the lab. Runs in a helper process with one thread, because it forks without exec.
pub fn boot(lab: &Lab, machine: &str) -> Result<()> {
    let mut state = lab.machine(machine)?;
    if state.alive().is_some() {
        return Err(LabError::Failed(format!("{machine} is powered on already")));
    }
    let disk = attach_disk(lab, machine)?;
    state.loop_number = disk.as_ref().map(|d| d.number);
    state.boot_id = fresh_boot_id()?;
    state.frames_dropped = false;
    let group = Cgroup::lab(&lab.name)?.child(machine);
    group.create()?;
    // Here, not in the init: `exec` may come before the init has run.
    group.child(EXEC_GROUP).create()?;
    group.freeze(false, Duration::from_secs(1))?;
    mkdir(&lab.paths().root(machine))?;

    let (go_read, mut go) = pipe()?;
    let (said, said_write) = pipe()?;
    let init = match clone_into_namespaces()? {
        None => {
            drop(go);
            drop(said);
            first_process(lab, machine, &state, &group, go_read, said_write)
        }
        Some(pid) => {
            ProcessId::of(pid).ok_or_else(|| LabError::Failed(format!("the init of {machine} died at once")))?
        }
    };
    drop(go_read);
    drop(said_write);
    state.init = Some(init);
    lab.save_machine(machine, &state)?;
    for (card, lan) in lab.lans.iter().enumerate() {
        lan.connect(machine, card, &init)?;
        lan.set_port(machine, !state.unplugged.contains(&lan.name))?;
    }
    switch::apply_rules(&lab.name)?;
    shape::reapply(lab, machine)?;
    // If it has died, what it said tells more than the broken pipe.
    let _ = go.write_all(b"g");
    started(said, machine)?;
    release_disk(lab, machine, disk)
}

fn pipe() -> Result<(File, File)> {
    let (read, write): (OwnedFd, OwnedFd) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context(|| "making a pipe".to_owned())?;
    Ok((read.into(), write.into()))
}

/// Waits for the exec of the init, which closes the pipe; text in it is an error.
fn started(mut said: File, machine: &str) -> Result<()> {
    let mut text = String::new();
    said.read_to_string(&mut text).context(|| format!("waiting for the init of {machine}"))?;
    if text.is_empty() {
        return Ok(());
    }
    Err(LabError::Failed(format!("{machine} did not boot: {text}")))
}

fn fresh_boot_id() -> Result<String> {
    Ok(read(Path::new("/proc/sys/kernel/random/uuid"))?.trim().to_owned())
}

/// The machine's disk behind an open loop device; made if it isn't there. None for the client.
fn attach_disk(lab: &Lab, machine: &str) -> Result<Option<loopdev::Loop>> {
    let paths = lab.paths();
    if machine == addr::CLIENT {
        mkdir(&paths.client_root())?;
        return Ok(None);
    }
    let image = paths.image(machine);
    if !image.exists() {
        disk::make_image(&image)?;
    }
    if lab.disk == DiskKind::Fast {
        let file =
            File::options().read(true).write(true).open(&image).context(|| format!("opening {}", image.display()))?;
        return loopdev::attach(&file, &loopdev::mark(&lab.name, machine)).map(Some);
    }
    let mount = paths.disk_mount(machine);
    let socket = paths.disk_socket(machine);
    let args = [
        "serve-disk",
        "--image",
        &image.to_string_lossy(),
        "--mount",
        &mount.to_string_lossy(),
        "--socket",
        &socket.to_string_lossy(),
        "--machine",
        machine,
    ];
    let log = paths.console(machine);
    let mut child = spawn_helper(&paths.binary(), &lab.name, &args, &log, true)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).context(|| format!("waiting for the disk of {machine}"))?;
    }
    let number = line
        .trim()
        .parse()
        .map_err(|_| LabError::Failed(format!("the disk of {machine} did not start: see {}", log.display())))?;
    loopdev::open(number).map(Some)
}

/// The file system keeps the loop device from now on.
fn release_disk(lab: &Lab, machine: &str, disk: Option<loopdev::Loop>) -> Result<()> {
    if disk.is_some() && lab.disk == DiskKind::Volatile {
        control::ask(&lab.paths().disk_socket(machine), &control::Ask::Release)?;
    }
    Ok(())
}

/// Forks a child that is PID 1 of new network, mount, UTS, PID and IPC namespaces. None in the child.
///
/// Not `unshare`: that would leave this process half inside. Not glibc's `clone`: this is a fork, and the process has one thread.
fn clone_into_namespaces() -> Result<Option<i32>> {
    let flags = libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWIPC
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork with namespaces.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } as i32;
    check(pid).context(|| "making the machine's namespaces".to_owned())?;
    Ok((pid != 0).then_some(pid))
}

/// PID 1 before its exec. Never returns.
fn first_process(
    lab: &Lab,
    machine: &str,
    state: &crate::state::Machine,
    group: &Cgroup,
    go: File,
    mut said: File,
) -> ! {
    let Err(e) = become_init(lab, machine, state, group, go);
    // The reader is our parent; if that is gone too, nobody wants to know.
    let _ = write!(said, "{e}");
    std::process::exit(1);
}

fn become_init(
    lab: &Lab,
    machine: &str,
    state: &crate::state::Machine,
    group: &Cgroup,
    mut go: File,
) -> Result<std::convert::Infallible> {
    let what = || format!("starting the init of {machine}");
    nix::unistd::setsid().context(what)?;
    group.join()?;
    // SAFETY: plain call. Only now, so that the machine's cgroup is the root that it sees.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }).context(what)?;
    nix::unistd::sethostname(machine).context(what)?;
    let console = lab.paths().console(machine);
    let log = File::options()
        .create(true)
        .append(true)
        .open(&console)
        .context(|| format!("opening {}", console.display()))?;
    root::enter(lab, machine, &state.boot_id, state.loop_number)?;
    let mut byte = [0];
    // The network is laid by our parent, who needs our pid for it.
    go.read_exact(&mut byte).context(what)?;
    let mut init = init_program(lab, machine);
    init.stdin(std::process::Stdio::null()).stdout(log.try_clone().context(what)?).stderr(log);
    Err(init.exec()).context(what)
}

fn init_program(lab: &Lab, machine: &str) -> Command {
    if lab.has_systemd(machine) {
        return systemd::command();
    }
    let mut init = Command::new(format!("{}/holdfast", root::SAFE));
    init.args(["lab", "init"]).env_clear().envs(environment());
    if machine == addr::CLIENT || !lab.daemon {
        init.arg("--no-daemon");
    }
    init
}

/// The environment of everything in a node, before what a caller adds.
pub fn environment() -> [(&'static str, String); 6] {
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", root::SAFE);
    [
        ("PATH", path),
        ("SAFE", root::SAFE.to_owned()),
        ("SAFEVAR", root::SAFEVAR.to_owned()),
        ("HOME", "/root".to_owned()),
        ("USER", "root".to_owned()),
        ("SHELL", "/bin/bash".to_owned()),
    ]
}

/// Boots machines side by side, each in a helper process of its own; reports every one that failed.
pub fn boot_all(lab: &Lab, binary: &Path, machines: &[&str]) -> Result<()> {
    let mut children = Vec::new();
    for machine in machines {
        let log = lab.paths().console(machine);
        let child = spawn_helper(binary, &lab.name, &["boot", machine], &log, true)?;
        children.push((machine, child));
    }
    let mut failed = Vec::new();
    for (machine, mut child) in children {
        let mut text = String::new();
        if let Some(mut stdout) = child.stdout.take() {
            // An unreadable pipe shows as a failure below.
            let _ = stdout.read_to_string(&mut text);
        }
        let mut status = None;
        wait_until(Duration::from_secs(5), || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        });
        if !status.is_some_and(|s| s.success()) {
            failed.push(format!("{machine}: {}", text.trim()));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(LabError::Failed(failed.join("; ")))
}
