//! What keeps heartbeats on time on a machine that is busy or short of memory.

use rustix::mm::{MlockAllFlags, mlockall};

/// Real-time priority (not inherited by children), all memory locked, last in line for the OOM killer. What fails is told and gone without.
pub fn this_process() -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = real_time() {
        problems.push(format!("no real-time priority: {error}"));
    }
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        problems.push(format!("memory not locked: {error}"));
    }
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        problems.push(format!("not protected from the OOM killer: {error}"));
    }
    problems
}

/// SCHED_RR at the lowest priority: above every ordinary process, below what an administrator made more urgent.
fn real_time() -> std::io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the structure lives during the call, which reads it; 0 is this thread.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameter) };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
