//! What a node sees under `/`.
//!
//! The root file system is the node's own disk. The host's programs (`/usr` and every other directory at the top that isn't listed
//! below) are mounted over it read-only, `/etc` is the host's with the node's changes on the node's disk, and `/proc`, `/sys`,
//! `/dev`, `/run`, `/tmp` are fresh at every boot. So everything that a node writes is on its own disk, or in memory.

use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::systemd;
use crate::addr;
use crate::disk::loopdev;
use crate::error::{Context, Result, entries, mkdir, write};
use crate::paths::VHOST_LIBRARY;
use crate::process::check;
use crate::state::Lab;

/// At the top of a node's root these are never the host's.
const OWN: &[&str] = &["boot", "data", "dev", "etc", "lost+found", "opt", "proc", "run", "srv", "sys", "tmp", "var"];
/// Made on a fresh disk.
const SKELETON: &[&str] = &[
    "data",
    "dev",
    "etc",
    "opt/holdfast",
    "proc",
    "run",
    "srv",
    "sys",
    "tmp",
    "var/cache",
    "var/holdfast",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
];
/// Devices of the host that a node may use.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "fuse"];
/// The installation and the working directory, as on a real machine.
pub const SAFE: &str = "/opt/holdfast";
pub const SAFEVAR: &str = "/var/holdfast";

/// Gives this process its own mounts; nothing it mounts shows anywhere else.
pub fn private_mounts() -> Result<()> {
    // SAFETY: plain call; on a process with several threads the kernel moves only this one.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).context(|| "making a mount namespace".to_owned())?;
    make_private()
}

fn make_private() -> Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context(|| "making our mounts private".to_owned())
}

/// Puts the root together and enters it. Runs as PID 1 of the new namespaces.
pub fn enter(lab: &Lab, machine: &str, boot_id: &str, loop_number: Option<u32>) -> Result<()> {
    make_private()?;
    let root = lab.paths().root(machine);
    match loop_number {
        Some(number) => mount_fs(&loopdev::path(number), &root, "ext4", MsFlags::empty(), "")?,
        None => bind(&lab.paths().client_root(), &root)?,
    }
    for dir in SKELETON {
        mkdir(&root.join(dir))?;
    }
    for dir in ["tmp", "var/tmp"] {
        set_mode(&root.join(dir), 0o1777)?;
    }
    let with_systemd = lab.has_systemd(machine);
    borrow_host_directories(&root, with_systemd)?;
    if with_systemd {
        systemd::writable_programs(&root)?;
    }
    own_etc(lab, machine, &root)?;
    if lab.daemon || !with_systemd {
        install(lab, machine, &root)?;
    }
    if lab.daemon && with_systemd {
        systemd::install_unit(&root)?;
    }
    fresh_at_boot(&root, boot_id)?;
    for dir in &lab.visible {
        let target = below(&root, dir);
        mkdir(&target)?;
        bind_read_only(dir, &target)?;
    }
    sync(&root)?;
    pivot(&root)
}

/// An absolute path, seen from `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// What of the host a machine must see besides: the source tree (or at least the directory) of the binary, if it lies where machines have
/// directories of their own, and the file system that it is on, if that is mounted deeper than at the top. So what was built beside the
/// binary can be run in every machine, wherever it was built.
pub fn also_visible(binary: &Path) -> Vec<PathBuf> {
    let Some(dir) = binary.parent() else {
        return Vec::new();
    };
    let source = binary.ancestors().skip(1).find(|dir| dir.join("Cargo.lock").exists());
    let dir = source.unwrap_or(dir);
    let top = dir.components().nth(1).map(|c| c.as_os_str().to_owned());
    let own = top.is_some_and(|top| OWN.iter().any(|name| *name == top));
    let wanted = if own { dir.to_owned() } else { mount_point_of(dir) };
    let hides_ours = SKELETON.iter().any(|made| Path::new("/").join(made).starts_with(&wanted));
    let at_top = wanted.components().count() <= 2;
    if hides_ours || (at_top && !own) { Vec::new() } else { vec![wanted] }
}

/// Where the file system that `path` is on is mounted.
fn mount_point_of(path: &Path) -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|point| path.starts_with(point))
        .max_by_key(|point| point.components().count())
        .unwrap_or_else(|| PathBuf::from("/"))
}

/// Mounts a file system.
pub fn mount_fs(source: &Path, target: &Path, fs: &str, flags: MsFlags, options: &str) -> Result<()> {
    mount(Some(source), target, Some(fs), flags, (!options.is_empty()).then_some(options))
        .context(|| format!("mounting {fs} on {}", target.display()))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context(|| format!("binding {} to {}", source.display(), target.display()))
}

/// A bind of one mount, read-only. Without what is mounted in it: a machine must not keep alive what the host unmounts.
fn bind_read_only(source: &Path, target: &Path) -> Result<()> {
    let what = || format!("binding {} to {}", source.display(), target.display());
    bind(source, target)?;
    // SAFETY: mount_attr is plain data, for which all zeroes is valid.
    let mut attr: libc::mount_attr = unsafe { std::mem::zeroed() };
    attr.attr_set = libc::MOUNT_ATTR_RDONLY;
    let path = CString::new(target.as_os_str().as_encoded_bytes()).map_err(std::io::Error::from).context(what)?;
    // SAFETY: a C string and a mount_attr of the size given.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, libc::AT_FDCWD, path.as_ptr(), 0, &attr, size_of::<libc::mount_attr>())
    };
    check(done as i32).context(what)
}

/// `/usr` (unless the machine has its own) and whatever else the host has at the top: directories are bound, links copied.
fn borrow_host_directories(root: &Path, own_usr: bool) -> Result<()> {
    for source in entries(Path::new("/")) {
        let Some(name) = source.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        if OWN.contains(&name) || (own_usr && name == "usr") {
            continue;
        }
        let target = root.join(name);
        if let Ok(to) = std::fs::read_link(&source) {
            if std::fs::symlink_metadata(&target).is_err() {
                symlink(to, &target).context(|| format!("making {}", target.display()))?;
            }
        } else if source.is_dir() {
            mkdir(&target)?;
            bind_read_only(&source, &target)?;
        }
    }
    for (link, to) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        let link = root.join(link);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(to, &link).context(|| format!("making {}", link.display()))?;
        }
    }
    Ok(())
}

/// The host's `/etc` with the node's own name on top; what the node changes is on its disk.
fn own_etc(lab: &Lab, machine: &str, root: &Path) -> Result<()> {
    let upper = root.join(".etc/upper");
    let work = root.join(".etc/work");
    mkdir(&upper)?;
    mkdir(&work)?;
    if lab.has_systemd(machine) {
        systemd::hide_units(&upper)?;
    }
    let options = format!("lowerdir=/etc,upperdir={},workdir={}", upper.display(), work.display());
    let etc = root.join("etc");
    mount_fs(Path::new("overlay"), &etc, "overlay", MsFlags::empty(), &options)?;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    for lan in &lab.lans {
        for other in lab.machines() {
            // The first LAN gives the plain name, the others `node1-repli`.
            let suffix = if lan.number == 1 { String::new() } else { format!("-{}", lan.name) };
            let number = addr::number(other).unwrap_or_default();
            hosts += &format!("{} {other}{suffix}\n", addr::v4(lan.number, number));
        }
    }
    write_if_new(&etc.join("hosts"), &hosts)?;
    write_if_new(&etc.join("hostname"), &format!("{machine}\n"))?;
    // 32 hex digits that stay over reboots and differ between machines.
    let number = addr::number(machine).unwrap_or_default();
    write_if_new(&etc.join("machine-id"), &format!("686f6c6466617374{:014x}{number:02x}\n", lab_hash(&lab.name)))
}

/// 56 bits that tell labs apart.
fn lab_hash(name: &str) -> u64 {
    name.bytes().fold(7, |hash: u64, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte))) & 0x00ff_ffff_ffff_ffff
}

/// A boot that changes nothing writes nothing.
fn write_if_new(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write(path, text)
}

/// The installation (`SAFE`), and on nodes the cluster's configuration on a first boot.
fn install(lab: &Lab, machine: &str, root: &Path) -> Result<()> {
    let paths = lab.paths();
    let safe = below(root, Path::new(SAFE));
    for name in ["holdfast", "safekit"] {
        let target = safe.join(name);
        if !target.exists() {
            write(&target, "")?;
        }
        bind(&paths.binary(), &target)?;
    }
    copy_missing(&paths.packages(), &safe.join("Application_Modules"))?;
    let library = paths.vhost_library();
    if library.exists() {
        let lib = safe.join("private/lib");
        mkdir(&lib)?;
        std::fs::copy(&library, lib.join(VHOST_LIBRARY)).context(|| format!("copying {}", library.display()))?;
    }
    if machine == addr::CLIENT {
        return Ok(());
    }
    copy_missing(&paths.cluster(), &below(root, Path::new(SAFEVAR)).join("cluster"))
}

/// Copies the files of one directory that the other doesn't have, with their modes.
fn copy_missing(from: &Path, to: &Path) -> Result<()> {
    mkdir(to)?;
    for source in entries(from) {
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = to.join(name);
        if !target.exists() {
            std::fs::copy(&source, &target)
                .context(|| format!("copying {} to {}", source.display(), target.display()))?;
        }
    }
    Ok(())
}

/// What a machine has anew at every boot.
fn fresh_at_boot(root: &Path, boot_id: &str) -> Result<()> {
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let none = Path::new("none");
    mount_fs(none, &root.join("proc"), "proc", plain, "")?;
    mount_fs(none, &root.join("run"), "tmpfs", plain, "mode=0755")?;
    mount_fs(none, &root.join("tmp"), "tmpfs", plain, "mode=1777")?;
    mkdir(&root.join("run/lock"))?;
    mount_fs(none, &root.join("sys"), "sysfs", plain, "")?;
    mount_fs(none, &root.join("sys/fs/cgroup"), "cgroup2", plain, "")?;
    mount_fs(none, &root.join("sys/fs/fuse/connections"), "fusectl", plain, "")?;
    devices(&root.join("dev"))?;
    let id = root.join("run/boot_id");
    write(&id, format!("{boot_id}\n"))?;
    bind(&id, &root.join("proc/sys/kernel/random/boot_id"))
}

fn devices(dev: &Path) -> Result<()> {
    let none = Path::new("none");
    mount_fs(none, dev, "tmpfs", MsFlags::MS_NOSUID, "mode=0755")?;
    for name in DEVICES {
        let target = dev.join(name);
        write(&target, "")?;
        bind(&Path::new("/dev").join(name), &target)?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, dev.join(name)).context(|| format!("making {name} in {}", dev.display()))?;
    }
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (name, fs, options) in [
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5"),
        ("shm", "tmpfs", "mode=1777"),
        ("mqueue", "mqueue", ""),
    ] {
        let target = dev.join(name);
        mkdir(&target)?;
        mount_fs(none, &target, fs, safe, options)?;
    }
    Ok(())
}

/// What was prepared survives a power cut that comes at once.
fn sync(root: &Path) -> Result<()> {
    let what = || format!("syncing {}", root.display());
    let dir = std::fs::File::open(root).context(what)?;
    // SAFETY: a descriptor that we own.
    check(unsafe { libc::syncfs(std::os::fd::AsRawFd::as_raw_fd(&dir)) }).context(what)
}

/// Makes `root` (a mount) the root and lets go of the host's.
pub fn pivot(root: &Path) -> Result<()> {
    let what = || format!("entering {}", root.display());
    std::env::set_current_dir(root).context(what)?;
    nix::unistd::pivot_root(".", ".").context(what)?;
    umount2(".", MntFlags::MNT_DETACH).context(what)?;
    std::env::set_current_dir("/").context(what)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .context(|| format!("setting the mode of {}", path.display()))
}

/// Runs `work` where `/sys/fs/fuse/connections` is mounted, whether or not the host has it.
pub fn with_fuse_connections(work: impl FnOnce(&Path) + Send) -> Result<()> {
    let dir = PathBuf::from("/sys/fs/fuse/connections");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            private_mounts()?;
            let none = Path::new("none");
            if !mounted_on(&dir) {
                mount_fs(none, &dir, "fusectl", MsFlags::empty(), "")?;
            }
            work(&dir);
            Ok(())
        });
        thread.join().unwrap_or_else(|_| {
            Err(crate::error::LabError::Failed("the thread that looks at FUSE connections panicked".to_owned()))
        })
    })
}

fn mounted_on(dir: &Path) -> bool {
    std::fs::read_to_string("/proc/thread-self/mountinfo")
        .is_ok_and(|text| text.lines().any(|l| l.split(' ').nth(4) == dir.to_str()))
}
