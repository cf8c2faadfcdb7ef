//! Verification: are both copies equal? While applications write, without a false alarm, and without changing anything.
//!
//! The primary walks its tree ([`primary`]), the secondary compares ([`secondary`]).
//!
//! # Why nothing is reported that isn't a difference
//!
//! Both copies are in step: after the secondary has applied frame q of the stream its tree is the primary's tree at q. So what the primary
//! reads *and appends under the lock of who changes it* can be compared exactly by the secondary when it comes to that frame, in the
//! thread that applies:
//!
//! - names of a directory under the names' lock ([`Body::CheckList`]);
//! - size and attributes under the names' and the file's lock ([`Body::CheckMeta`]). Of a file whose time was changed by writes and not told yet
//!   ([`crate::table::TIMES`]) the time isn't compared.
//!
//! Content would cost too much that way. Digests are compared first without any lock, as a synchronisation does
//! ([`Body::AskDigests`]): equal digests mean that every byte that nobody touched between the two readings is equal, and what was touched is
//! replicated. Unequal ones mean a difference, or a write between the readings: that zone is digested again under the file's lock and compared at
//! its place in the stream ([`Body::CheckZone`]), and only that counts.
//!
//! A file that moves from a directory that isn't compared yet into one that was may be left out of this run.
//!
//! # What ends it
//!
//! The end of the walk; a broken connection, a change of the role, a stream that begins anew (then nothing more can be said); nobody who listens.

mod primary;
mod secondary;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hf_wire::check::{CheckMessage, CheckReport, Finding};
use hf_wire::frame::Body;

use crate::link::{Flow, Link, lock};

pub use secondary::Comparison;

/// Takes what a verification says; false: nobody listens any more.
pub type Report = Arc<dyn Fn(CheckReport) -> bool + Send + Sync>;

/// Why no verification begins; each sentence is for the person who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckRefused {
    /// See the text.
    #[error("there is only one copy to look at: no secondary follows this node")]
    Alone,
    /// The secondary isn't equal yet.
    #[error("the two copies are not in step yet: a synchronisation runs, or the nodes are not connected")]
    NotInStep,
    /// One at a time.
    #[error("a verification of this module runs already")]
    Running,
}

/// What a link knows of verifications.
#[derive(Default)]
pub struct Checks {
    /// Primary: one runs.
    running: AtomicBool,
    /// Primary: the token of the one that was asked for by the other node and is still wanted.
    wanted: AtomicU64,
    /// Primary: what the secondary said.
    inbox: Mutex<VecDeque<Said>>,
    /// Secondary: who asked here.
    asking: Mutex<Option<(u64, Report)>>,
}

enum Said {
    Found { seq: u64, findings: Vec<Finding> },
    Done { seq: u64 },
}

/// Begins a verification on the primary, or asks the primary for one. `token` is not 0 and unlike any other; what it finds goes to
/// `report`, which hears `Ended` or `Failed` last.
pub fn verify(link: &Arc<Link>, token: u64, report: Report) -> Result<(), CheckRefused> {
    match link.flow() {
        Flow::Following => link.ask_for_check(token, report),
        Flow::InStep if link.out.is_open() => primary::start(link, report, 0),
        Flow::InStep | Flow::Syncing => Err(CheckRefused::NotInStep),
        Flow::Alone => Err(CheckRefused::Alone),
    }
}

impl Link {
    fn ask_for_check(&self, token: u64, report: Report) -> Result<(), CheckRefused> {
        let counters = self.ring.counters();
        let follows =
            counters.applied_stream.load(Ordering::SeqCst) != 0 && counters.receiving_sync.load(Ordering::SeqCst) == 0;
        if !self.out.is_open() || !follows {
            return Err(CheckRefused::NotInStep);
        }
        let mut asking = lock(&self.checks.asking);
        if asking.is_some() {
            return Err(CheckRefused::Running);
        }
        *asking = Some((token, report));
        drop(asking);
        self.say_check(&CheckMessage::Ask { token });
        Ok(())
    }

    fn say_check(&self, message: &CheckMessage) {
        // Plain data, whose JSON can't fail.
        let json = serde_json::to_vec(message).expect("plain data becomes JSON");
        self.out.direct(&self.ring, &Body::Check { json: &json });
    }

    /// A message of the other end.
    pub(crate) fn take_check(self: &Arc<Link>, json: &[u8]) -> Result<(), String> {
        let message: CheckMessage =
            serde_json::from_slice(json).map_err(|error| format!("a message that isn't understood: {error}"))?;
        match message {
            CheckMessage::Ask { token } => self.check_for_other(token),
            CheckMessage::Cancel { token } => {
                // Another one may be wanted by now.
                let _ = self.checks.wanted.compare_exchange(token, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
            CheckMessage::Report { token, report } => self.pass_on(token, report),
            CheckMessage::Found { seq, findings } => lock(&self.checks.inbox).push_back(Said::Found { seq, findings }),
            CheckMessage::Done { seq } => lock(&self.checks.inbox).push_back(Said::Done { seq }),
        }
        Ok(())
    }

    /// Primary: the secondary's administrator wants one.
    fn check_for_other(self: &Arc<Link>, token: u64) {
        let link = self.clone();
        let report: Report = Arc::new(move |report| {
            link.say_check(&CheckMessage::Report { token, report });
            link.checks.wanted.load(Ordering::SeqCst) == token
        });
        let begun = match self.flow() {
            Flow::InStep => primary::start(self, report, token),
            _ => Err(CheckRefused::NotInStep),
        };
        if let Err(why) = begun {
            let report = CheckReport::Failed { why: why.to_string() };
            self.say_check(&CheckMessage::Report { token, report });
        }
    }

    /// Secondary: to who asked here.
    fn pass_on(&self, token: u64, said: CheckReport) {
        let mut asking = lock(&self.checks.asking);
        let Some((_, report)) = asking.as_ref().filter(|(asked, _)| *asked == token) else {
            return;
        };
        let over = matches!(said, CheckReport::Ended(_) | CheckReport::Failed { .. });
        let wanted = report(said);
        if over || !wanted {
            *asking = None;
        }
        drop(asking);
        if !over && !wanted {
            self.say_check(&CheckMessage::Cancel { token });
        }
    }

    /// The connection is gone, and with it what was asked over it.
    pub(crate) fn end_checks(&self) {
        let asking = lock(&self.checks.asking).take();
        if let Some((_, report)) = asking {
            report(CheckReport::Failed { why: primary::BROKEN.to_owned() });
        }
    }
}
