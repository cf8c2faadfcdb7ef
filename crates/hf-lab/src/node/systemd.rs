//! systemd as PID 1 of a node (`up --init systemd`): real units, watchdog and journal, and nothing that reaches out of the node.
//!
//! systemd takes the node for a container, so it leaves disks and swap alone. Of the units that the host has, only those
//! start that a node needs: everything else that a target wants is masked, and no generator runs, because generators look at the
//! host's devices and services.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::MsFlags;

use super::root::{SAFE, mount_fs};
use crate::error::{Context, LabError, Result, entries, mkdir, write};
use crate::process::check;

/// Where Debian has it.
const PROGRAM: &str = "/lib/systemd/systemd";
const UNITS: &str = "usr/lib/systemd/system";
const GENERATORS: &str = "usr/lib/systemd/system-generators";
/// What targets want and get.
const KEPT: &[&str] = &[
    "dbus.service",
    "dbus.socket",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-tmpfiles-setup.service",
];
/// Not wanted by a target's directory, but by other units.
const ALSO_MASKED: &[&str] =
    &["systemd-logind.service", "systemd-networkd.service", "systemd-resolved.service", "tmp.mount"];
/// The unit as the Debian package has it.
const UNIT: &str = include_str!("../../../../packaging/holdfast.service");

/// Whether this machine can do it at all.
pub fn require() -> Result<()> {
    if Path::new(PROGRAM).exists() {
        return Ok(());
    }
    Err(LabError::Usage(format!("--init systemd: there is no {PROGRAM} here: apt-get install systemd")))
}

/// PID 1.
pub fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("container", "holdfast-lab");
    command
}

/// What ends systemd in good order: it stops all units, then the machine (systemd(1), SIGNALS).
pub fn shut_down_signal() -> i32 {
    libc::SIGRTMIN() + 4
}

/// `/usr` that can be installed into, and the package manager's database: the host's, with the node's changes on its own disk.
pub fn writable_programs(root: &Path) -> Result<()> {
    overlay(root, Path::new("/usr"), "usr")?;
    let dpkg = Path::new("/var/lib/dpkg");
    if dpkg.is_dir() { overlay(root, dpkg, "var/lib/dpkg") } else { Ok(()) }
}

fn overlay(root: &Path, lower: &Path, at: &str) -> Result<()> {
    let own = root.join(format!(".{}", at.replace('/', "-")));
    for dir in [own.join("upper"), own.join("work"), root.join(at)] {
        mkdir(&dir)?;
    }
    let (lower, own) = (lower.display(), own.display());
    let options = format!("lowerdir={lower},upperdir={own}/upper,workdir={own}/work");
    mount_fs(Path::new("overlay"), &root.join(at), "overlay", MsFlags::empty(), &options)
}

/// On a first boot, before `/etc` is put together: the host's units and generators are out of sight.
pub fn hide_units(upper: &Path) -> Result<()> {
    let system = upper.join("systemd/system");
    if system.exists() {
        return Ok(());
    }
    mkdir(&system)?;
    opaque(&system)?;
    let mut masked: BTreeSet<String> = ALSO_MASKED.iter().map(|name| (*name).to_owned()).collect();
    for dir in entries(&Path::new("/").join(UNITS)) {
        if dir.extension().is_some_and(|end| end == "wants") {
            let wanted = entries(&dir).into_iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
            masked.extend(wanted.filter(|name| !KEPT.contains(&name.as_str()) && !is_structure(name)));
        }
    }
    for name in masked {
        link(Path::new("/dev/null"), &system.join(name))?;
    }
    link(&Path::new("/").join(UNITS).join("multi-user.target"), &system.join("default.target"))?;
    let generators = upper.join("systemd/system-generators");
    mkdir(&generators)?;
    for generator in entries(&Path::new("/").join(GENERATORS)) {
        if let Some(name) = generator.file_name() {
            link(Path::new("/dev/null"), &generators.join(name))?;
        }
    }
    Ok(())
}

/// Targets and slices do nothing by themselves.
fn is_structure(unit: &str) -> bool {
    unit.ends_with(".target") || unit.ends_with(".slice")
}

/// An overlay shows nothing of the lower directory here.
fn opaque(dir: &Path) -> Result<()> {
    let what = || format!("hiding what is below {}", dir.display());
    let path =
        std::ffi::CString::new(dir.as_os_str().as_encoded_bytes()).map_err(std::io::Error::from).context(what)?;
    let name = c"trusted.overlay.opaque";
    // SAFETY: two C strings, and one byte of which the length is given.
    check(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), c"y".as_ptr().cast(), 1, 0) }).context(what)
}

/// The daemon's unit, enabled, and the command line in the path: what the Debian package brings.
pub fn install_unit(root: &Path) -> Result<()> {
    let system = root.join("etc/systemd/system");
    let unit = system.join("holdfast.service");
    if unit.exists() {
        return Ok(());
    }
    write(&unit, UNIT)?;
    let wants = system.join("multi-user.target.wants");
    mkdir(&wants)?;
    link(Path::new("/etc/systemd/system/holdfast.service"), &wants.join("holdfast.service"))?;
    for name in ["holdfast", "safekit"] {
        let program = PathBuf::from(SAFE).join(name);
        let at = root.join("usr/bin").join(name);
        if std::fs::symlink_metadata(&at).is_err() {
            link(&program, &at)?;
        }
    }
    Ok(())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    symlink(to, at).context(|| format!("making {}", at.display()))
}
