//! What one can do to a running lab, short of its power.

use std::path::Path;
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::error::{LabError, Result};
use crate::process::ProcessId;
use crate::state::{Drop, Lab};
use crate::switch::apply_rules;

/// Which of our processes `kill` hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Victim {
    Daemon,
    Heart,
    Rfs,
    Web,
}

/// Pulls (or puts back) the cable of a machine to a LAN.
pub fn plug(lab: &Lab, machine: &str, lan: &str, plugged: bool) -> Result<()> {
    lab.check_machine(machine)?;
    let lan = lab.lan(lan)?;
    let mut state = lab.machine(machine)?;
    lan.set_port(machine, plugged)?;
    if plugged {
        state.unplugged.remove(&lan.name);
    } else {
        state.unplugged.insert(lan.name.clone());
    }
    lab.save_machine(machine, &state)
}

/// Drops all frames between these machines, on one LAN or all. One way: only those that the first sends to the others.
pub fn partition(lab: &mut Lab, machines: &[String], lan: Option<&str>, one_way: bool) -> Result<()> {
    if machines.len() < 2 {
        return Err(LabError::Usage("a partition needs two nodes or more".to_owned()));
    }
    for (i, machine) in machines.iter().enumerate() {
        lab.check_machine(machine)?;
        if machines[..i].contains(machine) {
            return Err(LabError::Usage(format!("{machine} is named twice")));
        }
    }
    let lans: Vec<String> = match lan {
        Some(name) => vec![lab.lan(name)?.name.clone()],
        None => lab.lans.iter().map(|l| l.name.clone()).collect(),
    };
    for lan in &lans {
        for (i, from) in machines.iter().enumerate() {
            for to in machines {
                if from != to && (!one_way || i == 0) {
                    lab.drops.insert(Drop { lan: lan.clone(), from: from.clone(), to: to.clone() });
                }
            }
        }
    }
    lab.save()?;
    apply_rules(&lab.name)
}

/// Undoes every partition.
pub fn heal(lab: &mut Lab) -> Result<()> {
    lab.drops.clear();
    lab.save()?;
    apply_rules(&lab.name)
}

/// Stops every process of a node; its frames are dropped too unless `process_only`.
pub fn freeze(lab: &Lab, node: &str, process_only: bool) -> Result<()> {
    lab.check_node(node)?;
    let mut state = lab.machine(node)?;
    if state.alive().is_none() {
        return Err(LabError::Failed(format!("{node} is powered off")));
    }
    // Frames first: what the kernel still sends by itself must not tell the others that the node stands still.
    if !process_only {
        state.frames_dropped = true;
        lab.save_machine(node, &state)?;
        apply_rules(&lab.name)?;
    }
    let group = Cgroup::lab(&lab.name)?.child(node);
    if group.freeze(true, Duration::from_secs(2))? {
        return Ok(());
    }
    eprintln!("{node} is freezing: a process waits inside a file system request and stops when that is answered");
    Ok(())
}

/// Undoes `freeze`.
pub fn thaw(lab: &Lab, node: &str) -> Result<()> {
    lab.check_node(node)?;
    let mut state = lab.machine(node)?;
    if state.frames_dropped {
        state.frames_dropped = false;
        lab.save_machine(node, &state)?;
        apply_rules(&lab.name)?;
    }
    let group = Cgroup::lab(&lab.name)?.child(node);
    group.freeze(false, Duration::from_secs(2))?;
    Ok(())
}

/// kill -9 of one of our processes. Returns how many it hit.
pub fn kill(lab: &Lab, node: &str, victim: Victim, module: Option<&str>) -> Result<usize> {
    lab.check_node(node)?;
    let (verb, named) = match victim {
        Victim::Daemon => ("daemon", None),
        Victim::Heart => ("heart", module),
        Victim::Rfs => ("rfs", module),
        Victim::Web => {
            let why = "kill NODE web: Holdfast has no web process in this version; it has daemon, heart and rfs";
            return Err(LabError::Usage(why.to_owned()));
        }
    };
    let group = Cgroup::lab(&lab.name)?.child(node);
    let victims: Vec<ProcessId> =
        group.pids().into_iter().filter_map(ProcessId::of).filter(|process| is_ours(process, verb, named)).collect();
    if victims.is_empty() {
        let of = named.map(|m| format!(" of module {m}")).unwrap_or_default();
        return Err(LabError::Failed(format!("no {verb} process{of} runs on {node}")));
    }
    for process in &victims {
        process.signal(libc::SIGKILL);
    }
    for process in &victims {
        process.wait_gone(Duration::from_secs(2));
    }
    Ok(victims.len())
}

/// `holdfast VERB [AM] ...`, by its command line.
fn is_ours(process: &ProcessId, verb: &str, module: Option<&str>) -> bool {
    let text = std::fs::read(process.proc("cmdline")).unwrap_or_default();
    let mut words = text.split(|b| *b == 0);
    let program = words.next().unwrap_or_default();
    let name = Path::new(std::str::from_utf8(program).unwrap_or_default()).file_name();
    let rest: Vec<&[u8]> = words.collect();
    name.is_some_and(|n| n == "holdfast" || n == "safekit")
        && rest.first() == Some(&verb.as_bytes())
        && module.is_none_or(|m| rest.contains(&m.as_bytes()))
}
