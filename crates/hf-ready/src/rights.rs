//! Giving every right away, before the first stranger is listened to.

use std::fs::File;
use std::io;
use std::net::TcpListener;

use rustix::process::{Gid, Resource, Rlimit, Uid, geteuid, setrlimit};
use rustix::thread::{
    UnshareFlags, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use crate::serve::{Limits, serve};

/// The user `nobody`.
const NOBODY: u32 = 65_534;
/// Address space, of which the program itself is most.
const MEMORY_MAX: u64 = 1 << 30;
/// Beside connections: standard input, output, error, and what the runtime has open.
const OTHER_FILES: u64 = 16;

/// `holdfast ready`, in an empty directory: standard input brings the daemon's lines, standard output **is** the listening socket.
/// Ends when the daemon does.
pub fn run_as_nobody() -> io::Result<()> {
    let limits = Limits::default();
    drop_rights(&limits)?;
    let feed = File::from(rustix::io::dup(io::stdin())?);
    let listener = TcpListener::from(rustix::io::dup(io::stdout())?);
    serve(&listener, feed, &limits)
}

/// No way back: also not by a set-user program, and no new process.
fn drop_rights(limits: &Limits) -> io::Result<()> {
    if geteuid().is_root() {
        // The daemon is the last to be killed when memory runs out, and a child inherits that.
        std::fs::write("/proc/self/oom_score_adj", "500")?;
        // SAFETY: this thread is the only one, and shares nothing with another process. The socket that listens stays where it was made;
        // some containers don't let root unshare.
        let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWIPC) };
        rustix::process::chroot(".")?;
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
    }
    set_no_new_privs(true)?;
    let files = u64::try_from(limits.connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let bounds = [
        (Resource::As, MEMORY_MAX),
        (Resource::Nofile, files),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in bounds {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
