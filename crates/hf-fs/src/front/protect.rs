//! Protecting a process that serves a mount from the machine's memory shortage.
//!
//! When memory is short the kernel writes dirty pages back through this process: if it had to wait for memory itself, it would wait for
//! its own mount.

use std::io;

use rustix::mm::MlockAllFlags;

// From the kernel's `linux/prctl.h`; the libc crate hasn't got them.
const PR_SET_THP_DISABLE: i32 = 41;
const PR_SET_IO_FLUSHER: i32 = 57;

/// What couldn't be had. The process works without, less safely.
#[derive(Debug, thiserror::Error)]
#[error("{what} can't be set for this process")]
pub struct ProtectError {
    /// Which of them.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// Locks memory as it is touched (and keeps huge pages away: while the kernel makes one, the pages of a read buffer are gone for a moment, and a
/// server that is killed in that moment loses the request), spares the process from the OOM killer, and lets its allocations use the reserves of I/O
/// (`PR_SET_IO_FLUSHER`). All are tried; what failed is returned. Children don't inherit the lock, but do inherit the score.
pub fn protect_process() -> Vec<ProtectError> {
    let attempts = [
        ("PR_SET_THP_DISABLE", control(PR_SET_THP_DISABLE)),
        ("mlockall", lock_memory()),
        ("oom_score_adj", spare_from_oom(-1000)),
        ("PR_SET_THP_DISABLE", control(PR_SET_THP_DISABLE)),
        ("PR_SET_IO_FLUSHER", control(PR_SET_IO_FLUSHER)),
    ];
    let failed = attempts.into_iter().filter_map(|(what, done)| Some((what, done.err()?)));
    failed.map(|(what, source)| ProtectError { what, source }).collect()
}

/// Sets how willingly the kernel kills this process when memory is short: -1000 (never) to 1000 (first).
pub fn spare_from_oom(score: i32) -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
}

/// `ONFAULT`: the session's buffers are 16 MiB a thread in the address space, of which 1 MiB is ever touched.
fn lock_memory() -> io::Result<()> {
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    Ok(rustix::mm::mlockall(flags)?)
}

/// Switches one of the process's own settings on.
fn control(option: i32) -> io::Result<()> {
    let (on, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: no memory is passed.
    let done = unsafe { libc::prctl(option, on, none, none, none) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
