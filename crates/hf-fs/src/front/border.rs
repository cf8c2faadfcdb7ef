//! Name operations beside and across the border between what is replicated and what isn't (`<notreplicated>`).
//!
//! On one side of it everything is as usual: what is this node's own is carried out here, and nobody is told (but for the time of a replicated directory
//! whose names changed). Across it:
//!
//! - A file that leaves (`conf` -> `conf.tmp`) is renamed here and deleted there.
//! - A file that comes (`conf.tmp` -> `conf`, as programs replace a file) is made there under a name of ours, filled, made durable, and then renamed, so that both copies
//!   have the old file or the new one at any time.
//! - Everything else is EXDEV, as between two file systems: directories, special files, files with several names, exchanges, files that come and are larger
//!   than [`LARGEST`], hard links. `mv` copies then. So is moving a directory in which something would change sides.

use std::sync::Arc;
use std::time::Duration;

use super::Front;
use super::answer::Asker;
use super::intent::{Intent, NO_SLOT, Side, What};
use super::names::{Failure, Moving};
use crate::backing::{Found, Name};
use crate::pipeline::{Admission, Attrs, FileId, GateState, Op, Seq, Stamp};
use crate::sync::meta;

/// The largest file that comes over the border in one piece, in bytes: it must fit into the link's memory while names stand still.
const LARGEST: u64 = 16 << 20;
/// What is beside its content: attributes, and the frames' heads.
const BESIDE: usize = 256 << 10;
const CHUNK: usize = 256 << 10;
/// How often it is looked whether there is room.
const ROOM: Duration = Duration::from_millis(5);

impl Front {
    /// A rename that brings a file over the border waits for room in the link, on a thread of its own.
    pub(super) fn rename_when_there_is_room(self: &Arc<Self>, asker: Asker, moving: Moving, reply: fuser::ReplyEmpty) {
        self.admit(reply, move |front, admission, reply| match front.rename(admission, &asker, &moving) {
            Err(Failure::NoRoom) => front.rename_later(asker, moving, reply),
            done => front.when_received(done, reply, |_, _, reply| reply.ok()),
        });
    }

    fn rename_later(self: &Arc<Self>, asker: Asker, moving: Moving, reply: fuser::ReplyEmpty) {
        let front = self.clone();
        let wait = move || {
            while !front.has_room()
                && !matches!(front.pipeline.gate().state(), GateState::ReadOnly | GateState::Stopped)
            {
                std::thread::sleep(ROOM);
            }
            front.rename_when_there_is_room(asker, moving, reply);
        };
        // Without a thread the reply is dropped, which answers EIO.
        if let Err(error) = std::thread::Builder::new().name("hf-border".into()).spawn(wait) {
            tracing::error!(%error, "no thread to wait for room");
        }
    }

    fn has_room(&self) -> bool {
        self.pipeline.has_room(LARGEST as usize + BESIDE)
    }

    /// Whose a name is.
    pub(super) fn side_of(&self, parent: FileId, name: &Name, kind: u32) -> Result<Side, Failure> {
        let own = self.backing.is_name_own(parent, name, kind == libc::S_IFDIR)?;
        Ok(if own { Side::Own } else { Side::Both })
    }

    /// A hard link over the border would be one file that is replicated and isn't.
    pub(super) fn side_of_link(&self, id: FileId, parent: FileId, name: &Name) -> Result<Side, Failure> {
        let side = self.side_of(parent, name, libc::S_IFREG)?;
        if (side == Side::Own) == self.backing.is_own(id) { Ok(side) } else { Err(Failure::Errno(libc::EXDEV)) }
    }

    /// See the module.
    pub(super) fn side_of_move(
        &self,
        intent: &Intent,
        source: &Found,
        target: Option<&Found>,
    ) -> Result<Side, Failure> {
        let refused = Err(Failure::Errno(libc::EXDEV));
        let (name, new_name) = (Name::new(&intent.name)?, Name::new(&intent.new_name)?);
        let from = self.side_of(intent.parent, &name, source.kind())?;
        let to = self.side_of(intent.new_parent, &new_name, source.kind())?;
        let exchanged = target.filter(|_| intent.what == What::Exchange);
        if let Some(target) = exchanged
            && (from != to
                || self.side_of(intent.parent, &name, target.kind())? != to
                || self.side_of(intent.new_parent, &new_name, target.kind())? != to)
        {
            return refused;
        }
        match (from, to) {
            (Side::Both, Side::Both) => {
                let moved = source.is_dir() && self.changes_side(source.id, intent, false)?;
                let back = exchanged.is_some_and(Found::is_dir)
                    && self.changes_side(exchanged.map_or(source.id, |t| t.id), intent, true)?;
                if moved || back { refused } else { Ok(Side::Both) }
            }
            (Side::Own, Side::Own) => Ok(Side::Own),
            _ if source.is_dir() || source.stat.st_nlink > 1 => refused,
            (Side::Own, _) => self.may_come(source),
            _ => Ok(Side::Leaves),
        }
    }

    fn changes_side(&self, dir: FileId, intent: &Intent, back: bool) -> Result<bool, Failure> {
        let (name, new_name) = (Name::new(&intent.name)?, Name::new(&intent.new_name)?);
        let old = self.backing.path_at(intent.parent, name.as_c_str())?;
        let new = self.backing.path_at(intent.new_parent, new_name.as_c_str())?;
        let (Some(old), Some(new)) = (old, new) else { return Ok(false) };
        let (from, to) = if back { (new, old) } else { (old, new) };
        Ok(self.backing.changes_side(dir, &from, &to)?)
    }

    fn may_come(&self, source: &Found) -> Result<Side, Failure> {
        match source.kind() {
            libc::S_IFLNK => {}
            libc::S_IFREG if source.stat.st_size as u64 <= LARGEST => {}
            _ => return Err(Failure::Errno(libc::EXDEV)),
        }
        // A file that has another name here, under which it is replicated.
        if !self.backing.is_own(source.id) {
            return Err(Failure::Errno(libc::EXDEV));
        }
        if self.has_room() { Ok(Side::Comes) } else { Err(Failure::NoRoom) }
    }

    /// Appends an executed operation that isn't both copies'.
    pub(super) fn publish_at_border(&self, admission: &Admission<'_>, intent: &Intent) -> Result<Seq, Failure> {
        let mark = (intent.slot != NO_SLOT).then(|| self.memory.mark(intent.slot));
        let id = intent.id;
        match intent.side {
            Side::Leaves => {
                self.tell_names_changed(admission, intent.new_parent)?;
                self.backing.set_own(id, true);
                let stamp = self.backing.stamp(intent.parent)?;
                let op = Op::Unlink { parent: intent.parent, name: &intent.name, id, stamp };
                Ok(self.pipeline.append(admission, &op, mark)?)
            }
            Side::Comes => {
                if intent.parent != intent.new_parent {
                    self.tell_names_changed(admission, intent.parent)?;
                }
                let (name, new_name) = (aside_name(id), intent.new_name.as_slice());
                let (parent, new_parent) = (intent.new_parent, intent.new_parent);
                let stamp = self.backing.stamp(parent)?;
                let (replaced, exchange) = (intent.other, false);
                let op = Op::Rename { parent, name: &name, new_parent, new_name, id, replaced, exchange, stamp };
                Ok(self.pipeline.append(admission, &op, mark)?)
            }
            Side::Own | Side::Both => {
                if intent.what == What::Make {
                    self.backing.set_own(id, true);
                }
                for dir in [intent.parent, intent.new_parent] {
                    self.tell_names_changed(admission, dir)?;
                }
                self.pipeline.note(admission, mark)?;
                Ok(Seq(0))
            }
        }
    }

    /// The other copy's directory gets the time of this one's, though no name changed there.
    fn tell_names_changed(&self, admission: &Admission<'_>, dir: FileId) -> Result<(), Failure> {
        if dir == FileId(0) || self.backing.is_only_here(dir) {
            return Ok(());
        }
        let mtime = Some(self.backing.stamp(dir)?);
        self.pipeline.append(admission, &Op::SetAttr { id: dir, owner: None, mode: None, atime: None, mtime }, None)?;
        Ok(())
    }

    /// A file that comes: first its content, then the rename.
    pub(super) fn run_coming(&self, admission: &Admission<'_>, intent: &Intent) -> Result<(Seq, Option<Seq>), Failure> {
        let barrier = self.bring(admission, intent)?;
        let done = self.run_published(admission, intent);
        if let Err(Failure::Local(..)) = done {
            let _file = self.pipeline.order().file(intent.id);
            self.backing.set_own(intent.id, true);
            let stamp = self.backing.stamp(intent.new_parent)?;
            let name = aside_name(intent.id);
            let op = Op::Unlink { parent: intent.new_parent, name: &name, id: intent.id, stamp };
            self.pipeline.append(admission, &op, None)?;
        }
        Ok((done?, Some(barrier)))
    }

    /// Appends the file as it is. Under its lock, so that whatever is written to it meanwhile is in it or comes after it.
    fn bring(&self, admission: &Admission<'_>, intent: &Intent) -> Result<Seq, Failure> {
        let (id, parent) = (intent.id, intent.new_parent);
        let append = |op: &Op<'_>| self.pipeline.append(admission, op, None);
        let _file = self.pipeline.order().file(id);
        let node = self.backing.node(id)?;
        let stat = rustix::fs::fstat(&*node).map_err(std::io::Error::from)?;
        if stat.st_size as u64 > LARGEST {
            return Err(Failure::Errno(libc::EXDEV));
        }
        let meta = meta::read(&self.backing, id)?;
        let meta = meta.as_meta();
        let attrs = Attrs { mode: meta.attrs.mode, uid: meta.attrs.uid, gid: meta.attrs.gid };
        let (name, stamp) = (aside_name(id), self.backing.stamp(parent)?);
        if node.is_file() {
            append(&Op::Create { parent, name: &name, id, attrs, stamp })?;
            self.append_content(admission, id, stat.st_size as u64)?;
        } else {
            let target = self.backing.read_link(id)?;
            append(&Op::Symlink { parent, name: &name, id, target: &target, attrs, stamp })?;
        }
        for (name, value) in meta.xattrs.iter() {
            append(&Op::SetXattr { id, name, value })?;
        }
        let time = |stamp: hf_wire::frame::Stamp| Some(Stamp { sec: stamp.sec, nsec: stamp.nsec });
        let (mode, atime, mtime) = (Some(attrs.mode), time(meta.atime), time(meta.mtime));
        append(&Op::SetAttr { id, owner: None, mode, atime, mtime })?;
        let barrier = append(&Op::Barrier { id })?;
        self.backing.set_own(id, false);
        Ok(barrier)
    }

    /// Holes stay holes, as far as they are whole chunks.
    fn append_content(&self, admission: &Admission<'_>, id: FileId, size: u64) -> Result<(), Failure> {
        self.pipeline.append(admission, &Op::Truncate { id, size }, None)?;
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        while offset < size {
            let len = self.backing.read(id, offset, &mut buffer)?;
            if len == 0 {
                break;
            }
            let data = &buffer[..len];
            if data.iter().any(|byte| *byte != 0) {
                self.pipeline.append(admission, &Op::Write { id, offset, data }, None)?;
            }
            offset += len as u64;
        }
        Ok(())
    }

    /// The server died while it brought a file over the border: how much of that was appended isn't known.
    pub(super) fn give_up_coming(&self, intent: &Intent, executed: bool) {
        self.backing.set_own(intent.id, !executed);
        self.pipeline
            .compare_again("the replication process died while a file that isn't replicated got a name that is");
    }
}

/// What the file is called there until it has its name.
fn aside_name(id: FileId) -> Vec<u8> {
    format!(".holdfast-{id}").into_bytes()
}

#[cfg(test)]
mod tests;
