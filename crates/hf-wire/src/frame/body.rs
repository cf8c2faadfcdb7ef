use super::codec::{Fixed, Reader, Short};
use super::list::{is_attribute, is_target};
use super::{
    DATA_MAX, DIGEST_LEN, Entries, Entry, FrameError, HEADER_LEN, Header, PAYLOAD_MAX, Pairs, Place, VALUE_MAX, is_name,
};
use zerocopy::IntoBytes;

/// A time as `utimensat` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Seconds since 1970, negative before.
    pub sec: i64,
    /// 0 to 999,999,999.
    pub nsec: u32,
}

/// Permission bits (07777) and owner of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// Everything of a file but its content, at one place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta<'a> {
    pub attrs: Attrs,
    pub atime: Stamp,
    pub mtime: Stamp,
    /// All extended attributes: others are removed.
    pub xattrs: Pairs<'a>,
}

/// First frame of a connection, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hello {
    /// The stream that the sender issues, 0 for none yet, and its last sequence.
    pub stream: u64,
    pub last: u64,
    /// The stream that the sender applied last, and how far.
    pub applied_stream: u64,
    pub applied: u64,
    /// Of the end that listens: what connections beside this one are to say ([`Body::Beside`]); 0: it takes none.
    pub beside: u64,
}

/// How far the sender is with the stream that it applies. Each number only grows within a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ack {
    /// The stream that is meant: acknowledgements of an earlier one are ignored.
    pub stream: u64,
    /// Applied in order.
    pub received: u64,
    /// All barriers up to here are fulfilled as `async` says.
    pub fulfilled: u64,
    /// Everything up to here is durable.
    pub durable: u64,
}

/// What a frame says. Ids are those of the primary; every value is final (no umask, no "now"). `stamp` is the time of the
/// parent directories after the operation, and of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    Write {
        id: u64,
        offset: u64,
        data: &'a [u8],
    },
    Truncate {
        id: u64,
        size: u64,
    },
    Allocate {
        id: u64,
        mode: i32,
        offset: u64,
        len: u64,
    },
    Create {
        parent: u64,
        name: &'a [u8],
        id: u64,
        attrs: Attrs,
        stamp: Stamp,
    },
    Mkdir {
        parent: u64,
        name: &'a [u8],
        id: u64,
        attrs: Attrs,
        stamp: Stamp,
    },
    Symlink {
        parent: u64,
        name: &'a [u8],
        id: u64,
        target: &'a [u8],
        attrs: Attrs,
        stamp: Stamp,
    },
    /// `kind` is the `S_IFMT` part of the mode.
    Mknod {
        parent: u64,
        name: &'a [u8],
        id: u64,
        kind: u32,
        rdev: u64,
        attrs: Attrs,
        stamp: Stamp,
    },
    Link {
        id: u64,
        parent: u64,
        name: &'a [u8],
        stamp: Stamp,
    },
    Unlink {
        parent: u64,
        name: &'a [u8],
        id: u64,
        stamp: Stamp,
    },
    Rmdir {
        parent: u64,
        name: &'a [u8],
        id: u64,
        stamp: Stamp,
    },
    /// `replaced` is 0 for none.
    Rename {
        parent: u64,
        name: &'a [u8],
        new_parent: u64,
        new_name: &'a [u8],
        id: u64,
        replaced: u64,
        exchange: bool,
        stamp: Stamp,
    },
    SetAttr {
        id: u64,
        owner: Option<(u32, u32)>,
        mode: Option<u32>,
        atime: Option<Stamp>,
        mtime: Option<Stamp>,
    },
    SetXattr {
        id: u64,
        name: &'a [u8],
        value: &'a [u8],
    },
    RemoveXattr {
        id: u64,
        name: &'a [u8],
    },
    Barrier {
        id: u64,
    },

    /// A stream begins at this frame's sequence. A synchronisation follows (`of` is 0), and ids of earlier streams mean nothing
    /// any more; or both copies are equal, because the sender applied the receiver's stream `of` up to its end `at`.
    Begin {
        stream: u64,
        of: u64,
        at: u64,
    },
    /// As `Begin` with a synchronisation, on top of what both copies had in common: the state at the end of stream `common`, so
    /// that marks of files that are unchanged since then go on meaning something. Only to an end that said in its hello that it has them.
    BeginOn {
        stream: u64,
        common: u64,
    },
    /// Part of the listing of directory `id`: the names that are to be there, and which file each is. With `last`, other names go.
    List {
        id: u64,
        first: bool,
        last: bool,
        entries: Entries<'a>,
    },
    /// One name of a listed directory is this file now, whatever it was.
    Attach {
        parent: u64,
        entry: Entry<'a>,
        stamp: Stamp,
    },
    /// One name of a listed directory is gone; the file is kept aside, it may come back under another name.
    Detach {
        parent: u64,
        name: &'a [u8],
        id: u64,
        stamp: Stamp,
    },
    /// These are all attributes of `id`.
    Meta {
        id: u64,
        meta: Meta<'a>,
    },
    /// Answer with the digests of `count` zones of `id` from zone `first` on.
    AskDigests {
        id: u64,
        first: u64,
        count: u32,
    },
    /// Is the content of `id` known to be equal? Because it is `marked` here and there; or because it was last changed before the moment
    /// `before` (seconds since 1970; [`i64::MIN`]: doesn't count), at the second `mtime_s` and with this size. Answered in the order of the
    /// questions by `Digests` from zone [`KNOWN`] on: with one if so, with none if not.
    AskKnown {
        id: u64,
        marked: bool,
        size: u64,
        mtime_s: i64,
        before_s: i64,
    },
    /// Everything was sent: what was kept aside goes.
    Synced,

    /// A verification: part of the listing of directory `id`. Compare; other names are too many. Nothing is changed.
    CheckList {
        id: u64,
        first: bool,
        last: bool,
        entries: Entries<'a>,
    },
    /// These are the size (of regular files, else 0) and all attributes of `id`: compare. Without `times` the time of the last change is not
    /// to be compared, because it will be told later.
    CheckMeta {
        id: u64,
        size: u64,
        times: bool,
        meta: Meta<'a>,
    },
    /// At this place of the stream zone `zone` of `id` has this digest ([`DIGEST_LEN`] bytes): compare.
    CheckZone {
        id: u64,
        zone: u64,
        digest: &'a [u8],
    },
    /// Say that everything before was compared.
    CheckMark,

    Hello(Hello),
    Ack(Ack),
    /// A message of the core, as JSON.
    Control {
        json: &'a [u8],
    },
    /// Digests of zones from `first` on, [`DIGEST_LEN`] bytes each.
    Digests {
        id: u64,
        first: u64,
        digests: &'a [u8],
    },
    /// Operation `seq` gave another answer here.
    Fault {
        seq: u64,
        errno: i32,
        text: &'a str,
    },
    /// What the two ends of a verification say to each other, as JSON ([`crate::check::CheckMessage`]).
    Check {
        json: &'a [u8],
    },
    /// I'm alive.
    Heartbeat,
    /// First frame of a connection beside another one: which one, as its [`Hello`] said. After it come frames of the stream.
    Beside {
        token: u64,
    },
    /// In the place of a frame of the stream that comes over a connection beside this one.
    Elsewhere {
        seq: u64,
    },
}

mod kind {
    pub const WRITE: u8 = 1;
    pub const TRUNCATE: u8 = 2;
    pub const ALLOCATE: u8 = 3;
    pub const CREATE: u8 = 4;
    pub const MKDIR: u8 = 5;
    pub const SYMLINK: u8 = 6;
    pub const MKNOD: u8 = 7;
    pub const LINK: u8 = 8;
    pub const UNLINK: u8 = 9;
    pub const RMDIR: u8 = 10;
    pub const RENAME: u8 = 11;
    pub const SET_ATTR: u8 = 12;
    pub const SET_XATTR: u8 = 13;
    pub const REMOVE_XATTR: u8 = 14;
    pub const BARRIER: u8 = 15;
    pub const BEGIN: u8 = 32;
    pub const LIST: u8 = 33;
    pub const ATTACH: u8 = 34;
    pub const DETACH: u8 = 35;
    pub const META: u8 = 36;
    pub const ASK_DIGESTS: u8 = 37;
    pub const SYNCED: u8 = 38;
    pub const CHECK_LIST: u8 = 39;
    pub const CHECK_META: u8 = 40;
    pub const CHECK_ZONE: u8 = 41;
    pub const CHECK_MARK: u8 = 42;
    pub const BEGIN_ON: u8 = 48;
    pub const ASK_KNOWN: u8 = 49;
    pub const HELLO: u8 = 64;
    pub const ACK: u8 = 65;
    pub const CONTROL: u8 = 66;
    pub const DIGESTS: u8 = 67;
    pub const FAULT: u8 = 68;
    pub const HEARTBEAT: u8 = 69;
    pub const CHECK: u8 = 70;
    pub const BESIDE: u8 = 71;
    pub const ELSEWHERE: u8 = 72;
}

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
    /// Is it part of the stream (numbered, kept until acknowledged)?
    pub fn is_stream(&self) -> bool {
        !matches!(
            self,
            Body::Hello(_)
                | Body::Ack(_)
                | Body::Control { .. }
                | Body::Digests { .. }
                | Body::Fault { .. }
                | Body::Check { .. }
                | Body::Heartbeat
                | Body::Beside { .. }
                | Body::Elsewhere { .. }
        )
    }

    /// Is it a fence: applied alone, after everything before and before everything after it?
    pub fn is_fence(&self) -> bool {
        matches!(
            self,
            Body::Create { .. }
                | Body::Mkdir { .. }
                | Body::Symlink { .. }
                | Body::Mknod { .. }
                | Body::Link { .. }
                | Body::Unlink { .. }
                | Body::Rmdir { .. }
                | Body::Rename { .. }
                | Body::Begin { .. }
                | Body::BeginOn { .. }
                | Body::List { .. }
                | Body::Attach { .. }
                | Body::Detach { .. }
                | Body::Synced
        )
    }

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
