//! Attributes in the kernel's form.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, Generation, INodeNo, TimeOrNow};

use super::Front;
use crate::backing::{Found, Stat};
use crate::pipeline::{FileId, Stamp};

impl Front {
    /// What applications see: our id as inode number, and no link for a file that only the control directory names.
    pub(super) fn file_attr(&self, id: FileId, stat: &Stat) -> FileAttr {
        let nlink = if self.backing.is_held(id) { 0 } else { stat.st_nlink as u32 };
        FileAttr {
            ino: INodeNo(id.0),
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: system_time(stat.st_atime, stat.st_atime_nsec as u32),
            mtime: system_time(stat.st_mtime, stat.st_mtime_nsec as u32),
            ctime: system_time(stat.st_ctime, stat.st_ctime_nsec as u32),
            crtime: UNIX_EPOCH,
            kind: file_type(stat.st_mode),
            perm: (stat.st_mode & 0o7777) as u16,
            nlink,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as u32,
            blksize: stat.st_blksize as u32,
            flags: 0,
        }
    }

    /// Answers with a directory entry. The lookup is counted before the kernel hears of it.
    pub(super) fn reply_entry(&self, found: &Found, reply: fuser::ReplyEntry) {
        self.backing.table().looked_up(found.id);
        let attr = self.file_attr(found.id, &found.stat);
        reply.entry(&self.ttl(), &attr, Generation(0));
    }

    /// Answers that there is no such entry. On the primary the kernel remembers it.
    pub(super) fn reply_no_entry(&self, reply: fuser::ReplyEntry) {
        if self.ttl().is_zero() {
            return reply.error(fuser::Errno::ENOENT);
        }
        let nothing = FileAttr {
            ino: INodeNo(0),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: FileType::RegularFile,
            perm: 0,
            nlink: 0,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 0,
            flags: 0,
        };
        reply.entry(&self.ttl(), &nothing, Generation(0));
    }

    pub(super) fn getattr(&self, id: FileId) -> io::Result<FileAttr> {
        self.backing.stat(id).map(|stat| self.file_attr(id, &stat))
    }
}

/// The kind of a file by its mode.
pub(super) fn file_type(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

fn system_time(sec: i64, nsec: u32) -> SystemTime {
    let whole = Duration::from_secs(sec.unsigned_abs());
    let base = if sec < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    base + Duration::from_nanos(u64::from(nsec))
}

/// A time as the stream carries it; "now" becomes this node's time.
pub(super) fn stamp(time: TimeOrNow) -> Stamp {
    let (time, given) = match time {
        TimeOrNow::SpecificTime(time) => (time, true),
        TimeOrNow::Now => (SystemTime::now(), false),
    };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Stamp { sec: after.as_secs() as i64, nsec: after.subsec_nanos() },
        // fuser takes seconds and nanoseconds off 1970 one after the other; nanoseconds count forward in fact.
        Err(before) if given => {
            let before = before.duration();
            Stamp { sec: -(before.as_secs() as i64), nsec: before.subsec_nanos() }
        }
        // A clock from before 1970.
        Err(_) => Stamp::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_what_the_kernel_said() {
        let from_fuser = |sec: u64, nsec| TimeOrNow::SpecificTime(UNIX_EPOCH - Duration::new(sec, nsec));
        assert_eq!(stamp(from_fuser(1, 999_999_999)), Stamp { sec: -1, nsec: 999_999_999 });
        assert_eq!(stamp(from_fuser(5, 0)), Stamp { sec: -5, nsec: 0 });
        let later = TimeOrNow::SpecificTime(UNIX_EPOCH + Duration::new(1 << 33, 7));
        assert_eq!(stamp(later), Stamp { sec: 1 << 33, nsec: 7 });
        assert_eq!(system_time(-1, 999_999_999), UNIX_EPOCH - Duration::new(0, 1));
    }
}
