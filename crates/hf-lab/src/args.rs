//! The command line of `holdfast lab`, and where each command goes.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::disk::server::ServeDiskArgs;
use crate::disk_faults::DiskFault;
use crate::error::{LabError, Result};
use crate::faults::Victim;
use crate::node::{boot, init, power};
use crate::process::self_exe;
use crate::shape::ShapeArgs;
use crate::state::{Lab, Lock};
use crate::up::UpArgs;
use crate::{disk, disk_faults, down, enter, faults, shape, status, switch, timeline, up};

/// A cluster on this machine: real nodes out of namespaces, with cables to pull and power to cut.
#[derive(Debug, Parser)]
#[command(name = "lab", bin_name = "holdfast lab")]
pub struct LabArgs {
    /// Which lab.
    #[arg(long, global = true, default_value = "lab", value_name = "LAB")]
    name: String,
    /// How state is printed.
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value = "text")]
    output: Output,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Make a lab: nodes, a client and their LANs. Returns when every node sees every other.
    Up(UpArgs),
    /// Run a command in a node or the client.
    Exec {
        node: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// An interactive shell in a node or the client.
    Shell { node: String },
    /// Nodes, addresses, power, cables, disks, modules.
    Status,
    /// Cut the power of a node, or of several in the same moment: what their disks did not flush is lost.
    PowerOff {
        #[arg(required = true)]
        nodes: Vec<String>,
    },
    /// Boot a node that is off.
    PowerOn { node: String },
    /// Shut a node down in order, then boot it.
    Reboot { node: String },
    /// kill -9 of one of Holdfast's processes on a node.
    Kill {
        node: String,
        #[arg(value_enum)]
        process: Victim,
        #[arg(short, long, value_name = "AM")]
        module: Option<String>,
    },
    /// Pull a node's cable to a LAN: no carrier.
    Unplug { node: String, lan: String },
    /// Put the cable back.
    Plug { node: String, lan: String },
    /// Drop all traffic between these nodes; they keep their carrier and still reach the client.
    Partition {
        #[arg(required = true, num_args = 2..)]
        nodes: Vec<String>,
        /// Only on this LAN.
        #[arg(long)]
        lan: Option<String>,
        /// Only what the first node sends to the others.
        #[arg(long)]
        one_way: bool,
    },
    /// Undo every partition.
    Heal,
    /// Stop every process of a node and drop its frames, as a paused virtual machine does.
    Freeze {
        node: String,
        /// Leave its kernel answering on the network.
        #[arg(long)]
        process_only: bool,
    },
    /// Undo freeze.
    Thaw { node: String },
    /// A bad link, both ways.
    Shape(ShapeArgs),
    /// Make the link good again.
    Unshape { machine: String, lan: String },
    /// A failing, slow, hung, healthy or new disk.
    Disk {
        node: String,
        #[arg(value_enum)]
        fault: DiskFault,
        /// For `slow`: how much longer each request takes (200ms).
        delay: Option<String>,
    },
    /// Fill a node's disk: writes fail with ENOSPC.
    Fill {
        node: String,
        /// How much stays free (1M).
        #[arg(long, default_value = "0")]
        leave: String,
    },
    /// Undo fill.
    Unfill { node: String },
    /// The logs of all nodes in one, by time: all machines of a lab read one clock, so a cause is never later than its effect.
    Timeline {
        #[arg(short, long, value_name = "AM")]
        module: Option<String>,
    },
    /// Take the lab away.
    Down {
        /// Every lab of this machine, also what a killed command left.
        #[arg(long)]
        all: bool,
    },
    /// The process behind one disk.
    #[command(hide = true)]
    ServeDisk(ServeDiskArgs),
    /// The process that keeps one LAN's namespace.
    #[command(hide = true)]
    HoldSwitch { lan: String },
    /// Boots one machine.
    #[command(hide = true)]
    Boot { machine: String },
    /// PID 1 of a machine.
    #[command(hide = true)]
    Init {
        #[arg(long)]
        no_daemon: bool,
    },
}

/// Does what the command line says; errors are one line on standard error.
pub fn run(args: LabArgs) -> ExitCode {
    match dispatch(args) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("holdfast lab: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn dispatch(args: LabArgs) -> Result<u8> {
    // SAFETY: no argument, can't fail.
    if unsafe { libc::geteuid() } != 0 {
        return Err(LabError::NotRoot);
    }
    let name = args.name.as_str();
    match args.command {
        LabCommand::Up(up_args) => up::up(name, &up_args)?,
        LabCommand::Down { all: true } => down::down_all()?,
        LabCommand::Down { all: false } => down::down(name)?,
        LabCommand::Exec { node, command } => {
            return enter::exec(&Lab::load(name)?, &node, &command).map(enter::exit_code);
        }
        LabCommand::Shell { node } => {
            return enter::shell(&Lab::load(name)?, &node).map(enter::exit_code);
        }
        LabCommand::Status => show_status(&Lab::load(name)?, args.output)?,
        LabCommand::ServeDisk(disk_args) => disk::server::serve(name, &disk_args)?,
        LabCommand::HoldSwitch { .. } => switch::hold()?,
        LabCommand::Boot { machine } => return boot_helper(name, &machine),
        LabCommand::Init { no_daemon } => init::run(no_daemon)?,
        LabCommand::Timeline { module } => {
            let lab = Lab::load(name)?;
            let found = timeline::look(&lab, module.as_deref())?;
            match args.output {
                Output::Json => println!("{}", timeline::to_json(&found)?),
                Output::Text => print!("{}", timeline::to_text(&lab, &found)),
            }
        }
        change => change_lab(name, change)?,
    }
    Ok(0)
}

/// What a command changes: these machines, or (none named) the lab.
fn machines_of(command: &LabCommand) -> Vec<String> {
    match command {
        LabCommand::PowerOff { nodes } => nodes.clone(),
        LabCommand::PowerOn { node }
        | LabCommand::Reboot { node }
        | LabCommand::Kill { node, .. }
        | LabCommand::Unplug { node, .. }
        | LabCommand::Plug { node, .. }
        | LabCommand::Freeze { node, .. }
        | LabCommand::Thaw { node }
        | LabCommand::Disk { node, .. }
        | LabCommand::Fill { node, .. }
        | LabCommand::Unfill { node } => vec![node.clone()],
        _ => Vec::new(),
    }
}

/// Commands that change a lab that is up: one at a time for the lab, and one at a time for each machine.
fn change_lab(name: &str, command: LabCommand) -> Result<()> {
    let lab = Lab::load(name)?;
    let mut machines = machines_of(&command);
    // Everybody in the same order, or two commands could wait for each other.
    machines.sort();
    if machines.windows(2).any(|two| two[0] == two[1]) {
        return Err(LabError::Usage("a node is named twice".to_owned()));
    }
    let mut locks = Vec::new();
    for machine in &machines {
        lab.check_machine(machine)?;
        locks.push(Lock::machine(name, machine)?);
    }
    if locks.is_empty() {
        locks.push(Lock::lab(name)?);
    }
    let mut lab = Lab::load(name)?;
    match command {
        LabCommand::PowerOff { nodes } => {
            nodes.iter().try_for_each(|node| lab.check_node(node))?;
            power::cut(&lab, &nodes)
        }
        LabCommand::PowerOn { node } => {
            lab.check_node(&node)?;
            power_on(&lab, &node)
        }
        LabCommand::Reboot { node } => {
            lab.check_node(&node)?;
            power::shut_down(&lab, &node)?;
            power_on(&lab, &node)
        }
        LabCommand::Kill { node, process, module } => faults::kill(&lab, &node, process, module.as_deref()).map(|_| ()),
        LabCommand::Unplug { node, lan } => faults::plug(&lab, &node, &lan, false),
        LabCommand::Plug { node, lan } => faults::plug(&lab, &node, &lan, true),
        LabCommand::Partition { nodes, lan, one_way } => faults::partition(&mut lab, &nodes, lan.as_deref(), one_way),
        LabCommand::Heal => faults::heal(&mut lab),
        LabCommand::Freeze { node, process_only } => faults::freeze(&lab, &node, process_only),
        LabCommand::Thaw { node } => faults::thaw(&lab, &node),
        LabCommand::Shape(shape_args) => shape::shape(&mut lab, &shape_args),
        LabCommand::Unshape { machine, lan } => shape::unshape(&mut lab, &machine, &lan),
        LabCommand::Disk { node, fault, delay } => disk_faults::set(&lab, &node, fault, delay.as_deref()),
        LabCommand::Fill { node, leave } => disk_faults::fill(&lab, &node, &leave),
        LabCommand::Unfill { node } => disk_faults::unfill(&lab, &node),
        other => Err(LabError::Failed(format!("{other:?} changes nothing"))),
    }
}

/// Boots in a helper, which joins the lab's cgroup, so that this process doesn't.
fn power_on(lab: &Lab, node: &str) -> Result<()> {
    if lab.machine(node)?.alive().is_some() {
        return Err(LabError::Failed(format!("{node} is powered on already")));
    }
    boot::boot_all(lab, &self_exe()?, &[node])
}

/// The helper's side: errors go to standard output, where `boot_all` listens.
fn boot_helper(name: &str, machine: &str) -> Result<u8> {
    let booted = switch::helpers(name)?.join().and_then(|()| boot::boot(&Lab::load_raw(name)?, machine));
    if let Err(e) = booted {
        println!("{e}");
        return Ok(1);
    }
    Ok(0)
}

fn show_status(lab: &Lab, output: Output) -> Result<()> {
    let seen = status::look(lab)?;
    match output {
        Output::Json => println!("{}", status::to_json(&seen)?),
        Output::Text => print!("{}", status::to_text(&seen)),
    }
    Ok(())
}
