//! What happens in the child between fork and exec: everything that the script must not inherit is undone.
//!
//! Only async-signal-safe calls are allowed here, and no allocation: other threads of the parent may have
//! held any lock when the child was split off.

use std::io;
use std::os::fd::RawFd;

/// `cgroup_procs` is an open `cgroup.procs` of the cgroup to enter, if there is one.
pub(crate) fn prepare(cgroup_procs: Option<RawFd>) -> io::Result<()> {
    if let Some(fd) = cgroup_procs {
        enter_cgroup(fd)?;
    }
    own_session()?;
    reset_signals();
    reset_priority()?;
    reset_oom_score()?;
    // SAFETY: umask can't fail and touches no memory.
    unsafe { libc::umask(0o022) };
    hide_descriptors();
    Ok(())
}

fn enter_cgroup(fd: RawFd) -> io::Result<()> {
    // SAFETY: one byte of a static is written to an open descriptor. "0" means the writing process.
    check(unsafe { libc::write(fd, c"0".as_ptr().cast(), 1) })
}

/// A session, and with it a process group, of its own: a signal to the group reaches the script and its
/// children and nobody else, and no terminal of ours reaches them.
fn own_session() -> io::Result<()> {
    // SAFETY: setsid takes nothing. The child of a fork is never a group leader, so it works.
    check(unsafe { libc::setsid() } as isize)
}

/// An ignored signal stays ignored over exec, and the mask is kept; daemons of others are puzzled by that.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid handler. Fails for SIGKILL, SIGSTOP and the C library's own, which
        // are never ignored.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is made by sigemptyset before it is used; the old mask isn't asked for.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// Ours run with real-time priority or a negative nice value so that load doesn't delay a heartbeat; the
/// application gets no such thing. Locked memory isn't inherited, so nothing is to be done about it.
fn reset_priority() -> io::Result<()> {
    // SAFETY: a zeroed parameter is priority 0, the only one for SCHED_OTHER.
    unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        check(libc::sched_setscheduler(0, libc::SCHED_OTHER, &parameter) as isize)?;
        check(libc::setpriority(libc::PRIO_PROCESS, 0, 0) as isize)
    }
}

/// Ours are protected, the application isn't. Raising the score is always allowed; without CAP_SYS_RESOURCE the kernel
/// refuses to lower one, but then it isn't ours that is inherited, and the script runs with it.
fn reset_oom_score() -> io::Result<()> {
    // SAFETY: the path is a static C string; the descriptor is closed before it goes out of scope.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        check(fd as isize)?;
        let written = libc::write(fd, c"0".as_ptr().cast(), 1);
        let result = check(written);
        libc::close(fd);
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(()),
            other => other,
        }
    }
}

/// Ours are all close-on-exec already; this is for what we inherited ourselves or a library forgot. A daemon
/// must not hold a socket or a lock of ours for years. Kernels before 5.11 answer EINVAL: then only that.
fn hide_descriptors() {
    // SAFETY: changes flags of descriptors only; they close at exec.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

fn check(result: isize) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
