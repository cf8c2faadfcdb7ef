//! From what a frame says to its bytes.

use zerocopy::IntoBytes;

use super::codec::Fixed;
use super::{Attrs, Body, HEADER_LEN, Header, Place, Stamp, kind};

/// A frame ready to be copied out: everything but its place is settled.
pub struct Encoded<'a> {
    header: Header,
    fixed: Fixed,
    raw: [&'a [u8]; 2],
    crc: u32,
}

impl Encoded<'_> {
    /// Length of header and payload, in bytes.
    pub fn len(&self) -> usize {
        self.header.frame_len()
    }

    /// Never: there is a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the frame into exactly [`Encoded::len`] bytes.
    pub fn write(&self, place: Place, out: &mut [u8]) {
        let mut header = self.header;
        header.seal(place, self.crc);
        let (head, mut rest) = out.split_at_mut(HEADER_LEN);
        head.copy_from_slice(header.as_bytes());
        for part in [self.fixed.as_slice(), self.raw[0], self.raw[1]] {
            let (to, after) = rest.split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = after;
        }
    }

    /// The whole frame.
    pub fn to_vec(&self, place: Place) -> Vec<u8> {
        let mut out = vec![0; self.len()];
        self.write(place, &mut out);
        out
    }
}

fn put_stamp(fixed: &mut Fixed, stamp: Stamp) {
    fixed.i64(stamp.sec).u32(stamp.nsec);
}

fn put_attrs(fixed: &mut Fixed, attrs: Attrs) {
    fixed.u32(attrs.mode).u32(attrs.uid).u32(attrs.gid);
}

const NONE: &[u8] = &[];

impl<'a> Body<'a> {
    /// Everything but the place in the stream; computes the payload's checksum.
    pub fn encode(&self) -> Encoded<'a> {
        let mut fixed = Fixed::new();
        let (kind, id, arg, raw) = self.lay_out(&mut fixed);
        let len = fixed.as_slice().len() + raw[0].len() + raw[1].len();
        let crc = [raw[0], raw[1]]
            .iter()
            .fold(crc32c::crc32c(fixed.as_slice()), |crc, part| crc32c::crc32c_append(crc, part));
        Encoded { header: Header::new(kind, id, arg, len), fixed, raw, crc }
    }

    /// Fills the fixed part; gives kind, id, argument and the raw parts.
    fn lay_out(&self, f: &mut Fixed) -> (u8, u64, u64, [&'a [u8]; 2]) {
        match *self {
            Body::Write { id, offset, data } => (kind::WRITE, id, offset, [data, NONE]),
            Body::Truncate { id, size } => (kind::TRUNCATE, id, size, [NONE; 2]),
            Body::Allocate { id, mode, offset, len } => {
                f.u64(len).u32(mode as u32);
                (kind::ALLOCATE, id, offset, [NONE; 2])
            }
            Body::Create { parent, name, id, attrs, stamp } => {
                put_stamp(f, stamp);
                put_attrs(f, attrs);
                (kind::CREATE, id, parent, [name, NONE])
            }
            Body::Mkdir { parent, name, id, attrs, stamp } => {
                put_stamp(f, stamp);
                put_attrs(f, attrs);
                (kind::MKDIR, id, parent, [name, NONE])
            }
            Body::Symlink { parent, name, id, target, attrs, stamp } => {
                put_stamp(f, stamp);
                put_attrs(f, attrs);
                f.u16(name.len() as u16);
                (kind::SYMLINK, id, parent, [name, target])
            }
            Body::Mknod { parent, name, id, kind, rdev, attrs, stamp } => {
                put_stamp(f, stamp);
                put_attrs(f, attrs);
                f.u32(kind).u64(rdev);
                (kind::MKNOD, id, parent, [name, NONE])
            }
            Body::Link { id, parent, name, stamp } => {
                put_stamp(f, stamp);
                (kind::LINK, id, parent, [name, NONE])
            }
            Body::Unlink { parent, name, id, stamp } => {
                put_stamp(f, stamp);
                (kind::UNLINK, id, parent, [name, NONE])
            }
            Body::Rmdir { parent, name, id, stamp } => {
                put_stamp(f, stamp);
                (kind::RMDIR, id, parent, [name, NONE])
            }
            Body::Rename { parent, name, new_parent, new_name, id, replaced, exchange, stamp } => {
                put_stamp(f, stamp);
                f.u64(new_parent).u64(replaced).u8(exchange.into()).u16(name.len() as u16);
                (kind::RENAME, id, parent, [name, new_name])
            }
            Body::SetAttr { id, owner, mode, atime, mtime } => {
                let given = [owner.is_some(), mode.is_some(), atime.is_some(), mtime.is_some()];
                f.u8(given.iter().rev().fold(0, |bits, given| bits << 1 | u8::from(*given)));
                let (uid, gid) = owner.unwrap_or_default();
                f.u32(uid).u32(gid).u32(mode.unwrap_or_default());
                put_stamp(f, atime.unwrap_or_default());
                put_stamp(f, mtime.unwrap_or_default());
                (kind::SET_ATTR, id, 0, [NONE; 2])
            }
            Body::SetXattr { id, name, value } => (kind::SET_XATTR, id, name.len() as u64, [name, value]),
            Body::RemoveXattr { id, name } => (kind::REMOVE_XATTR, id, 0, [name, NONE]),
            Body::Barrier { id } => (kind::BARRIER, id, 0, [NONE; 2]),
            _ => self.lay_out_other(f),
        }
    }

    fn lay_out_other(&self, f: &mut Fixed) -> (u8, u64, u64, [&'a [u8]; 2]) {
        match *self {
            Body::Begin { stream, of, at } => {
                f.u64(of).u64(at);
                (kind::BEGIN, 0, stream, [NONE; 2])
            }
            Body::BeginOn { stream, common } => {
                f.u64(common);
                (kind::BEGIN_ON, 0, stream, [NONE; 2])
            }
            Body::AskKnown { id, marked, size, mtime_s, before_s } => {
                f.u8(marked.into()).i64(mtime_s).i64(before_s);
                (kind::ASK_KNOWN, id, size, [NONE; 2])
            }
            Body::List { id, first, last, entries } => {
                let arg = u64::from(first) | u64::from(last) << 1;
                (kind::LIST, id, arg, [entries.as_bytes(), NONE])
            }
            Body::Attach { parent, entry, stamp } => {
                put_stamp(f, stamp);
                f.u32(entry.kind).u64(entry.rdev).u16(entry.name.len() as u16);
                (kind::ATTACH, entry.id, parent, [entry.name, entry.target])
            }
            Body::Detach { parent, name, id, stamp } => {
                put_stamp(f, stamp);
                (kind::DETACH, id, parent, [name, NONE])
            }
            Body::Meta { id, meta } => {
                put_attrs(f, meta.attrs);
                put_stamp(f, meta.atime);
                put_stamp(f, meta.mtime);
                (kind::META, id, 0, [meta.xattrs.as_bytes(), NONE])
            }
            Body::AskDigests { id, first, count } => {
                f.u32(count);
                (kind::ASK_DIGESTS, id, first, [NONE; 2])
            }
            Body::CheckList { .. } | Body::CheckMeta { .. } | Body::CheckZone { .. } | Body::CheckMark => {
                self.lay_out_check(f)
            }
            Body::Check { json } => (kind::CHECK, 0, 0, [json, NONE]),
            Body::Hello(hello) => {
                f.u64(hello.stream).u64(hello.last).u64(hello.applied_stream).u64(hello.applied);
                (kind::HELLO, hello.beside, 0, [NONE; 2])
            }
            Body::Ack(ack) => {
                f.u64(ack.stream).u64(ack.received).u64(ack.fulfilled).u64(ack.durable);
                (kind::ACK, 0, 0, [NONE; 2])
            }
            Body::Control { json } => (kind::CONTROL, 0, 0, [json, NONE]),
            Body::Digests { id, first, digests } => (kind::DIGESTS, id, first, [digests, NONE]),
            Body::Fault { seq, errno, text } => (kind::FAULT, seq, errno as u32 as u64, [text.as_bytes(), NONE]),
            Body::Heartbeat => (kind::HEARTBEAT, 0, 0, [NONE; 2]),
            Body::Beside { token } => (kind::BESIDE, token, 0, [NONE; 2]),
            Body::Elsewhere { seq } => (kind::ELSEWHERE, seq, 0, [NONE; 2]),
            _ => (kind::SYNCED, 0, 0, [NONE; 2]),
        }
    }

    fn lay_out_check(&self, f: &mut Fixed) -> (u8, u64, u64, [&'a [u8]; 2]) {
        match *self {
            Body::CheckList { id, first, last, entries } => {
                let arg = u64::from(first) | u64::from(last) << 1;
                (kind::CHECK_LIST, id, arg, [entries.as_bytes(), NONE])
            }
            Body::CheckMeta { id, size, times, meta } => {
                f.u8(times.into());
                put_attrs(f, meta.attrs);
                put_stamp(f, meta.atime);
                put_stamp(f, meta.mtime);
                (kind::CHECK_META, id, size, [meta.xattrs.as_bytes(), NONE])
            }
            Body::CheckZone { id, zone, digest } => (kind::CHECK_ZONE, id, zone, [digest, NONE]),
            _ => (kind::CHECK_MARK, 0, 0, [NONE; 2]),
        }
    }
}
