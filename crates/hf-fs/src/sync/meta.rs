//! Attributes of a file as a whole: read on the primary, made so on the secondary.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;

use hf_wire::frame::{Attrs, Meta, Pairs, Stamp, push_pair};

use crate::backing::{Backing, Change, Stat};
use crate::pipeline::FileId;

/// Is this extended attribute part of the data? Labels of a node's security modules aren't.
fn is_replicated(backing: &Backing, name: &[u8]) -> bool {
    if backing.is_own_list(name) {
        return false;
    }
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name.starts_with(b"system.posix_acl_")
        || name == b"security.capability"
}

/// What [`apply`] makes of another copy's file.
pub struct Owned {
    attrs: Attrs,
    atime: Stamp,
    mtime: Stamp,
    pairs: Vec<u8>,
}

impl Owned {
    pub fn as_meta(&self) -> Meta<'_> {
        // Made by `push_pair` from what the kernel listed.
        let xattrs = Pairs::check(&self.pairs).expect("names and values from the kernel are valid");
        Meta { attrs: self.attrs, atime: self.atime, mtime: self.mtime, xattrs }
    }
}

/// The attributes of a file now. Under its lock.
pub fn read(backing: &Backing, id: FileId) -> io::Result<Owned> {
    let stat = backing.stat(id)?;
    let mut pairs = Vec::new();
    for (name, value) in xattrs(backing, id)? {
        push_pair(&mut pairs, name.as_bytes(), &value);
    }
    Ok(Owned { attrs: attrs(&stat), atime: atime(&stat), mtime: mtime(&stat), pairs })
}

/// Changes only what differs, in an order in which nothing undoes what was set before: owner, extended attributes, mode, times.
pub fn apply(backing: &Backing, id: FileId, meta: &Meta<'_>) -> io::Result<()> {
    let stat = backing.stat(id)?;
    let now = attrs(&stat);
    if (now.uid, now.gid) != (meta.attrs.uid, meta.attrs.gid) {
        backing.set_attr(id, &Change { owner: Some((meta.attrs.uid, meta.attrs.gid)), ..Change::default() })?;
    }
    let mut old = xattrs(backing, id)?;
    for (name, value) in meta.xattrs.iter() {
        let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        if is_replicated(backing, name.as_bytes()) && old.remove(&name).as_deref() != Some(value) {
            backing.set_xattr(id, &name, value, 0)?;
        }
    }
    for name in old.keys() {
        backing.remove_xattr(id, name)?;
    }
    let stat = backing.stat(id)?;
    if attrs(&stat).mode != meta.attrs.mode {
        backing.set_attr(id, &Change { mode: Some(meta.attrs.mode), ..Change::default() })?;
    }
    if mtime(&stat) != meta.mtime {
        let (atime, mtime) = (Some(meta.atime), Some(meta.mtime));
        let stamp = |stamp: Option<Stamp>| stamp.map(|s| crate::pipeline::Stamp { sec: s.sec, nsec: s.nsec });
        backing.set_attr(id, &Change { atime: stamp(atime), mtime: stamp(mtime), ..Change::default() })?;
    }
    Ok(())
}

fn xattrs(backing: &Backing, id: FileId) -> io::Result<BTreeMap<CString, Vec<u8>>> {
    let names = match backing.xattr_names(id) {
        // A file system without any.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Vec::new(),
        other => other?,
    };
    let mut all = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_replicated(backing, name)) {
        let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let value = backing.xattr(id, &name)?;
        all.insert(name, value);
    }
    Ok(all)
}

fn attrs(stat: &Stat) -> Attrs {
    Attrs { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
}

fn atime(stat: &Stat) -> Stamp {
    Stamp { sec: stat.st_atime, nsec: stat.st_atime_nsec as u32 }
}

fn mtime(stat: &Stat) -> Stamp {
    Stamp { sec: stat.st_mtime, nsec: stat.st_mtime_nsec as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::Name;
    use crate::table::Table;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;

    /// `user::rw-, user:USER:rwx, group::---, mask::rwx, other::---`
    fn list(user: u8) -> Vec<u8> {
        let entry = |tag: u8, perm: u8, id: [u8; 4]| [&[tag, 0, perm, 0][..], &id].concat();
        let any = [0xff; 4];
        let entries = [
            entry(1, 6, any),
            entry(2, 7, [user, 0, 0, 0]),
            entry(4, 0, any),
            entry(0x10, 7, any),
            entry(0x20, 0, any),
        ];
        [&[2, 0, 0, 0][..], &entries.concat()].concat()
    }

    fn open(at: &Path, user: u8) -> (Backing, FileId) {
        std::fs::create_dir(at).unwrap();
        let file = at.join("file");
        std::fs::write(&file, b"x").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&file, "system.posix_acl_access", &list(user), flags).unwrap();
        rustix::fs::setxattr(&file, "user.number", &[user], flags).unwrap();
        let backing = Backing::open(at, &at.with_extension("hold"), Arc::new(Table::create(1).unwrap())).unwrap();
        let id = backing.lookup(FileId::ROOT, &Name::new(b"file").unwrap()).unwrap().id;
        (backing, id)
    }

    fn user_in_list(backing: &Backing, id: FileId) -> u8 {
        backing.xattr(id, crate::backing::ACL_ACCESS).unwrap()[4 + 8 + 4]
    }

    #[test]
    fn lists_are_copied_or_each_nodes_own() {
        for (lists, expected) in [(true, 11), (false, 22)] {
            let dir = tempfile::tempdir().unwrap();
            let ((one, from), (two, to)) = (open(&dir.path().join("one"), 11), open(&dir.path().join("two"), 22));
            let (one, two) = if lists { (one, two) } else { (one.without_lists(), two.without_lists()) };
            let meta = read(&one, from).unwrap();
            apply(&two, to, &meta.as_meta()).unwrap();
            assert_eq!(user_in_list(&two, to), expected);
            assert_eq!(two.xattr(to, c"user.number").unwrap(), [11], "other attributes are copied");
        }
    }
}
