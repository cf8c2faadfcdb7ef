//! Loop devices: one over each disk, marked with the lab's name, cleared by the kernel when its last user goes.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, LabError, Result, entries};
use crate::process::{check, wait_until};

const LOOP_SET_STATUS_SIZE: usize = 64;
const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_REMOVE: libc::c_ulong = 0x4C81;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;
/// Devices that the kernel makes at boot; only those above are removed again.
const BUILT_IN: u32 = 8;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; LOOP_SET_STATUS_SIZE],
    crypt_name: [u8; LOOP_SET_STATUS_SIZE],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// An open loop device: it stays configured while this or a mount uses it.
pub struct Loop {
    pub number: u32,
    _file: File,
}

fn device(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

/// What marks a device as the disk of this machine of this lab.
pub fn mark(lab: &str, machine: &str) -> String {
    format!("holdfast-lab/{lab}/{machine}")
}

/// Puts a loop device over `backing`. Cleared by the kernel when the last user closes it.
///
/// Direct: without it the loop driver would keep a second copy in the backing file's page cache.
pub fn attach(backing: &File, mark: &str) -> Result<Loop> {
    let control = File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .context(|| "opening /dev/loop-control".to_owned())?;
    // Another lab may take the number between asking and configuring.
    for _ in 0..64 {
        // SAFETY: takes no argument, returns a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
        check(number).context(|| "asking for a free loop device".to_owned())?;
        if let Some(found) = configure(number as u32, backing, mark)? {
            return Ok(found);
        }
    }
    Err(LabError::Failed("no free loop device after 64 tries".to_owned()))
}

fn configure(number: u32, backing: &File, mark: &str) -> Result<Option<Loop>> {
    let path = device(number);
    let opened = File::options().read(true).write(true).open(&path);
    let file = opened.context(|| format!("opening {}", path.display()))?;
    // SAFETY: LoopInfo is plain data, for which all zeroes is valid.
    let mut info: LoopInfo = unsafe { std::mem::zeroed() };
    info.flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    let len = mark.len().min(LOOP_SET_STATUS_SIZE - 1);
    info.file_name[..len].copy_from_slice(&mark.as_bytes()[..len]);
    let config = LoopConfig { fd: backing.as_raw_fd() as u32, block_size: 4096, info, reserved: [0; 8] };
    // SAFETY: the kernel reads a loop_config from the pointer.
    let done = check(unsafe { libc::ioctl(file.as_raw_fd(), LOOP_CONFIGURE, &config) });
    match done {
        Ok(()) => Ok(Some(Loop { number, _file: file })),
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(None),
        Err(e) => Err(e).context(|| format!("configuring {}", path.display())),
    }
}

/// Opens a configured device, which keeps it.
pub fn open(number: u32) -> Result<Loop> {
    let path = device(number);
    let opened = File::options().read(true).write(true).open(&path);
    let file = opened.context(|| format!("opening {}", path.display()))?;
    Ok(Loop { number, _file: file })
}

/// The path to mount.
pub fn path(number: u32) -> PathBuf {
    device(number)
}

/// Whose a device is, if it is configured.
fn mark_of(number: u32) -> Option<String> {
    let file = File::open(device(number)).ok()?;
    // SAFETY: as above.
    let mut info: LoopInfo = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a loop_info64 to the pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), LOOP_GET_STATUS64, &mut info) }).ok()?;
    let end = info.file_name.iter().position(|&b| b == 0)?;
    Some(String::from_utf8_lossy(&info.file_name[..end]).into_owned())
}

/// Every configured device that is a lab's disk, with its mark.
pub fn all_marked() -> Vec<(u32, String)> {
    entries(Path::new("/sys/block"))
        .into_iter()
        .filter_map(|p| p.file_name()?.to_str()?.strip_prefix("loop")?.parse().ok())
        .filter(|n| Path::new(&format!("/sys/block/loop{n}/loop/backing_file")).exists())
        .filter_map(|n| Some((n, mark_of(n)?)))
        .filter(|(_, mark)| mark.starts_with("holdfast-lab/"))
        .collect()
}

/// Waits until the device is free (its file system is gone), then removes it if the kernel didn't make it at boot.
/// False if it is still in use.
pub fn wait_free(number: u32, mark: &str, limit: Duration) -> bool {
    let free = wait_until(limit, || mark_of(number).as_deref() != Some(mark));
    if free {
        remove(number);
    }
    free
}

/// Detaches by force a device that nobody mounts any more.
pub fn clear(number: u32) {
    if let Ok(file) = File::open(device(number)) {
        // SAFETY: takes no argument. A device that is in use is cleared when its user goes.
        unsafe { libc::ioctl(file.as_raw_fd(), LOOP_CLR_FD) };
    }
}

/// Devices above those of boot were made for us. EBUSY means that somebody else has it by now.
fn remove(number: u32) {
    if number < BUILT_IN {
        return;
    }
    if let Ok(control) = File::open("/dev/loop-control") {
        // SAFETY: takes the number as its argument.
        unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_REMOVE, number as libc::c_ulong) };
    }
}
