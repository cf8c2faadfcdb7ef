//! The kernel's requests, decoded by fuser, each sent to the part that serves it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, TimeOrNow, WriteFlags,
};

use super::Front;
use super::answer::{Answer, Asker};
use super::attr::stamp;
use super::data::Writing;
use super::intent::What;
use super::metadata::{Wanted, XattrChange};
use super::names::{Making, Moving};
use crate::backing::{Name, Requested};
use crate::pipeline::{FileId, Refusal};

/// The largest write and read, in bytes.
pub(super) const MAX_WRITE: u32 = 1 << 20;

/// The session's file system.
pub(super) struct Fuse(pub(super) Arc<Front>);

fn id(ino: INodeNo) -> FileId {
    FileId(ino.0)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

fn c_name(name: &OsStr) -> Result<CString, i32> {
    CString::new(name.as_bytes()).map_err(|_| libc::EINVAL)
}

impl Fuse {
    fn make(&self, asker: Asker, making: Making, reply: ReplyEntry) {
        self.0.admit(reply, move |front, admission, reply| {
            let done = front.make(admission, &asker, making);
            front.when_received(done, reply, |front, id, reply| front.answer_entry(id, reply));
        });
    }

    fn remove(&self, asker: Asker, what: What, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.0.admit(reply, move |front, admission, reply| {
            let done = front.remove(admission, &asker, what, id(parent), &name);
            front.when_received(done, reply, |_, _, reply| reply.ok());
        });
    }

    fn change_xattr(&self, req: &Request, ino: INodeNo, name: &OsStr, change: XattrChange, reply: ReplyEmpty) {
        let asker = Asker::from(req);
        match c_name(name) {
            Ok(name) => self.0.admit(reply, move |front, admission, reply| {
                front.change_xattr(admission, &asker, id(ino), &name, &change, reply);
            }),
            Err(errno) => reply.fail(errno),
        }
    }

    fn sync(&self, ino: INodeNo, fh: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let front = &self.0;
        match front.pipeline.gate().admit() {
            Ok(Some(admission)) => front.barrier(admission, id(ino), data_only, reply),
            // Opened while this copy was read-only: nothing was written through it.
            Err(Refusal::ReadOnly) if front.is_current(fh) => reply.ok(),
            Err(refusal) => reply.fail(refusal.errno()),
            Ok(None) => front.admit(reply, move |front, admission, reply| {
                front.barrier(admission, id(ino), data_only, reply);
            }),
        }
    }
}

impl Filesystem for Fuse {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS | InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_NO_EXPORT_SUPPORT,
            InitFlags::FUSE_HAS_RESEND,
        ];
        for flags in wanted {
            if let Err(missing) = config.add_capabilities(flags) {
                tracing::debug!(?missing, "this kernel doesn't offer it");
            }
        }
        let refused = |nearest| io::Error::other(format!("the kernel allows {nearest}"));
        config.set_max_write(MAX_WRITE).map_err(refused)?;
        config.set_max_background(64).map_err(|nearest| refused(nearest.into()))?;
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = Name::new(name.as_bytes()).and_then(|name| self.0.backing.lookup_if_there(id(parent), &name));
        match found {
            Ok(Some(found)) => self.0.reply_entry(&found, reply),
            Ok(None) => self.0.reply_no_entry(reply),
            Err(error) => reply.fail(errno(&error)),
        }
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        if self.0.prime.is_for(ino, nlookup) {
            return self.0.prime.pass();
        }
        let backing = &self.0.backing;
        if !backing.table().forgotten(id(ino), nlookup) || !backing.is_held(id(ino)) {
            return;
        }
        if let Err(error) = backing.release(id(ino)) {
            tracing::warn!(file = %id(ino), %error, "a file without a name can't be removed now; the next fresh mount will");
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.getattr(id(ino)) {
            Ok(attr) => reply.attr(&self.0.ttl(), &attr),
            Err(error) => reply.fail(errno(&error)),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if fh.is_some_and(|fh| !self.0.is_current(fh)) {
            return reply.fail(libc::EROFS);
        }
        let (atime, mtime) = (atime.map(stamp), mtime.map(stamp));
        let wanted = Wanted { mode, uid, gid, size, atime, mtime };
        let asker = Asker::from(req);
        self.0.admit(reply, move |front, admission, reply| {
            front.setattr(admission, &asker, id(ino), &wanted, reply);
        });
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match self.0.backing.read_link(id(ino)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.fail(errno(&error)),
        }
    }

    fn mknod(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        let kind = if mode & libc::S_IFMT == 0 { libc::S_IFREG } else { mode & libc::S_IFMT };
        let rdev = u64::from(rdev);
        self.make(req.into(), making(req, parent, name, kind, rdev, b"", (mode, umask)), reply);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.make(req.into(), making(req, parent, name, libc::S_IFDIR, 0, b"", (mode, umask)), reply);
    }

    fn symlink(&self, req: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let target = target.as_os_str().as_bytes();
        self.make(req.into(), making(req, parent, name, libc::S_IFLNK, 0, target, (0o777, 0)), reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let asker = Asker::from(req);
        let making = making(req, parent, name, libc::S_IFREG, 0, b"", (mode, umask));
        self.0.admit(reply, move |front, admission, reply| {
            let done = front.make(admission, &asker, making);
            front.when_received(done, reply, move |front, id, reply| front.answer_created(id, flags, reply));
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(req.into(), What::Unlink, parent, name, reply);
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.remove(req.into(), What::Rmdir, parent, name, reply);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let asker = Asker::from(req);
        let moving = Moving {
            parent: id(parent),
            name: name.as_bytes().to_vec(),
            new_parent: id(newparent),
            new_name: newname.as_bytes().to_vec(),
            flags: flags.bits(),
        };
        self.0.rename_when_there_is_room(asker, moving, reply);
    }

    fn link(&self, req: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let asker = Asker::from(req);
        let name = newname.as_bytes().to_vec();
        self.0.admit(reply, move |front, admission, reply| {
            let done = front.link(admission, &asker, id(ino), id(newparent), &name);
            front.when_received(done, reply, |front, id, reply| front.answer_entry(id, reply));
        });
    }

    fn open(&self, _req: &Request, _ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.0.open(flags.0, reply);
    }

    fn opendir(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(self.0.file_handle(), FopenFlags::empty());
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.read(id(ino), offset, size, reply);
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let front = &self.0;
        if !front.is_current(fh) {
            return reply.fail(libc::EROFS);
        }
        let kill_set_id = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let writing = Writing { id: id(ino), offset, kill_set_id };
        // Not through `Front::admit`: only a closed gate costs a copy of the data.
        match front.pipeline.gate().admit() {
            Ok(Some(admission)) => front.write(admission, writing, data, reply),
            Err(refusal) => reply.fail(refusal.errno()),
            Ok(None) => {
                let data = data.to_vec();
                front.admit(reply, move |front, admission, reply| {
                    front.write(admission, writing, &data, reply);
                });
            }
        }
    }

    fn flush(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        self.0.flush(id(ino), reply);
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.sync(ino, fh, datasync, reply);
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        self.sync(ino, fh, datasync, reply);
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.0.readdir(id(ino), offset, reply);
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        self.0.readdirplus(id(ino), offset, reply);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match rustix::fs::fstatvfs(self.0.backing.root()) {
            Ok(s) => reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                s.f_bsize as u32,
                s.f_namemax as u32,
                s.f_frsize as u32,
            ),
            Err(error) => reply.error(Errno::from_i32(error.raw_os_error())),
        }
    }

    fn setxattr(
        &self,
        req: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        self.change_xattr(req, ino, name, XattrChange::Set { value: value.to_vec(), flags }, reply);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match c_name(name) {
            Ok(name) => self.0.reply_xattr(self.0.backing.xattr(id(ino), &name), size, reply),
            Err(errno) => reply.fail(errno),
        }
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.0.reply_xattr(self.0.backing.xattr_names(id(ino)), size, reply);
    }

    fn removexattr(&self, req: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.change_xattr(req, ino, name, XattrChange::Remove, reply);
    }

    fn access(&self, _req: &Request, _ino: INodeNo, _mask: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks permissions itself (default_permissions).
        reply.ok();
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if !self.0.is_current(fh) {
            return reply.fail(libc::EROFS);
        }
        let writing = Writing { id: id(ino), offset, kill_set_id: req.uid() != 0 };
        self.0.admit(reply, move |front, admission, reply| {
            front.allocate(admission, writing, length, mode, reply);
        });
    }

    fn lseek(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let Ok(from) = u64::try_from(offset) else { return reply.fail(libc::ENXIO) };
        let found = match whence {
            libc::SEEK_DATA => self.0.backing.seek_data(id(ino), from),
            libc::SEEK_HOLE => self.0.backing.seek_hole(id(ino), from),
            _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        match found {
            Ok(at) => reply.offset(at as i64),
            Err(error) => reply.fail(errno(&error)),
        }
    }

    fn ioctl(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn copy_file_range(
        &self,
        _req: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel copies by reading and writing then, and every write is replicated as usual.
        reply.error(Errno::ENOSYS);
    }
}

fn making(
    req: &Request,
    parent: INodeNo,
    name: &OsStr,
    kind: u32,
    rdev: u64,
    target: &[u8],
    (mode, umask): (u32, u32),
) -> Making {
    Making {
        parent: id(parent),
        name: name.as_bytes().to_vec(),
        kind,
        rdev,
        target: target.to_vec(),
        requested: Requested { mode, umask, uid: req.uid(), gid: req.gid() },
    }
}
