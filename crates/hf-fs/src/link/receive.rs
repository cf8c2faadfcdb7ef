//! The receiving half of a connection, and applying.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hf_replica::engine::{EngineEvent, PeerMessage};
use hf_types::{RfsFault, Seq};
use hf_wire::frame::{Ack, Body, HEADER_LEN, Header, PAYLOAD_MAX, Place};

use super::acks::Mode;
use super::encode::op_of;
use super::sealed::Incoming as Bytes;
use super::{Link, again};
use crate::backing::apply::ApplyError;
use crate::pipeline::{FileId, Op};
use crate::sync::{Comparison, DigestJob, Mirror};

/// Room for what comes in one go.
const BUFFER: usize = 4 << 20;
/// Writes are acknowledged when so many bytes came, or somebody waits, or the second is over.
const LAZY_BYTES: usize = 1 << 20;

/// What is known on one connection.
struct Incoming {
    mirror: Option<Mirror>,
    comparison: Comparison,
    /// The stream broke here: nothing of it is applied until another begins.
    broken: bool,
    /// The first operation after a process of ours died may have been executed already.
    maybe_done: u64,
    unacknowledged: usize,
    urgent: bool,
}

impl Link {
    /// Until the connection ends; says why it did.
    pub(super) fn receive(self: &Arc<Link>, stream: &TcpStream, mut bytes: Bytes) -> String {
        if let Err(error) = self.add_readers() {
            tracing::warn!(%error, "no more threads that read for a comparison");
        }
        let counters = self.ring.counters();
        // A synchronisation that another connection brought half is not gone on with.
        if counters.receiving_sync.load(Ordering::SeqCst) != 0 {
            self.ring.leave_received();
        }
        let (started, applied) = (counters.started.load(Ordering::SeqCst), counters.applied.load(Ordering::SeqCst));
        let mut incoming = Incoming {
            mirror: None,
            comparison: Comparison::default(),
            broken: counters.applied_stream.load(Ordering::SeqCst) == 0,
            maybe_done: if started == applied + 1 { started } else { 0 },
            unacknowledged: 0,
            urgent: false,
        };
        let mut buffer = vec![0; BUFFER + PAYLOAD_MAX + HEADER_LEN];
        let (mut begin, mut end) = (0, 0);
        loop {
            if buffer.len() - end < PAYLOAD_MAX + HEADER_LEN {
                buffer.copy_within(begin..end, 0);
                (begin, end) = (0, end - begin);
            }
            match bytes.receive(stream, &mut buffer[end..]) {
                Ok(0) => return "the other side closed the connection".into(),
                Ok(n) => {
                    self.statistics.received.fetch_add(n as u64, Ordering::Relaxed);
                    end += n;
                }
                Err(why) => return why,
            }
            self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
            match self.take_frames(&mut incoming, &buffer[begin..end]) {
                Ok(used) => begin += used,
                Err(why) => return why,
            }
            if begin == end {
                (begin, end) = (0, 0);
            }
            self.acknowledge(&mut incoming);
        }
    }

    /// Handles all whole frames; says how many bytes they were.
    fn take_frames(self: &Arc<Link>, incoming: &mut Incoming, bytes: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        let _applying = super::lock(&self.applying);
        while let Some(header) = Header::decode(&bytes[used..]).map_err(|error| error.to_string())? {
            let Some(payload) = bytes.get(used + HEADER_LEN..used + header.frame_len()) else { break };
            if self.cut.load(Ordering::SeqCst) {
                return Err("hung up".into());
            }
            let body = Body::decode(&header, payload).map_err(|error| error.to_string())?;
            if let Body::Elsewhere { seq } = body {
                self.take_elsewhere(incoming, seq)?;
            } else if body.is_stream() {
                self.take_stream(incoming, header.place(), &body)?;
                incoming.unacknowledged += header.frame_len();
            } else {
                self.take_direct(incoming, &body)?;
            }
            used += header.frame_len();
        }
        Ok(used)
    }

    /// A frame that comes beside this connection, in its place here.
    fn take_elsewhere(self: &Arc<Link>, incoming: &mut Incoming, seq: u64) -> Result<(), String> {
        let (header, payload) = self.frame_beside(seq)?;
        let body = Body::decode(&header, &payload).map_err(|error| error.to_string())?;
        if !body.is_stream() {
            return Err("not a frame of the stream came beside the replication link".into());
        }
        self.take_stream(incoming, header.place(), &body)?;
        incoming.unacknowledged += header.frame_len();
        // Many of these fit into one look at the connection; the other side waits for room.
        self.acknowledge(incoming);
        Ok(())
    }

    fn acknowledge(&self, incoming: &mut Incoming) {
        if !incoming.urgent && incoming.unacknowledged < LAZY_BYTES {
            return;
        }
        if self.options.async_second.get() {
            let counters = self.ring.counters();
            counters.own_fulfilled.store(counters.applied.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        (incoming.urgent, incoming.unacknowledged) = (false, 0);
        self.out.acknowledge(&self.ring);
    }

    fn take_direct(self: &Arc<Link>, incoming: &mut Incoming, body: &Body<'_>) -> Result<(), String> {
        match *body {
            Body::Ack(ack) => self.take_ack(ack),
            Body::Heartbeat => incoming.urgent = true,
            Body::Control { json } => self.take_control(json)?,
            Body::Digests { id, first, digests } => self.replies.put(id, first, digests),
            Body::Fault { seq, errno, text } => self.take_fault(seq, errno, text),
            Body::Check { json } => self.take_check(json)?,
            _ => return Err("what only a connection begins with".into()),
        }
        Ok(())
    }

    fn take_ack(&self, ack: Ack) {
        if ack.stream == 0 || ack.stream != self.ring.stream() {
            return;
        }
        let counters = self.ring.counters();
        // What was never sent can't have been received, whatever the other side says.
        let last = self.ring.last();
        let (received, fulfilled) = (ack.received.min(last), ack.fulfilled.min(last));
        if counters.received.fetch_max(received, Ordering::SeqCst) < received
            || counters.fulfilled.fetch_max(fulfilled, Ordering::SeqCst) < fulfilled
        {
            self.progress_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        counters.fulfilled.fetch_max(fulfilled, Ordering::SeqCst);
        self.acks.advance(received, fulfilled);
        self.out.release(&self.ring, received);
        self.open_when_empty();
        self.note_watermark(ack.durable.min(last));
    }

    fn take_control(&self, json: &[u8]) -> Result<(), String> {
        let mut message: PeerMessage =
            serde_json::from_slice(json).map_err(|error| format!("a message that isn't understood: {error}"))?;
        if let PeerMessage::Hello { applied, common, .. } = &mut message {
            self.set_peer_common(common.take());
            if !self.resumable.load(Ordering::SeqCst) {
                *applied = Seq(0);
            }
        }
        self.report(EngineEvent::Received(message));
        Ok(())
    }

    fn take_fault(&self, seq: u64, errno: i32, text: &str) {
        let text = format!("operation {seq}: {text}");
        let fault = if is_disk(errno) { RfsFault::RemoteDisk(text) } else { RfsFault::Diverged(text) };
        self.bound.fail("the other copy reported a fault");
        self.report(EngineEvent::Fault(fault));
    }

    fn take_stream(&self, incoming: &mut Incoming, place: Place, body: &Body<'_>) -> Result<(), String> {
        if matches!(self.acks.mode(), Mode::Pass | Mode::Wait) {
            return Err("the other node sent operations though this one is primary".into());
        }
        let counters = self.ring.counters();
        match *body {
            Body::Begin { stream, of, at } => return self.begin(incoming, place.seq, stream, (of, at)),
            Body::BeginOn { stream, common } => return self.begin_on(incoming, place.seq, stream, common),
            _ => {}
        }
        if incoming.broken {
            return Ok(());
        }
        let applied = counters.applied.load(Ordering::SeqCst);
        if place.seq != applied + 1 || place.fence > applied {
            return Err(format!("operation {} came after {applied}", place.seq));
        }
        let Some(dir) = self.dirs.get(usize::from(place.dir)) else {
            return Err(format!("there is no replicated directory {}", place.dir));
        };
        if body.is_fence() || matches!(body, Body::RemoveXattr { .. }) {
            counters.started.store(place.seq, Ordering::SeqCst);
            incoming.urgent = true;
        }
        if let Err(error) = self.apply(incoming, place, dir, body) {
            self.broke(incoming, place.seq, &error);
            return Ok(());
        }
        counters.applied.store(place.seq, Ordering::SeqCst);
        self.statistics.applied.fetch_add(1, Ordering::Relaxed);
        if let Body::Barrier { id } = *body {
            incoming.urgent = true;
            if !self.options.async_second.get() {
                self.durable.push(place.seq, place.dir, FileId(id));
            }
        }
        Ok(())
    }

    /// A stream begins with a synchronisation on top of what both had in common: marks go on meaning something.
    fn begin_on(&self, incoming: &mut Incoming, seq: u64, stream: u64, common: u64) -> Result<(), String> {
        if self.common().is_none_or(|mine| mine.stream != common) {
            return Err("the other node counts on what this one doesn't have in common with it".into());
        }
        self.begin_at(incoming, seq, stream, true)
    }

    /// A stream begins: with a synchronisation, or (after a swap) where the one that this node issued ended.
    fn begin(&self, incoming: &mut Incoming, seq: u64, stream: u64, (of, at): (u64, u64)) -> Result<(), String> {
        if of != 0 && (of, at) != (self.ring.stream(), self.ring.last()) {
            self.ring.counters().applied_stream.store(0, Ordering::SeqCst);
            return Err("the new primary did not apply all that this copy has".into());
        }
        if of == 0 {
            self.break_received();
        }
        self.begin_at(incoming, seq, stream, of == 0)
    }

    fn begin_at(&self, incoming: &mut Incoming, seq: u64, stream: u64, with_sync: bool) -> Result<(), String> {
        let counters = self.ring.counters();
        counters.applied_stream.store(0, Ordering::SeqCst);
        self.ring.set_common(None);
        for counter in [&counters.own_fulfilled, &counters.own_durable, &counters.applied] {
            counter.store(seq, Ordering::SeqCst);
        }
        incoming.broken = false;
        if with_sync {
            self.synchronisation_begins();
        }
        incoming.mirror = match with_sync {
            true => Some(Mirror::begin(&self.dirs).map_err(|error| self.cannot_mirror(&error))?),
            false => None,
        };
        counters.receiving_sync.store(u64::from(with_sync), Ordering::SeqCst);
        counters.applied_stream.store(stream, Ordering::SeqCst);
        Ok(())
    }

    fn cannot_mirror(&self, error: &std::io::Error) -> String {
        self.local_fault("preparing a synchronisation", error);
        error.to_string()
    }

    fn apply(
        &self,
        incoming: &mut Incoming,
        place: Place,
        dir: &super::Directory,
        body: &Body<'_>,
    ) -> Result<(), ApplyError> {
        let Some(op) = op_of(body) else {
            return self.apply_sync(incoming, place, body);
        };
        if std::mem::take(&mut incoming.maybe_done) == place.seq
            && let Some(done) = again::finish(&dir.backing, &op)
        {
            return done.map_err(|source| ApplyError { operation: "repetition", id: op.id(), source });
        }
        if incoming.mirror.is_some() && is_size_already(dir, &op) {
            return Ok(());
        }
        let done = dir.backing.apply(&op);
        self.after(incoming, place.dir, dir, &op);
        match done {
            Err(error) if self.is_late(&error, incoming, &op) => Ok(()),
            other => other,
        }
    }

    /// Notes what later operations depend on.
    fn after(&self, incoming: &mut Incoming, index: u16, dir: &super::Directory, op: &Op<'_>) {
        let lost = match *op {
            Op::Unlink { id, .. } => Some(id),
            Op::Rename { replaced, exchange: false, .. } => replaced,
            _ => None,
        };
        if let Some(id) = lost.filter(|id| dir.backing.table().get(*id).is_none()) {
            self.ring.bury(id.0);
        }
        if let Some(applied) = self.applied.get() {
            applied(index, op);
        }
        if let (Some(mirror), true) = (&mut incoming.mirror, op.is_name()) {
            mirror.applied(index, op);
        }
        if let Op::Create { id, .. } = *op {
            self.mark_same(index, id);
        }
    }

    /// Operations that were under way when the file lost its last name, and attributes that a file under synchronisation
    /// doesn't have yet.
    fn is_late(&self, error: &ApplyError, incoming: &Incoming, op: &Op<'_>) -> bool {
        match error.source.raw_os_error() {
            Some(libc::ESTALE) => !op.is_name() && self.ring.is_buried(op.id().0),
            Some(libc::ENODATA) => incoming.mirror.is_some() && matches!(op, Op::RemoveXattr { .. }),
            _ => false,
        }
    }

    fn apply_sync(&self, incoming: &mut Incoming, place: Place, body: &Body<'_>) -> Result<(), ApplyError> {
        let fail = |source| ApplyError { operation: "synchronisation", id: FileId(0), source };
        let backing = &self.dirs[usize::from(place.dir)].backing;
        match *body {
            // Also of a verification.
            Body::AskDigests { id, first, count } => {
                if let Some(queue) = &*super::lock(&self.digests) {
                    // Fails only when the link stops.
                    let _ = queue.send(DigestJob::begin(self, place.dir, id, first, count));
                }
                return Ok(());
            }
            Body::CheckList { .. } | Body::CheckMeta { .. } | Body::CheckZone { .. } | Body::CheckMark => {
                incoming.comparison.take(self, backing, place.seq, body);
                return Ok(());
            }
            _ => {}
        }
        let Some(mirror) = &mut incoming.mirror else {
            return Err(fail(std::io::Error::other("no synchronisation has begun")));
        };
        match *body {
            Body::AskKnown { id, .. } => {
                let known = mirror.is_fresh(place.dir, id) && self.is_known(place.dir, body);
                if let Some(queue) = &*super::lock(&self.digests) {
                    // As above. The answer is settled here, at this place of the stream; the queue keeps its place among the others.
                    let _ = queue.send(DigestJob::known(self, place.dir, id, known));
                }
            }
            Body::Synced => {
                mirror.end(&self.dirs).map_err(fail)?;
                incoming.mirror = None;
                self.ring.counters().receiving_sync.store(0, Ordering::SeqCst);
            }
            _ => mirror.apply(backing, place.dir, body).map_err(fail)?,
        }
        if let Body::Meta { id, .. } = *body {
            // The end of its comparison: the content is there.
            self.mark_same(place.dir, FileId(id));
        }
        Ok(())
    }

    /// Is the content known to be the primary's?
    fn is_known(&self, dir: u16, question: &Body<'_>) -> bool {
        let Body::AskKnown { id, marked, size, mtime_s, before_s } = *question else { return false };
        let as_dated = || {
            let stat = self.dirs[usize::from(dir)].backing.stat(FileId(id));
            stat.is_ok_and(|stat| stat.st_size as u64 == size && stat.st_mtime == mtime_s && mtime_s < before_s)
        };
        (marked && self.is_same(dir, FileId(id))) || as_dated()
    }

    /// An operation failed here: this copy is out until it is compared (P3).
    fn broke(&self, incoming: &mut Incoming, seq: u64, error: &ApplyError) {
        incoming.broken = true;
        incoming.mirror = None;
        self.break_received();
        let errno = error.source.raw_os_error().unwrap_or(libc::EPROTO);
        let text = format!("{error}: {}", error.source);
        self.out.direct(&self.ring, &Body::Fault { seq, errno, text: &text });
        let fault = if is_disk(errno) { RfsFault::LocalDisk(text) } else { RfsFault::Diverged(text) };
        self.report(EngineEvent::Fault(fault));
    }
}

/// Files under synchronisation get their size first: most have it.
fn is_size_already(dir: &super::Directory, op: &Op<'_>) -> bool {
    match *op {
        Op::Truncate { id, size } => dir.backing.stat(id).is_ok_and(|stat| stat.st_size as u64 == size),
        _ => false,
    }
}

/// Does this error say that a disk failed or is full?
fn is_disk(errno: i32) -> bool {
    crate::pipeline::DiskFault::is_fault(errno) || matches!(errno, libc::ENOSPC | libc::EDQUOT)
}
