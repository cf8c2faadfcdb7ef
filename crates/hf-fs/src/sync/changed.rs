//! What changed here since the other copy followed (reference 004, 13.6.4.6).
//!
//! Every change of a file, its content or its attributes sets its ctime, which nobody can set back. So the files whose ctime isn't older than
//! the last moment at which both copies were equal are those that changed, and perhaps some of that very moment.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use hf_wire::check::Changed;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use crate::link::Link;

/// For the estimate: what two ordinary machines compare, and what a gigabit carries, in bytes a second.
const COMPARED_A_SECOND: u64 = 400_000_000;
const SENT_A_SECOND: u64 = 110_000_000;

/// Counts in all replicated directories; `since_s` is the last moment at which both copies were equal, seconds since 1970.
pub fn changed(link: &Link, since_s: Option<i64>) -> io::Result<Changed> {
    let began = Instant::now();
    let mut all = Changed { since_s, ..Changed::default() };
    for dir in &link.dirs {
        let root = open(dir.backing.root(), c".")?;
        let mut waiting = vec![root];
        while let Some(next) = waiting.pop() {
            count(&next, &mut all, &mut waiting)?;
        }
    }
    all.elapsed_ms = began.elapsed().as_millis() as u64;
    let rate = link.options.check_bandwidth.map_or(SENT_A_SECOND, |limit| limit.clamp(1, SENT_A_SECOND));
    all.estimate_s = all.bytes_total / COMPARED_A_SECOND + all.bytes_changed / rate + 1;
    Ok(all)
}

fn open(dir: impl AsFd, name: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOATIME;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// One directory; what is in it may go meanwhile.
fn count(dir: &OwnedFd, all: &mut Changed, waiting: &mut Vec<OwnedFd>) -> io::Result<()> {
    let gone = |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE | libc::ENOTDIR));
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = match rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)
        {
            Err(error) if gone(&error) => continue,
            other => other?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => match open(dir, entry.file_name()) {
                Err(error) if gone(&error) => {}
                other => waiting.push(other?),
            },
            FileType::RegularFile => {
                // Blocks that are there: holes aren't sent.
                let bytes = (stat.st_size as u64).min(stat.st_blocks as u64 * 512);
                all.files_total += 1;
                all.bytes_total += bytes;
                if all.since_s.is_none_or(|since| stat.st_ctime >= since) {
                    all.files_changed += 1;
                    all.bytes_changed += bytes;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::link::harness::*;
    use crate::pipeline::FileId;

    #[test]
    fn what_changed_since_then_is_counted() {
        let (a, b) = (free_address(), free_address());
        let node = Node::new(options(a, b, true), 1, 1 << 20);
        node.primary();
        let hands = node.hands();
        let dir = hands.mkdir(FileId::ROOT, "dir").unwrap();
        for name in ["one", "two"] {
            let file = hands.create(dir, name).unwrap();
            hands.write(file, 0, &[1; 8192]).unwrap();
        }
        let all = super::changed(&node.link, None).unwrap();
        assert_eq!((all.files_total, all.bytes_total, all.files_changed), (2, 16384, 2));
        // The clock of files is coarse: a second's end is waited for, so that the next file is surely of a later one.
        let newest = std::fs::metadata(node.root.join("dir/two")).unwrap();
        let since = std::os::unix::fs::MetadataExt::ctime(&newest) + 1;
        while std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64 <= since {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(super::changed(&node.link, Some(since)).unwrap().files_changed, 0);
        // The time of the last change says nothing: who copies with times changes the content all the same.
        let file = hands.create(dir, "three").unwrap();
        hands.write(file, 0, &[3; 4096]).unwrap();
        let old = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        std::fs::File::open(node.root.join("dir/three")).unwrap().set_times(old).unwrap();
        let some = super::changed(&node.link, Some(since)).unwrap();
        assert_eq!((some.files_total, some.files_changed, some.bytes_changed), (3, 1, 4096));
        assert!(some.estimate_s >= 1);
    }
}
