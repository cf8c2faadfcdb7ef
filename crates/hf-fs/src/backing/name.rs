//! One component of a path.

use std::ffi::{CStr, CString};
use std::io;

/// A directory entry's name: 1 to 255 bytes, no `/`, no NUL, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(CString);

impl Name {
    /// EINVAL, ENAMETOOLONG or ENOENT (empty) for anything that isn't one component: names come from the wire, too.
    pub fn new(name: &[u8]) -> io::Result<Name> {
        let errno = match name {
            b"" => libc::ENOENT,
            b"." | b".." => libc::EINVAL,
            _ if name.len() > 255 => libc::ENAMETOOLONG,
            _ if name.contains(&b'/') => libc::EINVAL,
            _ => 0,
        };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let name = CString::new(name);
        name.map(Name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
    }

    /// For system calls.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// As it goes over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_are_names() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b".a", b"\xff\xfe", &[b'x'; 255]] {
            assert_eq!(Name::new(good).unwrap().as_bytes(), good);
        }
    }
}
