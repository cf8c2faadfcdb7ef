//! Digests of zones: computed on the secondary by a thread of their own, awaited by the primary.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hf_wire::frame::{Body, DATA_MAX, DIGEST_LEN, KNOWN};

use super::pool::{Digested, Pending, Zones};
use crate::backing::Backing;
use crate::link::{Link, lock};
use crate::pipeline::FileId;

const TICK: Duration = Duration::from_millis(200);

/// What the primary asked for.
pub struct DigestJob {
    pub dir: u16,
    pub id: u64,
    pub first: u64,
    pub count: u32,
    /// They are being computed; or the answer to [`Body::AskKnown`].
    pub(super) what: What,
    /// Of which stream: when another has begun, nobody waits for the answer any more.
    stream: u64,
}

pub(super) enum What {
    Digests(Pending),
    Known(bool),
}

impl DigestJob {
    /// Begins to compute them; the answer is given in the order of the questions.
    pub(crate) fn begin(link: &Link, dir: u16, id: u64, first: u64, count: u32) -> DigestJob {
        let pending = link.pool.ask(Zones { dir, id: FileId(id), first, count: u64::from(count) });
        DigestJob { dir, id, first, count, what: What::Digests(pending), stream: link.applied_stream() }
    }

    /// Answers whether the content is known to be equal, in the order of the questions.
    pub(crate) fn known(link: &Link, dir: u16, id: u64, known: bool) -> DigestJob {
        DigestJob { dir, id, first: KNOWN, count: 0, what: What::Known(known), stream: link.applied_stream() }
    }
}

/// The digest of one zone; `buffer` has the size of a zone.
pub(super) fn digest(backing: &Backing, id: FileId, zone: u64, buffer: &mut [u8]) -> io::Result<[u8; DIGEST_LEN]> {
    let len = backing.read(id, zone * DATA_MAX as u64, buffer)?;
    Ok(*blake3::hash(&buffer[..len]).as_bytes())
}

impl Link {
    pub(crate) fn digest_loop(self: &Arc<Link>) {
        let Some(jobs) = lock(&self.digest_jobs).take() else { return };
        while !self.is_over() {
            match jobs.recv_timeout(TICK) {
                Ok(job) => self.answer(&job),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Fewer digests than asked for: the file is gone here.
    fn answer(&self, job: &DigestJob) {
        let digested = loop {
            let pending = match &job.what {
                What::Known(true) => break Digested { digests: vec![1; DIGEST_LEN], error: None },
                What::Known(false) => break Digested::default(),
                What::Digests(pending) => pending,
            };
            match pending.take(TICK) {
                Some(digested) => break digested,
                None if self.is_over() => return,
                None => {}
            }
        };
        if let Some(error) = digested.error.filter(|error| error.raw_os_error() != Some(libc::ESTALE)) {
            self.local_fault("reading for a comparison", &error);
            return;
        }
        if self.applied_stream() == job.stream {
            self.out.direct(&self.ring, &Body::Digests { id: job.id, first: job.first, digests: &digested.digests });
        }
    }
}

#[derive(Default)]
struct Answers {
    list: VecDeque<(u64, u64, Vec<u8>)>,
    hung_up: bool,
}

/// Answers that came, in the order of the questions.
#[derive(Default)]
pub struct Replies {
    answers: Mutex<Answers>,
    changed: Condvar,
}

impl Replies {
    /// Keeps an answer.
    pub fn put(&self, id: u64, first: u64, digests: &[u8]) {
        lock(&self.answers).list.push_back((id, first, digests.to_vec()));
        self.changed.notify_one();
    }

    /// No answers any more.
    pub fn hang_up(&self) {
        lock(&self.answers).hung_up = true;
        self.changed.notify_one();
    }

    pub(crate) fn clear(&self) {
        *lock(&self.answers) = Answers::default();
    }

    /// The next answer, waiting up to `limit`.
    pub(super) fn take(&self, limit: Duration) -> Option<(u64, u64, Vec<u8>)> {
        let answers = lock(&self.answers);
        let (mut answers, _) = self
            .changed
            .wait_timeout_while(answers, limit, |answers| answers.list.is_empty() && !answers.hung_up)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        answers.list.pop_front()
    }
}
