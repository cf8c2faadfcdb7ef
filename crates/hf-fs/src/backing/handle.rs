//! File handles: names for files that survive renames, restarts of ours, and closing every descriptor.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The longest handle that we keep, in bytes: ext4 needs 8, XFS 12, Btrfs 20.
pub const MAX_HANDLE_BYTES: usize = 40;

/// What `name_to_handle_at` gave for a file: inode and generation in the file system's own form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    kind: i32,
    len: u8,
    bytes: [u8; MAX_HANDLE_BYTES],
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.kind)?;
        self.bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[repr(C)]
struct RawHandle {
    bytes: u32,
    kind: i32,
    data: [u8; MAX_HANDLE_BYTES],
}

impl Handle {
    /// From its parts; `None` when `bytes` is longer than [`MAX_HANDLE_BYTES`].
    pub fn from_parts(kind: i32, bytes: &[u8]) -> Option<Handle> {
        let mut data = [0; MAX_HANDLE_BYTES];
        data.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Handle { kind, len: bytes.len() as u8, bytes: data })
    }

    /// The file system's type number for it.
    pub fn kind(&self) -> i32 {
        self.kind
    }

    /// Its opaque part.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The handle of an open file (any descriptor, also `O_PATH`).
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Handle> {
        Handle::query(fd, c"", libc::AT_EMPTY_PATH)
    }

    /// The handle of a directory entry; a symbolic link isn't followed.
    pub fn of_entry(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Handle> {
        Handle::query(dir, name, 0)
    }

    fn query(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> io::Result<Handle> {
        let mut raw = RawHandle { bytes: MAX_HANDLE_BYTES as u32, kind: 0, data: [0; MAX_HANDLE_BYTES] };
        let mut mount_id = 0;
        // SAFETY: `raw` has the layout of `struct file_handle` with room for the number of bytes that it states.
        let rc = unsafe {
            libc::name_to_handle_at(dir.as_raw_fd(), name.as_ptr(), (&raw mut raw).cast(), &mut mount_id, flags)
        };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        let len = (raw.bytes as usize).min(MAX_HANDLE_BYTES);
        // Bytes past the length are zero, so that equal handles are equal as values.
        raw.data[len..].fill(0);
        Ok(Handle { kind: raw.kind, len: len as u8, bytes: raw.data })
    }

    /// Opens the file. ESTALE when it is gone. `mount` is any descriptor on the same file system.
    pub fn open(&self, mount: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
        let mut raw = RawHandle { bytes: u32::from(self.len), kind: self.kind, data: self.bytes };
        // SAFETY: as above; the result is a new descriptor that nobody else owns.
        unsafe {
            let fd = libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut raw).cast(), flags | libc::O_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_trip_and_long_ones_are_refused() {
        let handle = Handle::from_parts(1, &[1, 2, 3]).unwrap();
        assert_eq!((handle.kind(), handle.bytes()), (1, &[1u8, 2, 3][..]));
        assert!(Handle::from_parts(1, &[0; MAX_HANDLE_BYTES + 1]).is_none());
    }
}
