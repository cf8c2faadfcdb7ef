//! Which directory grows. A walk costs the disk something: it goes at the lowest priority, seldom, and never beyond its bounds.

use super::seen::Grew;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(300);
/// Walks that are kept: an hour.
const KEPT: usize = 13;
/// Directories are told apart to this depth; what lies deeper counts to the one above.
const DEPTH: usize = 3;
const DIRECTORIES_MAX: usize = 5_000;
const ENTRIES_MAX: usize = 200_000;
const WALK_MAX: Duration = Duration::from_secs(60);

/// Bytes on the disk by directory, without those below that have an entry of their own.
pub(super) type Sizes = BTreeMap<PathBuf, u64>;

/// What was found, the oldest first.
#[derive(Default)]
pub(super) struct Walks(VecDeque<(Instant, Sizes)>);

impl Walks {
    pub(super) fn add(&mut self, at: Instant, sizes: Sizes) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((at, sizes));
    }

    /// Who grew most between the oldest walk and the newest.
    pub(super) fn grew(&self, now: Instant) -> Option<Grew> {
        let ((since, before), (_, after)) = (self.0.front()?, self.0.back()?);
        let grown = after.iter().map(|(dir, size)| (size.saturating_sub(before.get(dir).copied().unwrap_or(0)), dir));
        let (bytes, dir) = grown.max_by_key(|(bytes, _)| *bytes).filter(|(bytes, _)| *bytes > 0)?;
        let seconds = now.saturating_duration_since(*since).as_secs();
        Some(Grew { dir: dir.display().to_string(), bytes, seconds })
    }
}

/// Walks for ever.
pub(super) fn repeat(root: &Path, walks: &Mutex<Walks>) {
    be_last();
    loop {
        // A directory that can't be walked, or not within the bounds, is one of which nothing is said.
        if let Ok(Some(sizes)) = walk(root, ENTRIES_MAX) {
            walks.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now(), sizes);
        }
        std::thread::sleep(EVERY);
    }
}

/// This thread gets the processor and the disk when nobody else wants them.
fn be_last() {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const IDLE: libc::c_int = 3 << 13;
    // SAFETY: both take numbers only, and concern this thread; where they are refused it just isn't the last one.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE);
    }
}

/// Sizes of `root` and what is below it on the same file system; none if there is more than the bounds allow.
pub(super) fn walk(root: &Path, entries_max: usize) -> io::Result<Option<Sizes>> {
    let began = Instant::now();
    let device = root.symlink_metadata()?.dev();
    let mut sizes = Sizes::from([(root.to_owned(), 0)]);
    let mut entries = 0;
    let mut open = vec![(root.to_owned(), root.to_owned(), 0)];
    while let Some((dir, counted, depth)) = open.pop() {
        // What goes away meanwhile is not there.
        let Ok(listed) = dir.read_dir() else { continue };
        for entry in listed.flatten() {
            entries += 1;
            if entries > entries_max || began.elapsed() > WALK_MAX {
                return Ok(None);
            }
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            *sizes.entry(counted.clone()).or_default() += metadata.blocks() * 512;
            if metadata.is_dir() && metadata.dev() == device {
                let own = depth < DEPTH && sizes.len() < DIRECTORIES_MAX;
                let counted = if own { entry.path() } else { counted.clone() };
                sizes.entry(counted.clone()).or_default();
                open.push((entry.path(), counted, depth + 1));
            }
        }
    }
    Ok(Some(sizes))
}
