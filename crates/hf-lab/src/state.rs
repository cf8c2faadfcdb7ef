//! What a lab remembers between commands. Never the truth about processes: those are found through cgroups.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::addr;
use crate::error::{Context, LabError, Result, read};
use crate::paths::Paths;
use crate::process::ProcessId;

/// How a node's disk behaves at a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    /// Loses everything that was not flushed.
    Volatile,
    /// A plain loop file: for measuring speed; keeps what writeback had already written.
    Fast,
}

/// What runs as PID 1 of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum InitKind {
    /// A small init of the lab's own.
    #[default]
    Holdfast,
    /// systemd.
    Systemd,
}

/// One LAN: a bridge in a namespace that `holder` keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lan {
    pub name: String,
    /// l in the addresses, from 1.
    pub number: u8,
    pub holder: ProcessId,
}

/// One way on which a partition drops frames.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drop {
    pub lan: String,
    pub from: String,
    pub to: String,
}

/// A lab as `up` made it, and the faults that hold for more than one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lab {
    pub name: String,
    pub nodes: Vec<String>,
    pub lans: Vec<Lan>,
    pub disk: DiskKind,
    /// False with `--no-daemon`: nodes have an init and nothing else.
    pub daemon: bool,
    #[serde(default)]
    pub init: InitKind,
    /// Directories of the host that every machine sees read-only although they lie where machines have their own.
    #[serde(default)]
    pub visible: Vec<PathBuf>,
    /// Set last by `up`: what is not complete can only be taken down.
    pub complete: bool,
    #[serde(default)]
    pub drops: BTreeSet<Drop>,
    #[serde(default)]
    pub shapes: Vec<Shape>,
}

/// A bad link of one machine to one LAN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    pub machine: String,
    pub lan: String,
    /// As `tc` writes it (`20mbit`).
    pub rate: Option<String>,
    /// As `tc` writes it (`5ms`).
    pub delay: Option<String>,
    /// Of 100.
    pub loss_percent: Option<f64>,
}

/// One machine as the last command left it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The node's init, seen from the host. None: powered off.
    pub init: Option<ProcessId>,
    /// The loop device under its disk.
    pub loop_number: Option<u32>,
    /// Fresh at every power-on.
    pub boot_id: String,
    /// Cables that are pulled, by LAN; they stay pulled over a reboot.
    pub unplugged: BTreeSet<String>,
    /// Frames to and from it are dropped.
    pub frames_dropped: bool,
}

impl Machine {
    /// Its init, if that still lives.
    pub fn alive(&self) -> Option<ProcessId> {
        self.init.filter(ProcessId::is_alive)
    }
}

impl Lab {
    /// The client has an init of ours in any case.
    pub fn has_systemd(&self, machine: &str) -> bool {
        self.init == InitKind::Systemd && machine != addr::CLIENT
    }

    pub fn paths(&self) -> Paths {
        Paths::new(&self.name)
    }

    /// Every machine with a cable: the nodes, then the client.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(String::as_str).chain(std::iter::once(addr::CLIENT))
    }

    /// Reads a lab that `up` finished.
    pub fn load(name: &str) -> Result<Self> {
        let lab = Self::load_raw(name)?;
        if lab.complete {
            return Ok(lab);
        }
        Err(LabError::Failed(format!("lab {name} never came up: `holdfast lab --name {name} down` takes it away")))
    }

    /// Reads a lab that may be half made.
    pub fn load_raw(name: &str) -> Result<Self> {
        check_name("lab", name)?;
        let path = Paths::new(name).lab_json();
        if !path.exists() {
            return Err(LabError::Usage(format!("no lab named {name}: `holdfast lab --name {name} up` makes one")));
        }
        parse(&path)
    }

    pub fn save(&self) -> Result<()> {
        save(&self.paths().lab_json(), self)
    }

    pub fn machine(&self, machine: &str) -> Result<Machine> {
        let path = self.paths().machine_json(machine);
        if path.exists() { parse(&path) } else { Ok(Machine::default()) }
    }

    pub fn save_machine(&self, name: &str, machine: &Machine) -> Result<()> {
        save(&self.paths().machine_json(name), machine)
    }

    /// A node's name as given on the command line.
    pub fn check_node(&self, node: &str) -> Result<()> {
        if self.nodes.iter().any(|n| n == node) {
            return Ok(());
        }
        Err(LabError::Usage(format!("no node named {node} in lab {}: {}", self.name, self.nodes.join(", "))))
    }

    /// A node's name or `client`.
    pub fn check_machine(&self, machine: &str) -> Result<()> {
        if self.machines().any(|m| m == machine) {
            return Ok(());
        }
        Err(LabError::Usage(format!(
            "no machine named {machine} in lab {}: {}, {}",
            self.name,
            self.nodes.join(", "),
            addr::CLIENT
        )))
    }

    pub fn lan(&self, name: &str) -> Result<&Lan> {
        self.lans.iter().find(|l| l.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.lans.iter().map(|l| l.name.as_str()).collect();
            LabError::Usage(format!("no LAN named {name} in lab {}: {}", self.name, names.join(", ")))
        })
    }
}

/// Names end in paths, cgroups and `nft` rules: lower case letters, digits and `-`, at most 24.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let good = (1..=24).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if good {
        return Ok(());
    }
    Err(LabError::Usage(format!(
        "{name:?} can't name a {what}: 1 to 24 lower case letters, digits and -, not beginning with -"
    )))
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    serde_json::from_str(&read(path)?).map_err(|e| LabError::Failed(format!("{} is damaged: {e}", path.display())))
}

/// Beside, then renamed: a command that dies leaves the old state.
fn save<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| LabError::Failed(format!("writing {}: {e}", path.display())))?;
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    crate::error::write(&fresh, text)?;
    std::fs::rename(&fresh, path).context(|| format!("renaming to {}", path.display()))
}

/// Held while a command changes the lab; released when dropped.
pub struct Lock {
    _file: File,
}

/// How long a command waits for another one that changes the same lab.
const LOCK_WAIT: Duration = Duration::from_secs(60);

impl Lock {
    /// For what concerns the whole lab: making it, partitions, shapes.
    pub fn lab(name: &str) -> Result<Self> {
        Self::take(name, "lab")
    }

    /// For one machine's power, cables and disk: two machines can be hit in the same moment.
    pub fn machine(name: &str, machine: &str) -> Result<Self> {
        Self::take(name, machine)
    }

    /// For looking at the state and making the switches follow it.
    pub fn rules(name: &str) -> Result<Self> {
        Self::take(name, "rules")
    }

    fn take(name: &str, what: &str) -> Result<Self> {
        let path = Paths::new(name).lock(what);
        let file = File::create(&path).context(|| format!("opening {}", path.display()))?;
        let deadline = Instant::now() + LOCK_WAIT;
        // SAFETY: flock on a descriptor that we own.
        while unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            if Instant::now() > deadline {
                return Err(LabError::Timeout {
                    what: format!("another command holds {what} of lab {name}"),
                    waited_ms: LOCK_WAIT.as_millis() as u64,
                    hint: String::new(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_climb_or_inject_are_refused() {
        for wrong in ["", "-a", "a/b", "..", "A", "a b", "a\"", &"a".repeat(25)] {
            let e = check_name("lab", wrong).unwrap_err();
            assert_eq!(e.exit_code(), 2, "{wrong}");
        }
        check_name("lab", "e2e-7").unwrap();
    }
}
