//! One name operation, complete enough to be finished by another process.

use crate::backing::{Inherited, New};
use crate::pipeline::{Attrs, FileId, Op, Stamp};

/// What is to be done with the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Make a file of `kind`.
    Make = 1,
    /// One more name (`new_parent`, `new_name`) for `id`.
    Link,
    /// Take away a name of a file.
    Unlink,
    /// Take away a directory.
    Rmdir,
    /// Move; `other` is replaced.
    Rename,
    /// Change places with `other`.
    Exchange,
}

impl What {
    fn from_u64(number: u64) -> Option<What> {
        let all = [What::Make, What::Link, What::Unlink, What::Rmdir, What::Rename, What::Exchange];
        all.into_iter().find(|what| *what as u64 == number)
    }
}

/// Whose the names are (see [`super::border`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Side {
    /// Both copies'.
    #[default]
    Both = 0,
    /// This node's own.
    Own,
    /// A replicated file gets a name that isn't replicated.
    Leaves,
    /// A file that wasn't replicated gets a name that is.
    Comes,
}

impl Side {
    fn from_u64(number: u64) -> Option<Side> {
        [Side::Both, Side::Own, Side::Leaves, Side::Comes].into_iter().find(|side| *side as u64 == number)
    }
}

/// See the module. Fields that an operation doesn't need are zero or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub request: u64,
    /// `u32::MAX` without one.
    pub slot: u32,
    pub what: What,
    pub side: Side,
    pub parent: FileId,
    pub name: Vec<u8>,
    pub new_parent: FileId,
    pub new_name: Vec<u8>,
    pub id: FileId,
    pub other: Option<FileId>,
    pub kind: u32,
    pub rdev: u64,
    pub target: Vec<u8>,
    pub wanted: Inherited,
}

/// For [`Intent::slot`].
pub(crate) const NO_SLOT: u32 = u32::MAX;

impl Intent {
    pub(crate) fn new(request: u64, what: What, parent: FileId, name: &[u8], id: FileId) -> Intent {
        Intent {
            request,
            slot: NO_SLOT,
            what,
            side: Side::Both,
            parent,
            name: name.to_vec(),
            new_parent: FileId(0),
            new_name: Vec::new(),
            id,
            other: None,
            kind: 0,
            rdev: 0,
            target: Vec::new(),
            wanted: Inherited { attrs: Attrs { mode: 0, uid: 0, gid: 0 }, acl: false },
        }
    }

    /// For `What::Make`.
    pub(crate) fn new_file(&self) -> New<'_> {
        match self.kind {
            libc::S_IFREG => New::File,
            libc::S_IFDIR => New::Directory,
            libc::S_IFLNK => New::Symlink(&self.target),
            kind => New::Special { kind, rdev: self.rdev },
        }
    }

    /// The operation for the stream. `attrs` are what the new file has now.
    pub(crate) fn op(&self, attrs: Attrs, stamp: Stamp) -> Op<'_> {
        let (parent, name, id) = (self.parent, self.name.as_slice(), self.id);
        match self.what {
            What::Make => match self.new_file() {
                New::File => Op::Create { parent, name, id, attrs, stamp },
                New::Directory => Op::Mkdir { parent, name, id, attrs, stamp },
                New::Symlink(target) => Op::Symlink { parent, name, id, target, attrs, stamp },
                New::Special { kind, rdev } => Op::Mknod { parent, name, id, kind, rdev, attrs, stamp },
            },
            What::Link => Op::Link { id, parent: self.new_parent, name: &self.new_name, stamp },
            What::Unlink => Op::Unlink { parent, name, id, stamp },
            What::Rmdir => Op::Rmdir { parent, name, id, stamp },
            What::Rename | What::Exchange => Op::Rename {
                parent,
                name,
                new_parent: self.new_parent,
                new_name: &self.new_name,
                id,
                replaced: self.other,
                exchange: self.what == What::Exchange,
                stamp,
            },
        }
    }

    /// The directory whose time tells when this was done.
    pub(crate) fn stamped_dir(&self) -> FileId {
        if self.what == What::Link { self.new_parent } else { self.parent }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.request,
            u64::from(self.slot),
            self.what as u64,
            self.parent.0,
            self.new_parent.0,
            self.id.0,
            self.other.map_or(0, |id| id.0),
            u64::from(self.kind),
            self.rdev,
            u64::from(self.wanted.attrs.mode),
            u64::from(self.wanted.attrs.uid),
            u64::from(self.wanted.attrs.gid),
            u64::from(self.wanted.acl),
            self.side as u64,
        ];
        let mut bytes = Vec::with_capacity(700);
        numbers.iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()));
        for text in [&self.name, &self.new_name, &self.target] {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Intent> {
        let mut reader = Reader(bytes);
        let (request, slot) = (reader.number()?, reader.number()?);
        let what = What::from_u64(reader.number()?)?;
        let (parent, new_parent) = (FileId(reader.number()?), FileId(reader.number()?));
        let id = FileId(reader.number()?);
        let other = Some(reader.number()?).filter(|n| *n != 0).map(FileId);
        let (kind, rdev) = (reader.number()? as u32, reader.number()?);
        let attrs = Attrs { mode: reader.number()? as u32, uid: reader.number()? as u32, gid: reader.number()? as u32 };
        let wanted = Inherited { attrs, acl: reader.number()? != 0 };
        let side = Side::from_u64(reader.number()?)?;
        let (name, new_name, target) = (reader.text()?, reader.text()?, reader.text()?);
        let slot = slot as u32;
        let names = Intent { name, new_parent, new_name, ..Intent::new(request, what, parent, b"", id) };
        Some(Intent { slot, side, other, kind, rdev, target, wanted, ..names })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn intents_round_trip(
            request: u64, id: u64, other: Option<u64>, mode: u32, acl: bool,
            name in proptest::collection::vec(any::<u8>(), 0..256),
            target in proptest::collection::vec(any::<u8>(), 0..4096),
        ) {
            let mut intent = Intent::new(request, What::Rename, FileId(3), &name, FileId(id));
            intent.other = other.filter(|n| *n != 0).map(FileId);
            intent.target = target;
            intent.wanted = Inherited { attrs: Attrs { mode, uid: 1, gid: 2 }, acl };
            intent.side = Side::Comes;
            prop_assert_eq!(Intent::decode(&intent.encode()), Some(intent));
        }

        #[test]
        fn garbage_is_no_intent(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(Intent::decode(&bytes), None);
        }
    }
}
