//! Content: reading, writing, barriers, close.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fuser::FileHandle;

use super::answer::Answer;
use super::{Front, Role};
use crate::backing::{Change, Node};
use crate::pipeline::{Admission, FileId, GateState, Op, Refusal, Seq};
use crate::table::TIMES;

thread_local! {
    /// One buffer a thread: the kernel asks for at most 1 MiB at once.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A write as the kernel asks for it.
#[derive(Clone, Copy)]
pub(super) struct Writing {
    pub id: FileId,
    pub offset: u64,
    /// Set-id bits are to be cleared: the writer isn't privileged.
    pub kill_set_id: bool,
}

impl Front {
    pub(super) fn read(&self, id: FileId, offset: u64, size: u32, reply: fuser::ReplyData) {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            match self.backing.read(id, offset, &mut buffer[..size]) {
                Ok(n) => reply.data(&buffer[..n]),
                Err(error) => reply.fail(error.raw_os_error().unwrap_or(libc::EIO)),
            }
        });
    }

    /// Local write, then the stream, both under the file's lock; then the answer (*accepted*).
    pub(super) fn write(&self, admission: Admission<'_>, writing: Writing, data: &[u8], reply: fuser::ReplyWrite) {
        let written = self.write_and_append(&admission, writing, data);
        drop(admission);
        match written {
            Ok(Ok(n)) => reply.written(n as u32),
            Ok(Err(refusal)) => reply.fail(refusal.errno()),
            Err(error) => self.failed("pwrite", writing.id, &error, reply),
        }
    }

    pub(super) fn write_and_append(
        &self,
        admission: &Admission<'_>,
        writing: Writing,
        data: &[u8],
    ) -> io::Result<Result<usize, Refusal>> {
        let Writing { id, offset, kill_set_id } = writing;
        let node = self.backing.node(id)?;
        let _file = self.pipeline.order().file(id);
        if kill_set_id && let Err(refusal) = self.kill_set_id(admission, &node)? {
            return Ok(Err(refusal));
        }
        let n = self.backing.write_node(&node, offset, data)?;
        let op = Op::Write { id, offset, data: &data[..n] };
        Ok(self.append(admission, &node, &op).map(|()| n))
    }

    /// Appends a change of content, unless the file has no name (then nobody will ever see it on the other node), or isn't replicated.
    pub(super) fn append(&self, admission: &Admission<'_>, node: &Node, op: &Op<'_>) -> Result<(), Refusal> {
        self.append_marked(admission, node, op, None)
    }

    /// The same with a slot's mark.
    pub(super) fn append_marked(
        &self,
        admission: &Admission<'_>,
        node: &Node,
        op: &Op<'_>,
        mark: Option<&AtomicU64>,
    ) -> Result<(), Refusal> {
        let id = node.id();
        if self.backing.is_only_here(id) {
            return Ok(());
        }
        let seq = self.pipeline.append(admission, op, mark)?;
        node.last_seq.store(seq.0, Ordering::Release);
        self.backing.table().set_flags(id, TIMES);
        Ok(())
    }

    /// What the kernel leaves to us (`HANDLE_KILLPRIV_V2`): set-user-id, and set-group-id where the group may execute.
    pub(super) fn kill_set_id(&self, admission: &Admission<'_>, node: &Node) -> io::Result<Result<(), Refusal>> {
        let mode = rustix::fs::fstat(node)?.st_mode;
        let mut kept = mode & !libc::S_ISUID;
        if mode & libc::S_IXGRP != 0 {
            kept &= !libc::S_ISGID;
        }
        if kept == mode {
            return Ok(Ok(()));
        }
        let mode = Some(kept & 0o7777);
        self.backing.set_attr(node.id(), &Change { mode, ..Change::default() })?;
        let op = Op::SetAttr { id: node.id(), owner: None, mode, atime: None, mtime: None };
        Ok(self.append(admission, node, &op))
    }

    pub(super) fn allocate(
        &self,
        admission: Admission<'_>,
        writing: Writing,
        len: u64,
        mode: i32,
        reply: fuser::ReplyEmpty,
    ) {
        let Writing { id, offset, kill_set_id } = writing;
        let done = (|| {
            let node = self.backing.node(id)?;
            let _file = self.pipeline.order().file(id);
            if kill_set_id && let Err(refusal) = self.kill_set_id(&admission, &node)? {
                return Ok(Err(refusal));
            }
            self.backing.allocate(id, mode, offset, len)?;
            Ok(self.append(&admission, &node, &Op::Allocate { id, mode, offset, len }))
        })();
        drop(admission);
        match done {
            Ok(Ok(())) => reply.ok(),
            Ok(Err(refusal)) => reply.fail(refusal.errno()),
            Err(error) => self.failed("fallocate", id, &error, reply),
        }
    }

    /// A barrier: the secondary is told first, then this thread makes the file durable here, and by then the secondary has often answered; if
    /// not, the reply waits in the pipeline and this thread goes on.
    pub(super) fn barrier(
        self: &Arc<Self>,
        admission: Admission<'_>,
        id: FileId,
        data_only: bool,
        reply: fuser::ReplyEmpty,
    ) {
        let announced = self.announce_barrier(&admission, id, data_only);
        drop(admission);
        let seq = match announced {
            Ok(Ok(seq)) => seq,
            Ok(Err(refusal)) => return reply.fail(refusal.errno()),
            Err(error) => return self.failed("fstat", id, &error, reply),
        };
        if let Err(error) = self.backing.sync(id, data_only) {
            return self.failed("fdatasync", id, &error, reply);
        }
        let answer = move |durable: Result<(), Refusal>| match durable {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.fail(refusal.errno()),
        };
        match seq {
            Some(seq) => self.pipeline.when_durable(seq, Box::new(answer)),
            None => answer(Ok(())),
        }
    }

    /// `None` for a file without a name, or that isn't replicated: it is this node's own matter.
    fn announce_barrier(
        &self,
        admission: &Admission<'_>,
        id: FileId,
        data_only: bool,
    ) -> io::Result<Result<Option<Seq>, Refusal>> {
        if self.backing.is_only_here(id) {
            return Ok(Ok(None));
        }
        if !data_only && let Err(refusal) = self.tell_times(admission, id)? {
            return Ok(Err(refusal));
        }
        Ok(self.pipeline.append(admission, &Op::Barrier { id }, None).map(Some))
    }

    /// Tells the secondary the time of the last modification, if writes changed it since it was told. (Each write alone would cost
    /// a system call on both sides.)
    pub(super) fn tell_times(&self, admission: &Admission<'_>, id: FileId) -> io::Result<Result<(), Refusal>> {
        if self.backing.table().flags(id) & TIMES == 0 || self.backing.is_only_here(id) {
            return Ok(Ok(()));
        }
        let node = self.backing.node(id)?;
        // Told under this lock: who holds it and finds nothing to be told (a verification) can compare the time.
        let _file = self.pipeline.order().file(id);
        if self.backing.table().clear_flags(id, TIMES) == 0 {
            return Ok(Ok(()));
        }
        let mtime = Some(self.backing.mtime(id)?);
        let op = Op::SetAttr { id, owner: None, mode: None, atime: None, mtime };
        let told = self.pipeline.append(admission, &op, None);
        Ok(told.map(|seq| node.last_seq.store(seq.0, Ordering::Release)))
    }

    /// Close: returns when what was written is received in order by the secondary (P1).
    pub(super) fn flush(self: &Arc<Self>, id: FileId, reply: fuser::ReplyEmpty) {
        if self.backing.table().flags(id) & TIMES == 0 {
            return self.wait_received(id, reply);
        }
        if let GateState::ReadOnly | GateState::Stopped = self.pipeline.gate().state() {
            return self.wait_received(id, reply);
        }
        self.admit(reply, move |front, admission, reply| {
            let told = front.tell_times(&admission, id);
            drop(admission);
            match told {
                Ok(Ok(())) => front.wait_received(id, reply),
                Ok(Err(refusal)) => reply.fail(refusal.errno()),
                // Gone meanwhile: nothing is left to be told.
                Err(_) => reply.ok(),
            }
        });
    }

    fn wait_received(&self, id: FileId, reply: fuser::ReplyEmpty) {
        let last = self.backing.node(id).map_or(0, |node| node.last_seq.load(Ordering::Acquire));
        if last == 0 {
            return reply.ok();
        }
        let answer = move |received: Result<(), Refusal>| match received {
            Ok(()) => reply.ok(),
            Err(refusal) => reply.fail(refusal.errno()),
        };
        self.pipeline.when_received(Seq(last), Box::new(answer));
    }

    /// `fh` for what is opened now.
    pub(super) fn file_handle(&self) -> FileHandle {
        FileHandle(self.memory.tenure())
    }

    /// Was this descriptor opened in this tenure (P8)?
    pub(super) fn is_current(&self, fh: FileHandle) -> bool {
        fh.0 == self.memory.tenure()
    }

    /// For writing only where modifications are admitted; between two roles it waits as they do, so that a swap refuses nobody who comes early.
    pub(super) fn open(self: &Arc<Self>, flags: i32, reply: fuser::ReplyOpen) {
        let opened = move |front: &Front, reply: fuser::ReplyOpen| {
            reply.opened(front.file_handle(), front.open_flags(flags));
        };
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
        let gate = self.pipeline.gate().state();
        match (self.role(), gate) {
            _ if !writes => opened(self, reply),
            (_, GateState::ReadOnly) => reply.fail(libc::EROFS),
            (Role::Primary, _) => opened(self, reply),
            (Role::Secondary, _) => self.admit(reply, move |front, _admission, reply| opened(front, reply)),
        }
    }
}
