//! Operations of the pipeline as frames, and back.

use hf_wire::frame::{self, Body};

use crate::pipeline::{Attrs, FileId, Op, Stamp};

pub fn stamp_out(stamp: Stamp) -> frame::Stamp {
    frame::Stamp { sec: stamp.sec, nsec: stamp.nsec }
}

pub fn stamp_in(stamp: frame::Stamp) -> Stamp {
    Stamp { sec: stamp.sec, nsec: stamp.nsec }
}

fn attrs_out(attrs: Attrs) -> frame::Attrs {
    frame::Attrs { mode: attrs.mode, uid: attrs.uid, gid: attrs.gid }
}

fn attrs_in(attrs: frame::Attrs) -> Attrs {
    Attrs { mode: attrs.mode, uid: attrs.uid, gid: attrs.gid }
}

/// The frame that carries an operation.
pub fn body_of<'a>(op: &Op<'a>) -> Body<'a> {
    match *op {
        Op::Write { id, offset, data } => Body::Write { id: id.0, offset, data },
        Op::Truncate { id, size } => Body::Truncate { id: id.0, size },
        Op::Allocate { id, mode, offset, len } => Body::Allocate { id: id.0, mode, offset, len },
        Op::Create { parent, name, id, attrs, stamp } => {
            Body::Create { parent: parent.0, name, id: id.0, attrs: attrs_out(attrs), stamp: stamp_out(stamp) }
        }
        Op::Mkdir { parent, name, id, attrs, stamp } => {
            Body::Mkdir { parent: parent.0, name, id: id.0, attrs: attrs_out(attrs), stamp: stamp_out(stamp) }
        }
        Op::Symlink { parent, name, id, target, attrs, stamp } => {
            let (attrs, stamp) = (attrs_out(attrs), stamp_out(stamp));
            Body::Symlink { parent: parent.0, name, id: id.0, target, attrs, stamp }
        }
        Op::Mknod { parent, name, id, kind, rdev, attrs, stamp } => {
            let (attrs, stamp) = (attrs_out(attrs), stamp_out(stamp));
            Body::Mknod { parent: parent.0, name, id: id.0, kind, rdev, attrs, stamp }
        }
        Op::Link { id, parent, name, stamp } => {
            Body::Link { id: id.0, parent: parent.0, name, stamp: stamp_out(stamp) }
        }
        Op::Unlink { parent, name, id, stamp } => {
            Body::Unlink { parent: parent.0, name, id: id.0, stamp: stamp_out(stamp) }
        }
        Op::Rmdir { parent, name, id, stamp } => {
            Body::Rmdir { parent: parent.0, name, id: id.0, stamp: stamp_out(stamp) }
        }
        Op::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp } => Body::Rename {
            parent: parent.0,
            name,
            new_parent: new_parent.0,
            new_name,
            id: id.0,
            replaced: replaced.map_or(0, |replaced| replaced.0),
            exchange,
            stamp: stamp_out(stamp),
        },
        Op::SetAttr { id, owner, mode, atime, mtime } => {
            Body::SetAttr { id: id.0, owner, mode, atime: atime.map(stamp_out), mtime: mtime.map(stamp_out) }
        }
        Op::SetXattr { id, name, value } => Body::SetXattr { id: id.0, name, value },
        Op::RemoveXattr { id, name } => Body::RemoveXattr { id: id.0, name },
        Op::Barrier { id } => Body::Barrier { id: id.0 },
    }
}

/// The operation that a frame carries, `None` for frames of another kind.
pub fn op_of<'a>(body: &Body<'a>) -> Option<Op<'a>> {
    let f = FileId;
    Some(match *body {
        Body::Write { id, offset, data } => Op::Write { id: f(id), offset, data },
        Body::Truncate { id, size } => Op::Truncate { id: f(id), size },
        Body::Allocate { id, mode, offset, len } => Op::Allocate { id: f(id), mode, offset, len },
        Body::Create { parent, name, id, attrs, stamp, .. } => {
            Op::Create { parent: f(parent), name, id: f(id), attrs: attrs_in(attrs), stamp: stamp_in(stamp) }
        }
        Body::Mkdir { parent, name, id, attrs, stamp, .. } => {
            Op::Mkdir { parent: f(parent), name, id: f(id), attrs: attrs_in(attrs), stamp: stamp_in(stamp) }
        }
        Body::Symlink { parent, name, id, target, attrs, stamp, .. } => {
            let (attrs, stamp) = (attrs_in(attrs), stamp_in(stamp));
            Op::Symlink { parent: f(parent), name, id: f(id), target, attrs, stamp }
        }
        Body::Mknod { parent, name, id, kind, rdev, attrs, stamp, .. } => {
            let (attrs, stamp) = (attrs_in(attrs), stamp_in(stamp));
            Op::Mknod { parent: f(parent), name, id: f(id), kind, rdev, attrs, stamp }
        }
        Body::Link { id, parent, name, stamp } => {
            Op::Link { id: f(id), parent: f(parent), name, stamp: stamp_in(stamp) }
        }
        Body::Unlink { parent, name, id, stamp } => {
            Op::Unlink { parent: f(parent), name, id: f(id), stamp: stamp_in(stamp) }
        }
        Body::Rmdir { parent, name, id, stamp } => {
            Op::Rmdir { parent: f(parent), name, id: f(id), stamp: stamp_in(stamp) }
        }
        Body::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp } => Op::Rename {
            parent: f(parent),
            name,
            new_parent: f(new_parent),
            new_name,
            id: f(id),
            replaced: (replaced != 0).then_some(f(replaced)),
            exchange,
            stamp: stamp_in(stamp),
        },
        Body::SetAttr { id, owner, mode, atime, mtime } => {
            Op::SetAttr { id: f(id), owner, mode, atime: atime.map(stamp_in), mtime: mtime.map(stamp_in) }
        }
        Body::SetXattr { id, name, value } => Op::SetXattr { id: f(id), name, value },
        Body::RemoveXattr { id, name } => Op::RemoveXattr { id: f(id), name },
        Body::Barrier { id } => Op::Barrier { id: f(id) },
        _ => return None,
    })
}
