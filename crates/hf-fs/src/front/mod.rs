//! The front end: what applications see of a replicated directory.
//!
//! It answers the kernel's FUSE requests from the [`Backing`] directory and hands every modification to the [`Pipeline`]. It keeps nothing that is
//! needed to answer: node ids are our file ids, `fh` is only the tenure, a directory's cookie is the file system's. So a successor
//! can go on after a kill -9 (docs/internals: the takeover).
//!
//! One walk, a write: [`fuse`] decodes -> [`data`] admits, writes locally and appends under the file's lock -> reply. A name operation:
//! [`fuse`] -> [`names`] -> intent in the [`memory`] -> [`Backing`] -> append -> reply when received.

mod answer;
mod attr;
mod border;
mod data;
mod fuse;
mod intent;
mod invalidate;
mod listing;
mod memory;
mod metadata;
#[cfg(test)]
mod mirrored;
pub mod mountpoint;
mod names;
pub mod protect;
mod recover;
mod session;
mod start;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::backing::Backing;
use crate::pipeline::{Admission, DiskFault, FileId, Pipeline};
use answer::Answer;

pub use memory::{RESULT_MEMORY_BYTES, ResultMemory};
pub use session::{ServeError, Server, Start, serve};
pub use start::{Directory, Opened, StartError};

/// What the kernel may keep on the primary: nobody changes anything but through it.
const PRIMARY_TTL: Duration = Duration::from_secs(86_400);

/// How the kernel is told to cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel keeps what it knows.
    Primary,
    /// The kernel asks every time; what it keeps is invalidated when an operation of the primary is applied.
    Secondary,
}

/// One replicated directory's front end. Modifications are admitted by the pipeline's gate; the role here is about caching only.
pub struct Front {
    backing: Arc<Backing>,
    pipeline: Arc<dyn Pipeline>,
    memory: ResultMemory,
    primary: AtomicBool,
    recovered: AtomicBool,
    notifier: OnceLock<fuser::Notifier>,
    device: OnceLock<OwnedFd>,
    prime: session::Prime,
}

impl Front {
    /// Not mounted yet: see [`serve`]. Begin as the primary when the role isn't known: a secondary gives up what a dead server left half done.
    pub fn new(backing: Arc<Backing>, pipeline: Arc<dyn Pipeline>, memory: ResultMemory, role: Role) -> Arc<Front> {
        Arc::new(Front {
            backing,
            pipeline,
            memory,
            primary: AtomicBool::new(role == Role::Primary),
            recovered: AtomicBool::new(false),
            notifier: OnceLock::new(),
            device: OnceLock::new(),
            prime: session::Prime::default(),
        })
    }

    /// The backing directory.
    pub fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// The pipeline.
    pub fn pipeline(&self) -> &Arc<dyn Pipeline> {
        &self.pipeline
    }

    /// The role.
    pub fn role(&self) -> Role {
        if self.primary.load(Ordering::Relaxed) { Role::Primary } else { Role::Secondary }
    }

    /// Changes how the kernel caches. To become a secondary: [`Front::write_back`] first, then close the gate and drain, then this, which
    /// also ends the tenure (descriptors that are open for writing get EROFS from now on, P8) and makes the kernel
    /// forget what it cached. To become a primary: this, then open the gate.
    pub fn set_role(&self, role: Role) -> io::Result<()> {
        let before = self.role();
        self.primary.store(role == Role::Primary, Ordering::SeqCst);
        if role == Role::Secondary {
            self.give_up_unfinished();
        }
        if before == Role::Primary && role == Role::Secondary {
            self.memory.next_tenure();
            return self.invalidate_all();
        }
        Ok(())
    }

    fn ttl(&self) -> Duration {
        match self.role() {
            Role::Primary => PRIMARY_TTL,
            Role::Secondary => Duration::ZERO,
        }
    }

    /// Runs a modification when the gate admits it: at once, or later on the thread that opens the gate.
    fn admit<R: Answer>(self: &Arc<Self>, reply: R, act: impl FnOnce(&Arc<Front>, Admission<'_>, R) + Send + 'static) {
        match self.pipeline.gate().admit() {
            Ok(Some(admission)) => act(self, admission, reply),
            Err(refusal) => reply.fail(refusal.errno()),
            Ok(None) => {
                let front = self.clone();
                self.pipeline.gate().park(Box::new(move |admitted| match admitted {
                    Ok(admission) => act(&front, admission, reply),
                    Err(refusal) => reply.fail(refusal.errno()),
                }));
            }
        }
    }

    /// Answers a failed local operation: the disk's own failures go to the pipeline (P11), everything else to the application.
    fn failed<R: Answer>(&self, call: &'static str, id: FileId, error: &io::Error, reply: R) {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        if !DiskFault::is_fault(errno) {
            reply.fail(errno);
            return;
        }
        tracing::error!(call, file = %id, %error, "the disk of the replicated directory failed");
        let answer = move |result: Result<(), crate::pipeline::Refusal>| {
            reply.fail(result.err().map_or(libc::EIO, |refusal| refusal.errno()));
        };
        self.pipeline.disk_fault(DiskFault { call, id, errno }, Box::new(answer));
    }
}
