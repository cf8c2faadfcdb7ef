//! Power off: the cut, and the orderly end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::{root, systemd};
use crate::addr;
use crate::cgroup::Cgroup;
use crate::disk::control::{Ask, ask};
use crate::disk::loopdev;
use crate::disk::server::shut_down_file_system;
use crate::error::{LabError, Result};
use crate::process::{ProcessId, wait_until};
use crate::state::{DiskKind, Lab, Machine};

/// How long a freeze may take. What can't be frozen (it waits inside a file system request) can't write either once the disk is cut.
const FREEZE_WITHIN: Duration = Duration::from_millis(200);
/// How long processes may take to vanish after SIGKILL.
const DIE_WITHIN: Duration = Duration::from_secs(10);
/// How long the kernel may take to let go of a file system nobody uses.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);
/// How long an orderly shutdown may take: the init's own limits, and some.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(100);

/// The mains cut, of one machine or of several in the same moment. Nothing that was not flushed survives, and no frame leaves after
/// the ports are down.
///
/// Order: ports (a real machine sends no FIN), processes, disk, and only then anything that might flush or say goodbye.
pub fn cut(lab: &Lab, machines: &[String]) -> Result<()> {
    let mut victims = Vec::new();
    for machine in machines {
        let state = lab.machine(machine)?;
        let Some(init) = state.alive() else {
            return Err(LabError::Failed(format!("{machine} is powered off already")));
        };
        let group = Cgroup::lab(&lab.name)?.child(machine);
        victims.push((machine, state, init, group));
    }
    for (machine, ..) in &victims {
        for lan in &lab.lans {
            lan.set_port(machine, false)?;
        }
    }
    for (.., group) in &victims {
        group.start_freezing()?;
    }
    for (machine, _, init, group) in &victims {
        group.freeze(true, FREEZE_WITHIN)?;
        if lab.disk == DiskKind::Volatile {
            ask(&lab.paths().disk_socket(machine), &Ask::Cut)?;
        }
        shut_down_file_system(&init.proc("root"))?;
    }
    for (machine, mut state, init, group) in victims {
        kill_all(&group, &init)?;
        settle(lab, machine, &mut state)?;
    }
    Ok(())
}

/// Kills every process of a machine, and frees those that wait in a FUSE request nobody will answer.
fn kill_all(group: &Cgroup, init: &ProcessId) -> Result<()> {
    let connections = fuse_connections(init);
    group.kill()?;
    if init.wait_gone(Duration::from_millis(100)) {
        return Ok(());
    }
    abort_fuse(&connections)?;
    if init.wait_gone(DIE_WITHIN) {
        return Ok(());
    }
    Err(LabError::Timeout {
        what: format!("process {} does not die", init.pid),
        waited_ms: DIE_WITHIN.as_millis() as u64,
        hint: format!(": /proc/{}/stack tells where it waits", init.pid),
    })
}

/// Device numbers (minor) of the FUSE file systems that this process sees and the host doesn't.
pub fn fuse_connections(process: &ProcessId) -> BTreeSet<u32> {
    let theirs = fuse_minors(&process.proc("mountinfo"));
    let hosts = fuse_minors(Path::new("/proc/self/mountinfo"));
    theirs.difference(&hosts).copied().collect()
}

fn fuse_minors(mountinfo: &Path) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(mountinfo).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(" - "))
        .filter(|(_, tail)| tail.starts_with("fuse ") || tail.starts_with("fuse."))
        .filter_map(|(head, _)| head.split(' ').nth(2)?.split_once(':')?.1.parse().ok())
        .collect()
}

/// Ends these FUSE connections: whoever waits in them gets an error.
pub fn abort_fuse(connections: &BTreeSet<u32>) -> Result<()> {
    if connections.is_empty() {
        return Ok(());
    }
    root::with_fuse_connections(|dir| {
        for minor in connections {
            // A connection that is gone already needs no abort.
            let _ = std::fs::write(dir.join(minor.to_string()).join("abort"), "1");
        }
    })
}

/// After the last process: waits for the disk to be let go, ends its server, notes that the power is off.
fn settle(lab: &Lab, machine: &str, state: &mut Machine) -> Result<()> {
    if let Some(number) = state.loop_number {
        let mark = loopdev::mark(&lab.name, machine);
        if !loopdev::wait_free(number, &mark, UNMOUNT_WITHIN) {
            return Err(LabError::Timeout {
                what: format!("/dev/loop{number}, the disk of {machine}, is still in use"),
                waited_ms: UNMOUNT_WITHIN.as_millis() as u64,
                hint: String::new(),
            });
        }
        if lab.disk == DiskKind::Volatile {
            ask(&lab.paths().disk_socket(machine), &Ask::Quit)?;
        }
    }
    let group = Cgroup::lab(&lab.name)?.child(machine);
    group.freeze(false, Duration::ZERO)?;
    state.init = None;
    state.loop_number = None;
    state.frames_dropped = false;
    // A power cycle of the network cards takes their end of the cables with it; the kernel does that in its own time.
    for lan in &lab.lans {
        wait_until(Duration::from_secs(5), || !lan.has_port(machine));
    }
    lab.save_machine(machine, state)
}

/// An orderly shutdown: the machine's init ends the daemon and its modules, syncs, and stops.
pub fn shut_down(lab: &Lab, machine: &str) -> Result<()> {
    if machine == addr::CLIENT {
        return Err(LabError::Usage("the client has no power switch".to_owned()));
    }
    let mut state = lab.machine(machine)?;
    let Some(init) = state.alive() else {
        return Err(LabError::Failed(format!("{machine} is powered off")));
    };
    let group = Cgroup::lab(&lab.name)?.child(machine);
    group.freeze(false, FREEZE_WITHIN)?;
    let connections = fuse_connections(&init);
    init.signal(if lab.has_systemd(machine) { systemd::shut_down_signal() } else { libc::SIGTERM });
    if !init.wait_gone(SHUT_DOWN_WITHIN) {
        // Perhaps it waits for its own disk.
        if lab.disk == DiskKind::Volatile {
            ask(&lab.paths().disk_socket(machine), &Ask::Cut)?;
        }
        abort_fuse(&connections)?;
        kill_all(&group, &init)?;
    }
    settle(lab, machine, &mut state)
}
