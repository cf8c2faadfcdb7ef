//! What a frame says.

use super::{Entries, Entry, Pairs};

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

impl Body<'_> {
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
}
