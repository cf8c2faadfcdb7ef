//! What is held, a mount each.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::protocol::Options;

/// How long a successor waits for its predecessor's end, in seconds.
const PREDECESSOR_S: i64 = 30;

/// A mount, or what is kept for one that isn't there yet.
#[derive(Default)]
pub(super) struct Held {
    pub mount: Option<Mount>,
    pub kept: BTreeMap<String, OwnedFd>,
    server: Option<Process>,
}

pub(super) struct Mount {
    pub device: OwnedFd,
    pub init_request: Vec<u8>,
    pub init_answer: Option<Vec<u8>>,
}

struct Process {
    pid: i32,
    pidfd: OwnedFd,
}

impl Mount {
    /// Whether the connection was aborted: only then does its descriptor report an error (fuse_dev_poll in the kernel).
    pub fn is_aborted(&self) -> bool {
        let mut fds = [PollFd::new(&self.device, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
    }
}

impl Held {
    /// Remembers who serves. What an earlier one left behind must be gone: ask [`Held::predecessor`] first.
    pub fn attach(&mut self, pid: i32) -> io::Result<()> {
        let process = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        self.server = Some(Process { pid, pidfd: pidfd_open(process, PidfdFlags::empty())? });
        Ok(())
    }

    /// Another process that served before: its descriptor, to wait for its end.
    pub fn predecessor(&self, pid: i32) -> io::Result<Option<(i32, OwnedFd)>> {
        match &self.server {
            Some(server) if server.pid != pid => Ok(Some((server.pid, server.pidfd.try_clone()?))),
            _ => Ok(None),
        }
    }

    /// The memory file of this name, and whether it was made now.
    pub fn memory(&mut self, name: &str, size: u64) -> io::Result<(&OwnedFd, bool)> {
        let fresh = !self.kept.contains_key(name);
        if fresh {
            let label = std::ffi::CString::new(format!("hf-{name}"))?;
            let file = rustix::fs::memfd_create(&label, MemfdFlags::CLOEXEC)?;
            if size > 0 {
                // Allocated now: running out of memory is an error here instead of a signal there.
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)?;
            }
            self.kept.insert(name.to_owned(), file);
        }
        Ok((&self.kept[name], fresh))
    }
}

/// Waits until a process is completely gone. False when it isn't in time.
pub(super) fn wait_gone(pidfd: &OwnedFd) -> io::Result<bool> {
    let limit = Timespec { tv_sec: PREDECESSOR_S, tv_nsec: 0 };
    loop {
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Ok(n) => return Ok(n > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Mounts and reads the kernel's INIT request, which comes once.
pub(super) fn mount(mountpoint: &str, options: &Options) -> io::Result<Mount> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/fuse", flags, Mode::empty())?;
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=1048576",
        device.as_raw_fd()
    );
    let data = std::ffi::CString::new(data)?;
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOSUID, !options.suid);
    rustix::mount::mount(options.source.as_str(), mountpoint, "fuse.holdfast", flags, Some(data.as_c_str()))?;
    match read_init(&device) {
        Ok(init_request) => Ok(Mount { device, init_request, init_answer: None }),
        Err(error) => {
            unmount(mountpoint, true)?;
            Err(error)
        }
    }
}

fn read_init(device: &OwnedFd) -> io::Result<Vec<u8>> {
    // The kernel refuses to read into less than this.
    let mut request = vec![0; 128 * 1024];
    let n = rustix::io::read(device.as_fd(), &mut request)?;
    request.truncate(n);
    Ok(request)
}

pub(super) fn unmount(mountpoint: &str, lazy: bool) -> io::Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, lazy);
    match rustix::mount::unmount(mountpoint, flags) {
        // Somebody unmounted it already.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
