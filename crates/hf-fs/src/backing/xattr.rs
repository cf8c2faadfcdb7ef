//! Extended attributes. Access control lists are two of them.

use std::ffi::CStr;
use std::io;

use rustix::fs::XattrFlags;

use super::attr::magic_path;
use super::{Backing, Node};
use crate::pipeline::FileId;

/// The access control list that new entries of a directory inherit.
pub(crate) const ACL_DEFAULT: &CStr = c"system.posix_acl_default";
/// The access control list of a file.
pub(crate) const ACL_ACCESS: &CStr = c"system.posix_acl_access";

/// The kernel's limit of a value, in bytes.
const MAX_VALUE: usize = 65_536;

impl Backing {
    /// The same directory, whose access control lists are each node's own (`acl="off"`). Say it before anybody uses it.
    #[must_use]
    pub fn without_lists(mut self) -> Backing {
        self.lists = false;
        self
    }

    /// Is this an access control list that is this node's own?
    pub(crate) fn is_own_list(&self, name: &[u8]) -> bool {
        !self.lists && name.starts_with(b"system.posix_acl_")
    }

    /// A value. ENODATA when there is none.
    pub fn xattr(&self, id: FileId, name: &CStr) -> io::Result<Vec<u8>> {
        let node = self.node(id)?;
        fill(|buffer| get(&node, name, buffer))
    }

    /// All names, each ended by NUL.
    pub fn xattr_names(&self, id: FileId) -> io::Result<Vec<u8>> {
        let node = self.node(id)?;
        fill(|buffer| list(&node, buffer))
    }

    /// Sets a value; `flags` is 0, `XATTR_CREATE` or `XATTR_REPLACE`.
    pub fn set_xattr(&self, id: FileId, name: &CStr, value: &[u8], flags: i32) -> io::Result<()> {
        let node = self.node(id)?;
        let flags = XattrFlags::from_bits_retain(flags as u32);
        let done = if node.is_path_only() {
            rustix::fs::setxattr(magic_path(&*node).as_c_str(), name, value, flags)
        } else {
            rustix::fs::fsetxattr(&*node, name, value, flags)
        };
        self.unsynced.attributes(id);
        Ok(done?)
    }

    /// Removes a value. ENODATA when there is none.
    pub fn remove_xattr(&self, id: FileId, name: &CStr) -> io::Result<()> {
        let node = self.node(id)?;
        let done = if node.is_path_only() {
            rustix::fs::removexattr(magic_path(&*node).as_c_str(), name)
        } else {
            rustix::fs::fremovexattr(&*node, name)
        };
        self.unsynced.attributes(id);
        Ok(done?)
    }

    /// Do new entries of this directory inherit an access control list?
    pub(super) fn has_default_acl(&self, dir: &Node) -> bool {
        // An empty buffer would be answered with 0 whatever is there.
        let size = match dir.is_path_only() {
            true => rustix::fs::getxattr_query(magic_path(dir).as_c_str(), ACL_DEFAULT),
            false => rustix::fs::fgetxattr_query(dir, ACL_DEFAULT),
        };
        size.is_ok_and(|size| size > 0)
    }
}

fn get(node: &Node, name: &CStr, buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
    if node.is_path_only() {
        return rustix::fs::getxattr(magic_path(node).as_c_str(), name, buffer.as_mut_slice());
    }
    rustix::fs::fgetxattr(node, name, buffer.as_mut_slice())
}

fn list(node: &Node, buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
    if node.is_path_only() {
        return rustix::fs::listxattr(magic_path(node).as_c_str(), buffer.as_mut_slice());
    }
    rustix::fs::flistxattr(node, buffer.as_mut_slice())
}

/// Asks with a small buffer first, with the kernel's limit when that is too small.
fn fill(ask: impl Fn(&mut Vec<u8>) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
    let size = match ask(&mut buffer) {
        Err(rustix::io::Errno::RANGE) => {
            buffer.resize(MAX_VALUE, 0);
            ask(&mut buffer)?
        }
        other => other?,
    };
    buffer.truncate(size);
    Ok(buffer)
}
