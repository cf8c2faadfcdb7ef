//! Name operations: one at a time, each announced in the result memory, executed, appended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuser::{FopenFlags, Generation};
use rustix::fs::RenameFlags;

use super::answer::{Answer, Asker};
use super::intent::{Intent, NO_SLOT, Side, What};
use super::memory::SlotNo;
use super::{Front, Role};
use crate::backing::{Found, Name, New, Requested};
use crate::pipeline::{Admission, Attrs, FileId, Op, Refusal, Seq, was_published};

/// A name operation that is done here and in the stream.
pub(super) struct Done {
    pub(super) seq: Seq,
    pub(super) slot: Option<SlotNo>,
    /// The file that it was about.
    pub(super) id: FileId,
    /// The barrier behind what came with it: the answer waits for that, too.
    pub(super) barrier: Option<Seq>,
}

/// Why it wasn't.
pub(super) enum Failure {
    /// The answer to the application.
    Errno(i32),
    /// A local call failed.
    Local(FileId, io::Error),
    /// The link has no room for it now.
    NoRoom,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Errno(refusal.errno())
    }
}

/// What is to be made, as it came from the kernel.
pub(super) struct Making {
    pub parent: FileId,
    pub name: Vec<u8>,
    pub kind: u32,
    pub rdev: u64,
    pub target: Vec<u8>,
    pub requested: Requested,
}

/// What is to be moved.
pub(super) struct Moving {
    pub parent: FileId,
    pub name: Vec<u8>,
    pub new_parent: FileId,
    pub new_name: Vec<u8>,
    pub flags: u32,
}

impl Front {
    pub(super) fn make(&self, admission: Admission<'_>, asker: &Asker, making: Making) -> Result<Done, Failure> {
        self.change_names(admission, asker, |front| {
            let name = Name::new(&making.name)?;
            if front.backing.lookup_if_there(making.parent, &name)?.is_some() {
                return Err(Failure::Errno(libc::EEXIST));
            }
            let id = front.backing.table().new_id();
            let mut intent = Intent::new(asker.request, What::Make, making.parent, &making.name, id);
            intent.side = front.side_of(making.parent, &name, making.kind)?;
            (intent.kind, intent.rdev, intent.target) = (making.kind, making.rdev, making.target);
            let parent = front.backing.node(making.parent)?;
            intent.wanted = front.backing.inherit(&parent, &intent.new_file(), &making.requested)?;
            if matches!(intent.new_file(), New::Symlink(_)) {
                intent.wanted.attrs.mode = 0o777;
            }
            Ok(Some(intent))
        })
    }

    pub(super) fn link(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        id: FileId,
        parent: FileId,
        name: &[u8],
    ) -> Result<Done, Failure> {
        self.change_names(admission, asker, |front| {
            if front.backing.lookup_if_there(parent, &Name::new(name)?)?.is_some() {
                return Err(Failure::Errno(libc::EEXIST));
            }
            if front.backing.is_held(id) {
                return Err(Failure::Errno(libc::ENOENT));
            }
            let mut intent = Intent::new(asker.request, What::Link, FileId(0), b"", id);
            (intent.new_parent, intent.new_name) = (parent, name.to_vec());
            intent.side = front.side_of_link(id, parent, &Name::new(name)?)?;
            Ok(Some(intent))
        })
    }

    pub(super) fn remove(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        what: What,
        parent: FileId,
        name: &[u8],
    ) -> Result<Done, Failure> {
        self.change_names(admission, asker, |front| {
            let full_name = Name::new(name)?;
            let found = front.backing.lookup(parent, &full_name)?;
            match (what, found.is_dir()) {
                (What::Unlink, true) => return Err(Failure::Errno(libc::EISDIR)),
                (What::Rmdir, false) => return Err(Failure::Errno(libc::ENOTDIR)),
                _ => {}
            }
            let mut intent = Intent::new(asker.request, what, parent, name, found.id);
            intent.side = front.side_of(parent, &full_name, found.kind())?;
            Ok(Some(intent))
        })
    }

    pub(super) fn rename(&self, admission: Admission<'_>, asker: &Asker, moving: &Moving) -> Result<Done, Failure> {
        let flags = RenameFlags::from_bits_retain(moving.flags);
        if !(RenameFlags::NOREPLACE | RenameFlags::EXCHANGE).contains(flags) {
            return Err(Failure::Errno(libc::EINVAL));
        }
        self.change_names(admission, asker, |front| {
            let source = front.backing.lookup(moving.parent, &Name::new(&moving.name)?)?;
            let new_name = Name::new(&moving.new_name)?;
            let target = front.backing.lookup_if_there(moving.new_parent, &new_name)?;
            let exchange = flags.contains(RenameFlags::EXCHANGE);
            match &target {
                None if exchange => return Err(Failure::Errno(libc::ENOENT)),
                Some(_) if flags.contains(RenameFlags::NOREPLACE) => {
                    return Err(Failure::Errno(libc::EEXIST));
                }
                // Two names of one file: nothing happens (POSIX).
                Some(target) if target.id == source.id => return Ok(None),
                _ => {}
            }
            let what = if exchange { What::Exchange } else { What::Rename };
            let mut intent = Intent::new(asker.request, what, moving.parent, &moving.name, source.id);
            (intent.new_parent, intent.new_name) = (moving.new_parent, moving.new_name.clone());
            intent.other = target.map(|target| target.id);
            intent.side = front.side_of_move(&intent, &source, target.as_ref())?;
            Ok(Some(intent))
        })
    }

    /// The order of things of every name operation. `plan` looks and checks; `None` when there is nothing to do.
    fn change_names(
        &self,
        admission: Admission<'_>,
        asker: &Asker,
        plan: impl FnOnce(&Front) -> Result<Option<Intent>, Failure>,
    ) -> Result<Done, Failure> {
        let _names = self.pipeline.order().change_names();
        self.recover(&admission)?;
        if let Some(done) = self.done_by_predecessor(asker) {
            return Ok(done);
        }
        let Some(mut intent) = plan(self)? else {
            return Ok(Done { seq: Seq(0), slot: None, id: FileId(0), barrier: None });
        };
        let slot = self.memory.take(asker.request, intent.id);
        intent.slot = slot.unwrap_or(NO_SLOT);
        let result = self.run(&admission, &intent);
        self.memory.clear_intent();
        match result {
            Ok((seq, barrier)) => Ok(Done { seq, slot, id: intent.id, barrier }),
            Err(failure) => {
                slot.into_iter().for_each(|no| self.memory.free(no));
                Err(failure)
            }
        }
    }

    /// A request that a dead server had executed and appended: only the answer is missing.
    fn done_by_predecessor(&self, asker: &Asker) -> Option<Done> {
        match self.begun_by_predecessor(asker)? {
            (slot, true) => {
                let seq = Seq(self.memory.mark(slot).load(Ordering::Acquire));
                Some(Done { seq, slot: Some(slot), id: self.memory.id(slot), barrier: None })
            }
            (slot, false) => {
                self.memory.free(slot);
                None
            }
        }
    }

    /// What a dead server had begun of a repeated request: its slot, and is it in the stream?
    pub(super) fn begun_by_predecessor(&self, asker: &Asker) -> Option<(SlotNo, bool)> {
        let slot = asker.resent.then(|| self.memory.left_by_predecessor(asker.request))??;
        Some((slot, was_published(self.memory.mark(slot), &*self.pipeline).is_some()))
    }

    /// The operation's place in the stream, and that of a barrier that it must wait for.
    pub(super) fn run(&self, admission: &Admission<'_>, intent: &Intent) -> Result<(Seq, Option<Seq>), Failure> {
        self.memory.set_intent(intent)?;
        if intent.side == Side::Comes {
            return self.run_coming(admission, intent);
        }
        Ok((self.run_published(admission, intent)?, None))
    }

    /// Executes and appends.
    pub(super) fn run_published(&self, admission: &Admission<'_>, intent: &Intent) -> Result<Seq, Failure> {
        // Writes to a file that loses its name are in the stream before that or not at all.
        let loses_name = match intent.what {
            What::Rename if intent.side == Side::Leaves => Some(intent.id),
            What::Unlink => Some(intent.id),
            What::Rename => intent.other,
            What::Make | What::Link | What::Rmdir | What::Exchange => None,
        };
        let _file = loses_name.map(|id| self.pipeline.order().file(id));
        let made = self.execute(intent).map_err(|error| Failure::Local(intent.id, error))?;
        self.publish(admission, intent, made.as_ref())
    }

    pub(super) fn execute(&self, intent: &Intent) -> io::Result<Option<Found>> {
        let backing = &self.backing;
        let parent = intent.parent;
        match intent.what {
            What::Make => {
                let name = Name::new(&intent.name)?;
                backing.make(parent, &name, intent.id, &intent.new_file(), &intent.wanted).map(Some)
            }
            What::Link => backing.link(intent.id, intent.new_parent, &Name::new(&intent.new_name)?).map(|()| None),
            What::Unlink => {
                let name = Name::new(&intent.name)?;
                let found = backing.lookup(parent, &name)?;
                backing.unlink(parent, &name, &found).map(|_| None)
            }
            What::Rmdir => {
                let name = Name::new(&intent.name)?;
                let found = backing.lookup(parent, &name)?;
                backing.rmdir(parent, &name, &found).map(|()| None)
            }
            What::Rename | What::Exchange => self.execute_rename(intent).map(|()| None),
        }
    }

    fn execute_rename(&self, intent: &Intent) -> io::Result<()> {
        let (name, new_name) = (Name::new(&intent.name)?, Name::new(&intent.new_name)?);
        let source = self.backing.lookup(intent.parent, &name)?;
        let target = self.backing.lookup_if_there(intent.new_parent, &new_name)?;
        let flags = match intent.what {
            What::Exchange => RenameFlags::EXCHANGE,
            _ => RenameFlags::empty(),
        };
        let from = (intent.parent, &name, &source);
        self.backing.rename(from, (intent.new_parent, &new_name, target.as_ref()), flags)
    }

    /// Appends an executed operation. `made` is the new file.
    pub(super) fn publish(
        &self,
        admission: &Admission<'_>,
        intent: &Intent,
        made: Option<&Found>,
    ) -> Result<Seq, Failure> {
        if intent.side != Side::Both {
            return self.publish_at_border(admission, intent);
        }
        let stamp = self.backing.stamp(intent.stamped_dir())?;
        if made.is_some() {
            self.backing.stamp_new(intent.id, stamp)?;
        }
        if matches!(intent.what, What::Rename | What::Exchange) && intent.new_parent != intent.parent {
            self.backing.restamp(intent.new_parent, stamp)?;
        }
        let attrs = made.map_or(intent.wanted.attrs, |found| Attrs {
            mode: found.stat.st_mode & 0o7777,
            uid: found.stat.st_uid,
            gid: found.stat.st_gid,
        });
        let mark = (intent.slot != NO_SLOT).then(|| self.memory.mark(intent.slot));
        let seq = self.pipeline.append(admission, &intent.op(attrs, stamp), mark)?;
        if intent.wanted.acl {
            self.publish_lists(admission, intent.id)?;
        }
        Ok(seq)
    }

    /// Access control lists that a new file inherited are told like ones that were set: repeating them does no harm.
    pub(super) fn publish_lists(&self, admission: &Admission<'_>, id: FileId) -> Result<(), Failure> {
        for name in [crate::backing::ACL_ACCESS, crate::backing::ACL_DEFAULT] {
            if self.backing.is_own_list(name.to_bytes()) {
                continue;
            }
            if let Ok(value) = self.backing.xattr(id, name) {
                let op = Op::SetXattr { id, name: name.to_bytes(), value: &value };
                self.pipeline.append(admission, &op, None)?;
            }
        }
        Ok(())
    }

    /// Answers when the secondary has it.
    pub(super) fn when_received<R: Answer>(
        self: &Arc<Self>,
        done: Result<Done, Failure>,
        reply: R,
        answer: impl FnOnce(&Front, FileId, R) + Send + 'static,
    ) {
        let done = match done {
            Ok(done) => done,
            Err(Failure::Errno(errno)) => return reply.fail(errno),
            Err(Failure::Local(id, error)) => return self.failed("name operation", id, &error, reply),
            Err(Failure::NoRoom) => return reply.fail(libc::EAGAIN),
        };
        let front = self.clone();
        let complete = move |received: Result<(), Refusal>| {
            match received {
                Ok(()) => answer(&front, done.id, reply),
                Err(refusal) => reply.fail(refusal.errno()),
            }
            done.slot.into_iter().for_each(|no| front.memory.free(no));
        };
        let Some(barrier) = done.barrier else {
            return self.pipeline.when_received(done.seq, Box::new(complete));
        };
        let (front, seq) = (self.clone(), done.seq);
        let then = move |durable: Result<(), Refusal>| match durable {
            Ok(()) => front.pipeline.when_received(seq, Box::new(complete)),
            Err(_) => complete(durable),
        };
        self.pipeline.when_durable(barrier, Box::new(then));
    }

    /// Answers with the entry of a file that was made or linked.
    pub(super) fn answer_entry(&self, id: FileId, reply: fuser::ReplyEntry) {
        match self.backing.stat(id) {
            Ok(stat) => self.reply_entry(&Found { id, stat }, reply),
            Err(error) => reply.fail(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// Answers with a file that was made and is open.
    pub(super) fn answer_created(&self, id: FileId, flags: i32, reply: fuser::ReplyCreate) {
        match self.getattr(id) {
            Ok(attr) => {
                self.backing.table().looked_up(id);
                reply.created(&self.ttl(), &attr, Generation(0), self.file_handle(), self.open_flags(flags));
            }
            Err(error) => reply.fail(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// How the kernel shall treat an open file. Closing one that was only read needs no round trip.
    pub(super) fn open_flags(&self, flags: i32) -> FopenFlags {
        let mut open = FopenFlags::empty();
        if self.role() == Role::Primary {
            open |= FopenFlags::FOPEN_KEEP_CACHE;
        }
        if flags & libc::O_ACCMODE == libc::O_RDONLY {
            open |= FopenFlags::FOPEN_NOFLUSH;
        }
        open
    }
}
