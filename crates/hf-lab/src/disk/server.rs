//! The process behind one disk: a FUSE mount with one file, in a mount namespace of its own.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nix::mount::MsFlags;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, Session,
    SessionACL, WriteFlags,
};

use super::cache::Cache;
use super::control::{Ask, Mode, Report, answer, receive};
use super::loopdev;
use crate::error::{Context, LabError, Result, mkdir};
use crate::node::root::{mount_fs, pivot, private_mounts};
use crate::process::check;

const NAME: &str = "disk";
const INODE: INodeNo = INodeNo(2);
/// The kernel may keep names and attributes: nothing here ever changes.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// What `holdfast lab serve-disk` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeDiskArgs {
    /// The image that survives power cuts.
    #[arg(long)]
    pub image: PathBuf,
    /// An empty directory to mount on.
    #[arg(long)]
    pub mount: PathBuf,
    /// Where to listen for commands.
    #[arg(long)]
    pub socket: PathBuf,
    /// Marks the loop device.
    #[arg(long)]
    pub machine: String,
    /// The cache's size: what is above it is stored early, as a real disk would.
    #[arg(long, default_value_t = 256)]
    pub cache_mib: u64,
}

/// The disk's state, shared by the FUSE thread and the control thread.
struct Shared {
    image: File,
    size: u64,
    limit: u64,
    inner: Mutex<Inner>,
    mode_changed: Condvar,
}

#[derive(Default)]
struct Inner {
    cache: Cache,
    report: Report,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one request must not take the others with it; the cache is valid between statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as the mode demands; the guard, or the error of a disk that fails.
    fn admit(&self) -> std::result::Result<MutexGuard<'_, Inner>, Errno> {
        let mut inner = self.lock();
        if let Mode::Slow { delay_ms } = inner.report.mode {
            drop(inner);
            std::thread::sleep(Duration::from_millis(delay_ms));
            inner = self.lock();
        }
        while inner.report.mode == Mode::Hang && !inner.report.cut {
            inner = self.mode_changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.report.cut || inner.report.mode == Mode::Eio {
            return Err(Errno::EIO);
        }
        Ok(inner)
    }

    fn read(&self, offset: u64, size: u32) -> std::result::Result<Vec<u8>, Errno> {
        let mut inner = self.admit()?;
        inner.report.reads += 1;
        let len = u64::from(size).min(self.size.saturating_sub(offset)) as usize;
        let mut data = vec![0; len];
        self.image.read_exact_at(&mut data, offset)?;
        inner.cache.overlay(offset, &mut data);
        Ok(data)
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::result::Result<(), Errno> {
        let mut inner = self.admit()?;
        inner.report.writes += 1;
        if offset.saturating_add(data.len() as u64) > self.size {
            return Err(Errno::ENOSPC);
        }
        inner
            .cache
            .write(offset, data, |page, into| self.image.read_exact_at(into, page * super::cache::PAGE as u64))?;
        if inner.cache.bytes() > self.limit {
            inner.report.spills += 1;
            self.store(&mut inner)?;
        }
        Ok(())
    }

    fn flush(&self) -> std::result::Result<(), Errno> {
        let mut inner = self.admit()?;
        inner.report.flushes += 1;
        self.store(&mut inner)
    }

    /// The image is as durable as the lab's power cuts need when the bytes are in the host's page cache: the host stays up.
    fn store(&self, inner: &mut Inner) -> std::result::Result<(), Errno> {
        inner.cache.flush(|offset, run| self.image.write_all_at(run, offset)).map_err(Errno::from)
    }

    /// Carries out a command.
    fn control(&self, ask: &Ask) -> Report {
        let mut inner = self.lock();
        match ask {
            Ask::Cut => {
                inner.report.lost_bytes += inner.cache.bytes();
                inner.cache.lose();
                inner.report.cut = true;
            }
            Ask::Mode(mode) => inner.report.mode = *mode,
            Ask::Report | Ask::Release | Ask::Quit => {}
        }
        inner.report.unflushed_bytes = inner.cache.bytes();
        self.mode_changed.notify_all();
        inner.report.clone()
    }
}

/// The FUSE face.
struct Disk(Arc<Shared>);

impl Disk {
    fn attr(&self, ino: INodeNo) -> FileAttr {
        let file = ino == INODE;
        FileAttr {
            ino,
            size: if file { self.0.size } else { 0 },
            blocks: 0,
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if file { FileType::RegularFile } else { FileType::Directory },
            perm: if file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Disk {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Several requests of the loop device at once; where the kernel can't, one after the other works too.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        let _ = config.set_max_write(1 << 20);
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&FOREVER, &self.attr(INODE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attr(ino));
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES);
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(offset, size) {
            Ok(data) => reply.data(&data),
            Err(e) => reply.error(e),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e),
        }
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        match self.0.flush() {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(e),
        }
    }
}

/// Mounts FUSE on `at` without a helper program, in our own namespace.
fn mount(at: &Path) -> Result<OwnedFd> {
    let what = || format!("mounting the disk on {}", at.display());
    let device = File::options().read(true).write(true).open("/dev/fuse").context(|| "opening /dev/fuse".to_owned())?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    nix::mount::mount(
        Some("holdfast-lab"),
        at,
        Some("fuse.holdfast-lab"),
        nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .context(what)?;
    Ok(device.into())
}

/// Serves one disk until it is told to end. Prints the loop device's number once it is there.
pub fn serve(lab: &str, args: &ServeDiskArgs) -> Result<()> {
    stay_out_of_reclaim();
    private_mounts()?;
    // A root of its own for later, with nothing in it but the mount: this namespace must not keep alive what the host unmounts.
    mkdir(&args.mount)?;
    mount_fs(Path::new("none"), &args.mount, "tmpfs", MsFlags::MS_NODEV, "mode=0700")?;
    let at = args.mount.join("fuse");
    mkdir(&at)?;
    let image = File::options()
        .read(true)
        .write(true)
        .open(&args.image)
        .context(|| format!("opening the disk image {}", args.image.display()))?;
    let size = image.metadata().context(|| format!("asking the size of {}", args.image.display()))?.len();
    let shared = Arc::new(Shared {
        image,
        size,
        limit: args.cache_mib << 20,
        inner: Mutex::default(),
        mode_changed: Condvar::new(),
    });
    let device = mount(&at)?;
    let session = Session::from_fd(Disk(shared.clone()), device, SessionACL::Owner, fuser::Config::default())
        .context(|| "shaking hands with FUSE".to_owned())?;
    std::thread::spawn(move || session.run());

    let file = File::options()
        .read(true)
        .write(true)
        .open(at.join(NAME))
        .context(|| "opening the disk through FUSE".to_owned())?;
    let device = loopdev::attach(&file, &loopdev::mark(lab, &args.machine))?;
    drop(file);
    let _ = std::fs::remove_file(&args.socket);
    let listener = UnixListener::bind(&args.socket).context(|| format!("listening at {}", args.socket.display()))?;
    pivot(&args.mount)?;
    obey(&shared, device, &listener)
}

/// The control loop, on the main thread.
fn obey(shared: &Shared, device: loopdev::Loop, listener: &UnixListener) -> Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", device.number)
        .and_then(|()| stdout.flush())
        .context(|| "saying that the disk is ready".to_owned())?;
    let mut device = Some(device);
    loop {
        let (stream, _) = listener.accept().context(|| "listening for commands".to_owned())?;
        let Some(ask) = receive(&stream) else {
            continue;
        };
        if ask == Ask::Release {
            device = None;
        }
        answer(&stream, &shared.control(&ask));
        if ask == Ask::Quit {
            drop(device);
            return Ok(());
        }
    }
}

/// A server of block I/O must not wait for memory that only its own writing could free, nor be the victim when memory is short.
/// Both are CAP_SYS_RESOURCE's, which a confined root may lack: then the console says so, and the disk works as long as memory lasts.
fn stay_out_of_reclaim() {
    const PR_SET_IO_FLUSHER: i32 = 57;
    // SAFETY: prctl with plain integers.
    let flusher = check(unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) });
    let spared = std::fs::write("/proc/self/oom_score_adj", "-1000");
    if let Err(e) = flusher.and(spared) {
        eprintln!("disk server: not protected when memory is short: {e}");
    }
}

/// Tells ext4 to stop without writing anything: what a machine without power does. Below it the disk has been cut already;
/// this spares the kernel's log the errors of a file system that tries.
pub fn shut_down_file_system(root: &Path) -> Result<()> {
    /// `FS_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
    const FS_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
    const NO_LOG_FLUSH: u32 = 2;
    let what = || format!("shutting down the file system at {}", root.display());
    let path = CString::new(root.as_os_str().as_encoded_bytes()).map_err(|_| LabError::Failed(what()))?;
    // SAFETY: open with a C string; the descriptor is closed below.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
    check(fd).context(what)?;
    // SAFETY: just opened, ours alone.
    let fd = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    let how = NO_LOG_FLUSH;
    // SAFETY: the kernel reads a u32 from the pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), FS_IOC_SHUTDOWN, &how) }).context(what)
}
