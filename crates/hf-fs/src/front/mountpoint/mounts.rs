//! The kernel's list of mounts.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Minor number of its device: for FUSE the number of the connection.
    pub device_minor: u32,
    /// Where.
    pub mountpoint: PathBuf,
    /// `ext4`, `fuse.holdfast`...
    pub fs_type: String,
    /// What `mount` shows as the device.
    pub source: String,
}

/// All mounts of this process's namespace, in the order of mounting.
pub fn mounts() -> io::Result<Vec<MountEntry>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// `36 35 98:0 /root /mountpoint rw,noatime master:1 - ext4 /dev/root rw`
fn parse(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|b| *b == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?;
    let device_minor = device.split_once(':')?.1.parse().ok()?;
    let mountpoint = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let mut tail = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8_lossy(tail.next()?).into_owned();
    let source = String::from_utf8_lossy(&unescape(tail.next()?)).into_owned();
    Some(MountEntry { device_minor, mountpoint, fs_type, source })
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|d| *byte == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(digits) => {
                out.push(digits.iter().fold(0u8, |n, d| n.wrapping_mul(8).wrapping_add(d - b'0')));
                rest = &tail[3..];
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let line =
            br"36 35 0:98 / /a/with\040blank\134 rw,noatime shared:1 master:2 - fuse.holdfast /a/b\040c rw,user_id=0";
        let entry = parse(line).unwrap();
        assert_eq!(entry.device_minor, 98);
        assert_eq!(entry.mountpoint, PathBuf::from(r"/a/with blank\"));
        assert_eq!((entry.fs_type.as_str(), entry.source.as_str()), ("fuse.holdfast", "/a/b c"));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 x / /"), None);
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(mounts().unwrap().iter().any(|m| m.mountpoint.as_path() == std::path::Path::new("/")));
    }
}
