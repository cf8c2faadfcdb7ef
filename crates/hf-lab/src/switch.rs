//! The LANs: one bridge in one network namespace each, kept by a process that does nothing else.
//!
//! Inside that namespace the bridge is `lan`, and the port of a machine has the machine's name. Inside a machine its cards
//! are `eth0`, `eth1` in the order of the LANs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::addr;
use crate::cgroup::Cgroup;
use crate::error::{Context, LabError, Result};
use crate::process::{ProcessId, check, run_tool, spawn_helper};
use crate::state::{Lab, Lan, Lock};

/// The whole life of `holdfast lab hold-switch`: a namespace, a line to say so, and waiting to be killed.
pub fn hold() -> Result<()> {
    // SAFETY: plain call; this process has one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
        .context(|| "making the switch's network namespace".to_owned())?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready").and_then(|()| stdout.flush()).context(|| "saying that the switch is ready".to_owned())?;
    loop {
        // SAFETY: sleeps until a signal ends the process.
        unsafe { libc::pause() };
    }
}

/// Starts a LAN's holder and puts the bridge into its namespace.
pub fn start(binary: &Path, lab: &str, name: &str, number: u8, log: &Path) -> Result<Lan> {
    let mut child = spawn_helper(binary, lab, &["hold-switch", name], log, true)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).context(|| format!("waiting for the switch of LAN {name}"))?;
    }
    let holder = ProcessId::of(child.id() as i32)
        .filter(|_| line == "ready\n")
        .ok_or_else(|| LabError::Failed(format!("the switch of LAN {name} did not start: see {}", log.display())))?;
    let lan = Lan { name: name.to_owned(), number, holder };
    // A bridge with a fixed address and no spanning tree: a port forwards as soon as it has a carrier.
    let script = format!(
        "link add lan address {} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set lan up\n",
        addr::mac(number, 0)
    );
    ip(&lan.namespace()?, &script)?;
    Ok(lan)
}

/// Runs a batch of `ip` commands in a namespace.
fn ip(net: &File, script: &str) -> Result<()> {
    run_tool("ip", &["-batch", "-"], script, Some(net))
}

impl Lan {
    /// The switch's network namespace.
    pub fn namespace(&self) -> Result<File> {
        namespace(&self.holder, &format!("the switch of LAN {}", self.name))
    }

    /// Lays a cable from the machine whose init is given, and brings up its end with its addresses.
    pub fn connect(&self, machine: &str, card: usize, init: &ProcessId) -> Result<()> {
        let host = number(machine)?;
        let (lan, pid) = (self.number, init.pid);
        let mac = addr::mac(lan, host);
        self.disconnect(machine)?;
        ip(
            &self.namespace()?,
            &format!(
                "link add name {machine} type veth peer name eth{card} address {mac} netns {pid}\n\
                 link set {machine} master lan\n"
            ),
        )?;
        let mut script = format!("link set lo up\naddr add {}/24 brd + dev eth{card}\n", addr::v4(lan, host));
        if Path::new("/proc/net/if_inet6").exists() {
            script += &format!("addr add {}/64 dev eth{card} nodad\n", addr::v6(lan, host));
        }
        script += &format!("link set eth{card} up\n");
        ip(&namespace(init, machine)?, &script)
    }

    /// Takes a cable away that the machine's last life left: its connections, which nobody closes after a power cut, keep its network
    /// namespace alive for minutes, and with it the other end.
    fn disconnect(&self, machine: &str) -> Result<()> {
        if !self.has_port(machine) {
            return Ok(());
        }
        match ip(&self.namespace()?, &format!("link del {machine}\n")) {
            // The old namespace ended by itself between the two, and took the cable with it.
            Err(_) if !self.has_port(machine) => Ok(()),
            other => other,
        }
    }

    /// The port's state: down is a pulled cable, as the machine sees it. A port that isn't there (no power) is fine.
    pub fn set_port(&self, machine: &str, up: bool) -> Result<()> {
        let what = || format!("setting the port of {machine} on LAN {}", self.name);
        let net = self.namespace()?;
        let done = in_namespace(&net, || set_link(machine, up)).context(what)?;
        match done {
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other.context(what),
        }
    }

    /// Whether the machine has a port here: it has while it has power.
    pub fn has_port(&self, machine: &str) -> bool {
        let Ok(net) = self.namespace() else {
            return false;
        };
        in_namespace(&net, || link_flags(machine, |_| None)).is_ok_and(|flags| flags.is_ok())
    }

    /// Whether the machine's port has a carrier on both sides.
    pub fn carrier(&self, machine: &str) -> bool {
        let Ok(net) = self.namespace() else {
            return false;
        };
        in_namespace(&net, || link_carrier(machine)).is_ok_and(|carrier| carrier.unwrap_or(false))
    }
}

fn number(machine: &str) -> Result<u8> {
    addr::number(machine).ok_or_else(|| LabError::Usage(format!("no machine named {machine}")))
}

/// The network namespace of a process, which must live.
pub fn namespace(process: &ProcessId, what: &str) -> Result<File> {
    if !process.is_alive() {
        return Err(LabError::Failed(format!("{what} is not running")));
    }
    File::open(process.proc("ns/net")).context(|| format!("entering the network of {what}"))
}

/// Runs `work` on a thread of its own inside a network namespace.
pub fn in_namespace<T: Send>(net: &File, work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    let fd = net.as_raw_fd();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: moves only this thread, which ends here.
            check(unsafe { libc::setns(fd, libc::CLONE_NEWNET) })?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread in the namespace panicked")))
    })
}

/// A socket and a request about one interface.
fn link_request(name: &str) -> std::io::Result<(OwnedFd, libc::ifreq)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    Ok((socket, request))
}

/// Reads an interface's flags, lets `change` set others, and writes those; `change` returning None only reads.
fn link_flags(name: &str, change: impl FnOnce(i32) -> Option<i32>) -> std::io::Result<i32> {
    let (socket, mut request) = link_request(name)?;
    // SAFETY: the kernel fills the ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request) })?;
    // SAFETY: SIOCGIFFLAGS sets this member.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    if let Some(wanted) = change(flags) {
        request.ifr_ifru.ifru_flags = wanted as libc::c_short;
        // SAFETY: the kernel reads the ifreq.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) })?;
    }
    Ok(flags)
}

fn set_link(name: &str, up: bool) -> std::io::Result<()> {
    link_flags(name, |flags| Some(if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP })).map(|_| ())
}

/// The carrier itself, which the flags (IFF_RUNNING) follow only after a while.
fn link_carrier(name: &str) -> std::io::Result<bool> {
    const ETHTOOL_GLINK: u32 = 0x0a;
    /// `struct ethtool_value` of linux/ethtool.h.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value { command: ETHTOOL_GLINK, data: 0 };
    let (socket, mut request) = link_request(name)?;
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the kernel fills the value to which the ifreq points.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut request) })?;
    Ok(value.data != 0)
}

/// The rules of one LAN: what partitions, frozen machines and lossy links drop on the way through the bridge.
fn ruleset(lab: &Lab, lan: &str, silent: &[String]) -> String {
    let mut rules = String::new();
    for machine in silent {
        rules += &format!("  iifname \"{machine}\" drop\n  oifname \"{machine}\" drop\n");
    }
    for drop in lab.drops.iter().filter(|d| d.lan == lan) {
        rules += &format!("  iifname \"{}\" oifname \"{}\" drop\n", drop.from, drop.to);
    }
    for shape in lab.shapes.iter().filter(|s| s.lan == lan) {
        // Of 10000, so that hundredths of a percent count.
        let loss = (shape.loss_percent.unwrap_or(0.0) * 100.0).round() as u32;
        if loss > 0 {
            let machine = &shape.machine;
            for side in ["iifname", "oifname"] {
                rules += &format!("  {side} \"{machine}\" numgen random mod 10000 < {loss} drop\n");
            }
        }
    }
    format!(
        "table bridge lab\ndelete table bridge lab\n\
         table bridge lab {{\n chain forward {{\n  type filter hook forward priority 0; policy accept;\n{rules} }}\n}}\n"
    )
}

/// Makes every switch drop exactly what the lab's state says now, in one transaction a switch.
///
/// The state is read under the lock: whoever comes last applies what all before have saved.
pub fn apply_rules(name: &str) -> Result<()> {
    let _lock = Lock::rules(name)?;
    let lab = Lab::load_raw(name)?;
    let mut silent = Vec::new();
    for machine in lab.machines() {
        if lab.machine(machine)?.frames_dropped {
            silent.push(machine.to_owned());
        }
    }
    for lan in &lab.lans {
        run_tool("nft", &["-f", "-"], &ruleset(&lab, &lan.name, &silent), Some(&lan.namespace()?))?;
    }
    Ok(())
}

/// The cgroup of a lab's helpers.
pub fn helpers(lab: &str) -> Result<Cgroup> {
    Ok(Cgroup::lab(lab)?.child("host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{DiskKind, Drop, Shape};

    fn lab() -> Lab {
        let nobody = ProcessId { pid: 0, start_ticks: 0 };
        let lan = |name: &str, number| Lan { name: name.to_owned(), number, holder: nobody };
        Lab {
            name: "x".to_owned(),
            nodes: vec!["node1".to_owned(), "node2".to_owned()],
            lans: vec![lan("default", 1), lan("repli", 2)],
            disk: DiskKind::Volatile,
            daemon: false,
            init: Default::default(),
            visible: Vec::new(),
            complete: true,
            drops: Default::default(),
            shapes: Vec::new(),
        }
    }

    /// The lines that drop something.
    fn drops(lab: &Lab, lan: &str, silent: &[String]) -> Vec<String> {
        let text = ruleset(lab, lan, silent);
        text.lines().filter(|l| l.ends_with(" drop")).map(|l| l.trim().to_owned()).collect()
    }

    #[test]
    fn without_faults_nothing_is_dropped_and_old_rules_go() {
        assert!(drops(&lab(), "default", &[]).is_empty());
        assert!(ruleset(&lab(), "default", &[]).contains("delete table bridge lab\n"));
    }

    #[test]
    fn each_fault_drops_on_its_lan_only() {
        let mut lab = lab();
        lab.drops.insert(Drop { lan: "repli".into(), from: "node1".into(), to: "node2".into() });
        lab.shapes.push(Shape {
            machine: "client".into(),
            lan: "default".into(),
            rate: None,
            delay: None,
            loss_percent: Some(2.5),
        });
        assert_eq!(drops(&lab, "repli", &[]), ["iifname \"node1\" oifname \"node2\" drop"]);
        assert_eq!(
            drops(&lab, "default", &["node2".to_owned()]),
            [
                "iifname \"node2\" drop",
                "oifname \"node2\" drop",
                "iifname \"client\" numgen random mod 10000 < 250 drop",
                "oifname \"client\" numgen random mod 10000 < 250 drop",
            ]
        );
    }
}
