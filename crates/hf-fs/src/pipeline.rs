//! How the front end speaks to replication.
//!
//! A modification goes through these steps, in this order, and no step is skipped:
//!
//! 1. [`Gate::admit`]: may this node modify anything now, and under which epoch? One atomic addition and one load.
//! 2. A lock of [`Order`]: the one for names, or the one of the file. Under it:
//! 3. the local operation (a failure is answered to the application and nothing is appended), then
//! 4. [`Pipeline::append`]. Because 3 and 4 are under one lock, the order in the stream is the order on disk.
//! 5. After the lock is dropped: a write is answered (*accepted*); a name operation waits for
//!    [`Pipeline::when_received`], a barrier for [`Pipeline::when_durable`] (*acknowledged*).
//!
//! Nobody waits while holding a lock, and a thread of the front end never waits for the network: what isn't complete
//! yet is parked in a [`Completion`] with its reply.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

mod gate;
mod local;
mod order;

pub use gate::{Admission, Gate, GateState, Parked};
pub use local::LocalPipeline;
pub use order::Order;

/// A file's identity, the same on both nodes: FUSE node id, inode number that applications see, id on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

impl FileId {
    /// The root of the replicated directory.
    pub const ROOT: FileId = FileId(1);
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.0)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Place in the global order of operations. 0 is before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// A time as `utimensat` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Seconds since 1970, negative before.
    pub sec: i64,
    /// 0 to 999,999,999.
    pub nsec: u32,
}

/// What a new file gets. `mode` holds the twelve permission bits only; the kind comes from the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    /// Permission bits, set-id bits and sticky bit (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// One modification that succeeded here and is to be repeated there.
///
/// Every value is final: no `umask`, no "now", no "inherit". `stamp` is the parent directory's mtime after the
/// operation (of both parents after a rename), and the mtime and atime of a file that is new. Names are one component without `/` and NUL, never `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `data` at `offset`.
    Write { id: FileId, offset: u64, data: &'a [u8] },
    /// The file has this size now.
    Truncate { id: FileId, size: u64 },
    /// `fallocate` with this mode (keep size, punch hole, zero range).
    Allocate { id: FileId, mode: i32, offset: u64, len: u64 },
    /// A new empty regular file.
    Create { parent: FileId, name: &'a [u8], id: FileId, attrs: Attrs, stamp: Stamp },
    /// A new directory.
    Mkdir { parent: FileId, name: &'a [u8], id: FileId, attrs: Attrs, stamp: Stamp },
    /// A new symbolic link.
    Symlink { parent: FileId, name: &'a [u8], id: FileId, target: &'a [u8], attrs: Attrs, stamp: Stamp },
    /// A new FIFO, socket or device. `kind` is the `S_IFMT` part of the mode.
    Mknod { parent: FileId, name: &'a [u8], id: FileId, kind: u32, rdev: u64, attrs: Attrs, stamp: Stamp },
    /// One more name for `id`.
    Link { id: FileId, parent: FileId, name: &'a [u8], stamp: Stamp },
    /// A name of `id` went away. Whether the file lives on because somebody has it open is each node's own matter.
    Unlink { parent: FileId, name: &'a [u8], id: FileId, stamp: Stamp },
    /// An empty directory went away.
    Rmdir { parent: FileId, name: &'a [u8], id: FileId, stamp: Stamp },
    /// `id` moved. With `exchange` it changed places with `replaced`; else `replaced` lost this name.
    Rename {
        parent: FileId,
        name: &'a [u8],
        new_parent: FileId,
        new_name: &'a [u8],
        id: FileId,
        replaced: Option<FileId>,
        exchange: bool,
        stamp: Stamp,
    },
    /// These attributes have these values now. Applied in the order owner, mode, times.
    SetAttr { id: FileId, owner: Option<(u32, u32)>, mode: Option<u32>, atime: Option<Stamp>, mtime: Option<Stamp> },
    /// An extended attribute (access control lists are two of them).
    SetXattr { id: FileId, name: &'a [u8], value: &'a [u8] },
    /// An extended attribute is gone.
    RemoveXattr { id: FileId, name: &'a [u8] },
    /// Somebody waits until everything before this is durable.
    Barrier { id: FileId },
}

impl Op<'_> {
    /// Is it a fence in the global order (reference 004 has none; our P2)?
    pub fn is_name(&self) -> bool {
        matches!(
            self,
            Op::Create { .. }
                | Op::Mkdir { .. }
                | Op::Symlink { .. }
                | Op::Mknod { .. }
                | Op::Link { .. }
                | Op::Unlink { .. }
                | Op::Rmdir { .. }
                | Op::Rename { .. }
        )
    }

    /// The file that the operation is about.
    pub fn id(&self) -> FileId {
        match self {
            Op::Write { id, .. }
            | Op::Truncate { id, .. }
            | Op::Allocate { id, .. }
            | Op::Create { id, .. }
            | Op::Mkdir { id, .. }
            | Op::Symlink { id, .. }
            | Op::Mknod { id, .. }
            | Op::Link { id, .. }
            | Op::Unlink { id, .. }
            | Op::Rmdir { id, .. }
            | Op::Rename { id, .. }
            | Op::SetAttr { id, .. }
            | Op::SetXattr { id, .. }
            | Op::RemoveXattr { id, .. }
            | Op::Barrier { id } => *id,
        }
    }
}

/// Why a modification isn't served or isn't acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Secondary, or the operation was admitted under an earlier epoch (P8). The application gets EROFS.
    #[error("this copy is read-only here")]
    ReadOnly,
    /// The local disk failed and nobody can take over (P11). The application gets EIO.
    #[error("the disk of this copy failed")]
    Disk,
    /// The mount is going away. The application gets EIO.
    #[error("the replicated directory is being stopped")]
    Stopping,
}

impl Refusal {
    /// What the application sees.
    pub fn errno(self) -> i32 {
        match self {
            Refusal::ReadOnly => libc::EROFS,
            Refusal::Disk | Refusal::Stopping => libc::EIO,
        }
    }
}

/// Called once, from any thread, with no lock of [`Order`] held. It must not block: it replies to an application.
pub type Completion = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

/// A local operation failed in a way that says that the disk is no longer to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskFault {
    /// The system call, for the log: `pwrite`, `fdatasync`...
    pub call: &'static str,
    /// On which file.
    pub id: FileId,
    /// EIO, EUCLEAN (a damaged file system) or EROFS (the backing file system went read-only).
    pub errno: i32,
}

impl DiskFault {
    /// Does this error say so? Others (ENOSPC, EDQUOT, EFBIG...) are answers to the application.
    pub fn is_fault(errno: i32) -> bool {
        matches!(errno, libc::EIO | libc::EUCLEAN | libc::EROFS | libc::ENODEV | libc::ENXIO)
    }
}

/// Replication as the front end sees it. All methods are called from many threads.
pub trait Pipeline: Send + Sync + 'static {
    /// The gate that the front end asks before each modification. Who implements this trait opens and closes it; also for
    /// back-pressure: `append` never waits, so the gate is closed while less room is left than what is in flight can take.
    fn gate(&self) -> &Gate;

    /// The locks that make the order in the stream the order on disk. The synchronisation takes the same ones.
    fn order(&self) -> &Order;

    /// Takes over an operation that succeeded locally. Called under the operation's lock of [`Order`]; doesn't wait.
    ///
    /// `mark`, when given, receives the sequence (`Ordering::Release`) *before* anybody, also a successor after a
    /// kill -9, can see the record: a mark at most [`Pipeline::last`] means that the record is there.
    ///
    /// `Err` when the admission's epoch is over: the operation isn't acknowledged, and both copies must be compared.
    fn append(&self, admission: &Admission<'_>, op: &Op<'_>, mark: Option<&AtomicU64>) -> Result<Seq, Refusal>;

    /// The same for an operation that is this node's own matter (a file that isn't replicated): nobody is told, but `mark` says that it was carried out.
    fn note(&self, admission: &Admission<'_>, mark: Option<&AtomicU64>) -> Result<(), Refusal>;

    /// Is there room to append so many bytes at once without throttling others? Asked with no lock held.
    fn has_room(&self, bytes: usize) -> bool;

    /// What was appended can't be completed: the other copy must be compared.
    fn compare_again(&self, why: &str);

    /// The last sequence that was given out (kept over a death of this process).
    fn last(&self) -> Seq;

    /// Calls `done` when everything up to `seq` was received in order by the secondary; at once when there is none.
    fn when_received(&self, seq: Seq, done: Completion);

    /// Calls `done` when the secondary's half of the barrier `seq` is fulfilled as `async` says; at once when there is
    /// no secondary. The caller has made its own half durable before it calls this.
    fn when_durable(&self, seq: Seq, done: Completion);

    /// The local disk failed (P11). `answer` is called with an error when the application is to get one (no up-to-date
    /// secondary), and never with success. While a handover runs it is kept; dropping it answers EIO.
    fn disk_fault(&self, fault: DiskFault, answer: Completion);
}

/// Reads a mark that [`Pipeline::append`] wrote: was the record published?
pub fn was_published(mark: &AtomicU64, pipeline: &dyn Pipeline) -> Option<Seq> {
    let seq = mark.load(Ordering::Acquire);
    (seq != 0 && seq <= pipeline.last().0).then_some(Seq(seq))
}
