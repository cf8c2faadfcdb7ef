//! A name operation that an earlier process of ours had begun and may have executed before it died.
//!
//! This copy follows the primary exactly, so before the operation the names were as the primary's were: where the operation's
//! result is found, we made it.

use std::io;

use crate::backing::{Backing, Found, Inherited, Name, New};
use crate::pipeline::{Attrs, FileId, Op, Stamp};

/// Executes `op` unless it was executed already. `None`: it can be applied in the usual way.
pub fn finish(backing: &Backing, op: &Op<'_>) -> Option<io::Result<()>> {
    let find = |parent: FileId, name: &[u8]| backing.lookup_if_there(parent, &Name::new(name)?);
    match *op {
        Op::Create { parent, name, id, attrs, stamp } => {
            made(backing, find(parent, name), (parent, name, id, New::File), attrs, stamp)
        }
        Op::Mkdir { parent, name, id, attrs, stamp } => {
            made(backing, find(parent, name), (parent, name, id, New::Directory), attrs, stamp)
        }
        Op::Symlink { parent, name, id, target, attrs, stamp } => {
            made(backing, find(parent, name), (parent, name, id, New::Symlink(target)), attrs, stamp)
        }
        Op::Mknod { parent, name, id, kind, rdev, attrs, stamp } => {
            made(backing, find(parent, name), (parent, name, id, New::Special { kind, rdev }), attrs, stamp)
        }
        Op::Link { parent, name, id, stamp } => match find(parent, name) {
            Ok(Some(found)) if found.id == id => Some(backing.restamp(parent, stamp)),
            _ => None,
        },
        Op::Unlink { parent, name, id, stamp } | Op::Rmdir { parent, name, id, stamp } => match find(parent, name) {
            Ok(None) => {
                backing.close(id);
                if backing.stat(id).is_err() {
                    backing.table().forget(id);
                }
                Some(backing.restamp(parent, stamp))
            }
            _ => None,
        },
        Op::Rename { parent, name, new_parent, new_name, id, stamp, .. } => {
            let (from, to) = (find(parent, name), find(new_parent, new_name));
            let moved =
                matches!(to, Ok(Some(found)) if found.id == id) && !matches!(from, Ok(Some(found)) if found.id == id);
            moved.then(|| {
                backing.restamp(parent, stamp)?;
                backing.restamp(new_parent, stamp)
            })
        }
        Op::RemoveXattr { .. } => match backing.apply(op) {
            Err(error) if error.source.raw_os_error() == Some(libc::ENODATA) => Some(Ok(())),
            other => Some(other.map_err(|error| error.source)),
        },
        _ => None,
    }
}

fn made(
    backing: &Backing,
    found: io::Result<Option<Found>>,
    (parent, name, id, new): (FileId, &[u8], FileId, New<'_>),
    attrs: Attrs,
    stamp: Stamp,
) -> Option<io::Result<()>> {
    match found {
        Ok(Some(found)) if found.kind() == new.kind() => Some(Name::new(name).and_then(|name| {
            let fd = backing.open_made(parent, &name, new.kind())?;
            backing.finish(fd, id, new.kind(), &Inherited { attrs, acl: false })?;
            backing.stamp_new(id, stamp)?;
            backing.restamp(parent, stamp)
        })),
        _ => None,
    }
}
