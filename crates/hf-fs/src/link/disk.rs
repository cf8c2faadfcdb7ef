//! Is this node's disk there? A failure is met by whoever uses the disk; a disk that hangs is noticed here (reference 004, 13.6.3: `checktime`,
//! `checkintv`), also while nobody writes.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hf_replica::engine::EngineEvent;
use rustix::fs::{Mode, OFlags};

use super::Link;
use crate::backing::Backing;

const TICK: Duration = Duration::from_millis(200);
/// A page: the whole file, overwritten in place, so that it needs no room later.
const PROBE: usize = 4096;

/// How the disk is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskCheck {
    /// `checktime`: after so long without an answer the disk counts as failed.
    pub time: Duration,
    /// `checkintv`: how often something is written for the sake of an answer.
    pub interval: Duration,
}

impl Default for DiskCheck {
    fn default() -> DiskCheck {
        DiskCheck { time: Duration::from_secs(220), interval: Duration::from_secs(120) }
    }
}

impl Link {
    /// Writes something durably to each directory's disk, now and then. Waits as long as the disk hangs: nobody waits for this thread.
    pub(super) fn probe_loop(self: &Arc<Link>) {
        let mut probed = Instant::now();
        while !self.is_over() {
            std::thread::sleep(TICK.min(self.options.disk.interval));
            if probed.elapsed() < self.options.disk.interval {
                continue;
            }
            probed = Instant::now();
            for dir in &self.dirs {
                self.judge(probe(&dir.backing));
            }
        }
    }

    /// A full disk is a healthy one: nothing was asked of it that it must have room for.
    fn judge(&self, probed: io::Result<()>) {
        match probed {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => {
                tracing::debug!("no room for the disk's check");
            }
            Err(error) => self.local_fault("checking the disk", &error),
            Ok(()) => {}
        }
    }

    /// Reports a disk that hangs, once, and first that it doesn't. `told`: what was said last, whether it hangs.
    pub(super) fn watch_disk(&self, told: &mut Option<bool>) {
        let longest = self.dirs.iter().map(|dir| dir.backing.calls().longest()).max().unwrap_or_default();
        let hangs = longest >= self.options.disk.time;
        if *told != Some(hangs) {
            self.report(EngineEvent::Responding(!hangs));
        }
        if hangs && *told != Some(true) {
            let seconds = longest.as_secs();
            let error = io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {seconds} s (checktime)"));
            self.local_fault("waiting for the disk", &error);
            self.statistics.hung.fetch_add(1, Ordering::Relaxed);
        }
        *told = Some(hangs);
    }
}

fn probe(backing: &Backing) -> io::Result<()> {
    let _call = backing.calls().begin();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::openat(backing.hold(), c"../probe", flags, Mode::RUSR | Mode::WUSR)?;
    let file = File::from(file);
    file.write_all_at(&[0; PROBE], 0)?;
    file.sync_data()
}
