//! Synchronisation by content while writes flow.
//!
//! The primary walks its tree twice: first it lists every directory ([`walk`]), which ties each name there to the primary's id of the
//! file; then it compares every file zone by zone and sends what differs. [`bound`] decides for each operation that an
//! application makes meanwhile what of it is sent; [`mirror`] carries out on the secondary what isn't an ordinary operation.
//!
//! # Why both trees are equal at the end
//!
//! Let *listed* be the directories whose listing was sent, *known* the files that the secondary can find by id. "There" means: in the
//! secondary's tree after it has applied the stream up to this point. Two statements hold after every frame:
//!
//! **Names.** *For each listed directory, the secondary has exactly the primary's names, tied to the same ids.* A listing is read and
//! appended under the lock that every name operation holds exclusively while it executes and appends; so it is a state of the
//! primary at one point of the stream, and the secondary makes its directory like it (what is in the way is put aside). After that a
//! name operation whose directories are all listed is sent as it is. If only some are listed, each listed one gets the
//! difference: a name that left is *detached* (the file is put aside, because it may be met again), a name that came is *attached* (made from the
//! listing's data if the file isn't known, moved there if it is). A directory that isn't listed gets nothing: its listing comes later. A
//! directory that goes away before it was listed is detached, too: there it may still be full.
//! *Every directory that gets known and isn't new is queued to be listed*, so when the queue is empty all that can be reached is
//! listed. A new directory is empty on both sides: it is listed from the start.
//!
//! **Content.** *Every byte of a known file that an operation touched after the file became known has the same value there.* Operations on known files are
//! sent in the order in which they were executed (under the file's lock); operations on others aren't sent, and their file is
//! compared later. The comparison begins with the size (read and sent under the file's lock), so that nothing old lies beyond
//! the end when the file grows. Then digests of zones are compared without any lock: say the zone has equal bytes here at point q of the
//! stream and there at point p. A byte that an operation between the two touched has, at the end of the stream, the value that
//! the last of them gave it, on both sides; any other byte hasn't changed between p and q and is equal. This holds for each byte for itself, so
//! it doesn't matter that a digest is computed while the zone is being written: either it differs, and the zone is copied once too often, or all
//! bytes were equal as said. A zone that differs is read and appended under the file's lock: a copy has its place among the
//! writes.
//!
//! Attributes are read and appended under the file's lock (directories: and the names' lock) after content and listing, which change
//! times. Later changes carry their own.
//!
//! The end is decided under the locks of all names: nothing is queued, and from now on everything is sent. So no final pass with
//! frozen names is needed.
//!
//! # A break
//!
//! Another synchronisation begins after a broken link. Names and attributes are compared anew; files whose content was found or made equal and
//! that nobody changed since aren't read again ([`crate::link`], marks). After the death of the process that compares all are.

use crate::backing::{Backing, Stat};
use crate::pipeline::FileId;

mod bound;
mod changed;
mod check;
mod digest;
mod keep;
pub(crate) mod meta;
mod mirror;
mod pace;
mod pool;
mod walk;

pub use bound::{Bound, Plan};
pub use changed::changed;
pub use check::{CheckRefused, Checks, Comparison, Report, verify};
pub use digest::{DigestJob, Replies};
pub use keep::{KeepError, Kept, keep};
pub use mirror::Mirror;
pub use pool::Pool;
pub use walk::{SyncOptions, start};

/// The file's attributes; none when it has no name any more, or none that the other node follows.
fn present(backing: &Backing, id: FileId) -> std::io::Result<Option<Stat>> {
    if backing.is_only_here(id) {
        return Ok(None);
    }
    match backing.stat(id) {
        Ok(stat) if stat.st_nlink > 0 => Ok(Some(stat)),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file was removed meanwhile.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESTALE | libc::ENOENT))
}

#[cfg(test)]
pub(crate) mod mutator;
#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod racer;
#[cfg(test)]
mod tests;
