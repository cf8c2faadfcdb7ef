//! From bytes to what a frame says: nothing of them is trusted.

use super::codec::{Reader, Short};
use super::list::{is_attribute, is_target};
use super::{
    Ack, Attrs, Body, DATA_MAX, DIGEST_LEN, Entries, Entry, FrameError, Header, Hello, Meta, PAYLOAD_MAX, Pairs, Stamp,
    VALUE_MAX, is_name, kind,
};

impl<'a> Body<'a> {
    /// Takes the frame's meaning from a header and its payload, after the checksum.
    pub fn decode(header: &Header, payload: &'a [u8]) -> Result<Body<'a>, FrameError> {
        header.verify(payload)?;
        let damaged = |what| FrameError::Damaged { kind: header.kind(), what };
        let mut reader = Reader::new(payload);
        let body = match read(header, &mut reader) {
            Ok(Some(body)) => body,
            Ok(None) => return Err(FrameError::Kind(header.kind())),
            Err(Short) => return Err(damaged("it is cut off")),
        };
        if !reader.is_empty() {
            return Err(damaged("it is too long"));
        }
        body.check().map_err(damaged)?;
        Ok(body)
    }

    /// Names, lengths, ranges.
    fn check(&self) -> Result<(), &'static str> {
        if !self.names().into_iter().flatten().all(is_name) {
            return Err("a name is not one component of a path");
        }
        match *self {
            Body::Write { data, .. } if data.len() > DATA_MAX => Err("the data is too long"),
            Body::Write { offset, data, .. } => check_range(offset, data.len() as u64),
            Body::Truncate { size, .. } => check_range(size, 0),
            Body::Allocate { offset, len, .. } => check_range(offset, len),
            Body::Symlink { target, .. } if !is_target(target) => Err("the target is not valid"),
            Body::Attach { entry, .. } if !entry.target.is_empty() && !is_target(entry.target) => {
                Err("the target is not valid")
            }
            Body::SetXattr { name, value, .. } if !is_attribute(name) || value.len() > VALUE_MAX => {
                Err("the extended attribute is not valid")
            }
            Body::RemoveXattr { name, .. } if !is_attribute(name) => Err("the extended attribute is not valid"),
            Body::List { entries, .. } | Body::CheckList { entries, .. } => {
                Entries::check(entries.as_bytes()).map(|_| ())
            }
            Body::CheckZone { zone, digest, .. } if digest.len() != DIGEST_LEN || zone > MAX_ZONE => {
                Err("the digest is not one")
            }
            Body::Meta { meta, .. } | Body::CheckMeta { meta, .. } => Pairs::check(meta.xattrs.as_bytes()).map(|_| ()),
            Body::AskDigests { count, .. } if count as usize > PAYLOAD_MAX / DIGEST_LEN => {
                Err("too many digests are asked for")
            }
            Body::Digests { digests, .. } if digests.len() % DIGEST_LEN != 0 => Err("a digest is cut off"),
            _ => Ok(()),
        }
    }

    pub(super) fn names(&self) -> [Option<&'a [u8]>; 2] {
        match *self {
            Body::Create { name, .. }
            | Body::Mkdir { name, .. }
            | Body::Symlink { name, .. }
            | Body::Mknod { name, .. }
            | Body::Link { name, .. }
            | Body::Unlink { name, .. }
            | Body::Rmdir { name, .. }
            | Body::Detach { name, .. } => [Some(name), None],
            Body::Rename { name, new_name, .. } => [Some(name), Some(new_name)],
            Body::Attach { entry, .. } => [Some(entry.name), None],
            _ => [None, None],
        }
    }
}

/// The last zone that a file can have.
const MAX_ZONE: u64 = i64::MAX as u64 / DATA_MAX as u64;

/// Offsets are `off_t` on the other side.
fn check_range(offset: u64, len: u64) -> Result<(), &'static str> {
    match offset.checked_add(len) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err("the range is too large"),
    }
}

fn get_stamp(r: &mut Reader<'_>) -> Result<Stamp, Short> {
    Ok(Stamp { sec: r.i64()?, nsec: r.u32()? % 1_000_000_000 })
}

fn get_attrs(r: &mut Reader<'_>) -> Result<Attrs, Short> {
    Ok(Attrs { mode: r.u32()? & 0o7777, uid: r.u32()?, gid: r.u32()? })
}

/// `None`: a kind that isn't known.
fn read<'a>(header: &Header, r: &mut Reader<'a>) -> Result<Option<Body<'a>>, Short> {
    let (id, arg) = (header.id(), header.arg());
    let parent = arg;
    Ok(Some(match header.kind() {
        kind::WRITE => Body::Write { id, offset: arg, data: r.rest() },
        kind::TRUNCATE => Body::Truncate { id, size: arg },
        kind::ALLOCATE => {
            let (len, mode) = (r.u64()?, r.i32()?);
            Body::Allocate { id, mode, offset: arg, len }
        }
        kind::CREATE => {
            let (stamp, attrs) = (get_stamp(r)?, get_attrs(r)?);
            Body::Create { parent, name: r.rest(), id, attrs, stamp }
        }
        kind::MKDIR => {
            let (stamp, attrs) = (get_stamp(r)?, get_attrs(r)?);
            Body::Mkdir { parent, name: r.rest(), id, attrs, stamp }
        }
        kind::SYMLINK => {
            let (stamp, attrs, len) = (get_stamp(r)?, get_attrs(r)?, r.u16()?);
            let name = r.bytes(len.into())?;
            Body::Symlink { parent, name, id, target: r.rest(), attrs, stamp }
        }
        kind::MKNOD => {
            let (stamp, attrs) = (get_stamp(r)?, get_attrs(r)?);
            let (kind, rdev) = (r.u32()?, r.u64()?);
            Body::Mknod { parent, name: r.rest(), id, kind, rdev, attrs, stamp }
        }
        kind::LINK => {
            let stamp = get_stamp(r)?;
            Body::Link { id, parent, name: r.rest(), stamp }
        }
        kind::UNLINK => {
            let stamp = get_stamp(r)?;
            Body::Unlink { parent, name: r.rest(), id, stamp }
        }
        kind::RMDIR => {
            let stamp = get_stamp(r)?;
            Body::Rmdir { parent, name: r.rest(), id, stamp }
        }
        kind::RENAME => {
            let stamp = get_stamp(r)?;
            let (new_parent, replaced, exchange, len) = (r.u64()?, r.u64()?, r.u8()? != 0, r.u16()?);
            let name = r.bytes(len.into())?;
            let new_name = r.rest();
            Body::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp }
        }
        kind::SET_ATTR => read_set_attr(id, r)?,
        kind::SET_XATTR => {
            let name = r.bytes(usize::try_from(arg).map_err(|_| Short)?)?;
            Body::SetXattr { id, name, value: r.rest() }
        }
        kind::REMOVE_XATTR => Body::RemoveXattr { id, name: r.rest() },
        kind::BARRIER => Body::Barrier { id },
        _ => return read_other(header, r),
    }))
}

fn read_set_attr<'a>(id: u64, r: &mut Reader<'a>) -> Result<Body<'a>, Short> {
    let given = r.u8()?;
    let (owner, mode) = ((r.u32()?, r.u32()?), r.u32()? & 0o7777);
    let (atime, mtime) = (get_stamp(r)?, get_stamp(r)?);
    Ok(Body::SetAttr {
        id,
        owner: (given & 1 != 0).then_some(owner),
        mode: (given & 2 != 0).then_some(mode),
        atime: (given & 4 != 0).then_some(atime),
        mtime: (given & 8 != 0).then_some(mtime),
    })
}

fn read_other<'a>(header: &Header, r: &mut Reader<'a>) -> Result<Option<Body<'a>>, Short> {
    let (id, arg) = (header.id(), header.arg());
    Ok(Some(match header.kind() {
        kind::BEGIN => Body::Begin { stream: arg, of: r.u64()?, at: r.u64()? },
        kind::BEGIN_ON => Body::BeginOn { stream: arg, common: r.u64()? },
        kind::ASK_KNOWN => {
            let (marked, mtime_s, before_s) = (r.u8()? != 0, r.i64()?, r.i64()?);
            Body::AskKnown { id, marked, size: arg, mtime_s, before_s }
        }
        kind::LIST => {
            let entries = Entries::check(r.rest()).map_err(|_| Short)?;
            Body::List { id, first: arg & 1 != 0, last: arg & 2 != 0, entries }
        }
        kind::ATTACH => {
            let (stamp, kind, rdev, len) = (get_stamp(r)?, r.u32()?, r.u64()?, r.u16()?);
            let name = r.bytes(len.into())?;
            let entry = Entry { name, id, kind, rdev, target: r.rest() };
            Body::Attach { parent: arg, entry, stamp }
        }
        kind::DETACH => {
            let stamp = get_stamp(r)?;
            Body::Detach { parent: arg, name: r.rest(), id, stamp }
        }
        kind::META => {
            let (attrs, atime, mtime) = (get_attrs(r)?, get_stamp(r)?, get_stamp(r)?);
            let xattrs = Pairs::check(r.rest()).map_err(|_| Short)?;
            Body::Meta { id, meta: Meta { attrs, atime, mtime, xattrs } }
        }
        kind::ASK_DIGESTS => Body::AskDigests { id, first: arg, count: r.u32()? },
        kind::CHECK_LIST => {
            let entries = Entries::check(r.rest()).map_err(|_| Short)?;
            Body::CheckList { id, first: arg & 1 != 0, last: arg & 2 != 0, entries }
        }
        kind::CHECK_META => {
            let times = r.u8()? != 0;
            let (attrs, atime, mtime) = (get_attrs(r)?, get_stamp(r)?, get_stamp(r)?);
            let xattrs = Pairs::check(r.rest()).map_err(|_| Short)?;
            Body::CheckMeta { id, size: arg, times, meta: Meta { attrs, atime, mtime, xattrs } }
        }
        kind::CHECK_ZONE => Body::CheckZone { id, zone: arg, digest: r.rest() },
        kind::CHECK_MARK => Body::CheckMark,
        kind::CHECK => Body::Check { json: r.rest() },
        kind::SYNCED => Body::Synced,
        kind::HELLO => {
            let (stream, last) = (r.u64()?, r.u64()?);
            Body::Hello(Hello { stream, last, applied_stream: r.u64()?, applied: r.u64()?, beside: id })
        }
        kind::ACK => Body::Ack(Ack { stream: r.u64()?, received: r.u64()?, fulfilled: r.u64()?, durable: r.u64()? }),
        kind::CONTROL => Body::Control { json: r.rest() },
        kind::DIGESTS => Body::Digests { id, first: arg, digests: r.rest() },
        kind::FAULT => {
            let text = std::str::from_utf8(r.rest()).map_err(|_| Short)?;
            Body::Fault { seq: id, errno: arg as u32 as i32, text }
        }
        kind::HEARTBEAT => Body::Heartbeat,
        kind::BESIDE => Body::Beside { token: id },
        kind::ELSEWHERE => Body::Elsewhere { seq: id },
        _ => return Ok(None),
    }))
}
