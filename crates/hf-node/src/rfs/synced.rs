//! When this copy was in step last, for `syncdelta` (`hf_replica::relax`).

use super::actor::{Course, Out, RfsActor};
use super::change::Change;
use hf_types::Instant;
use std::time::Duration;

/// How often it is noted while it stays so: `syncdelta` counts in minutes.
const NOTE: Duration = Duration::from_secs(60);

impl RfsActor {
    /// Before anything else is done with an input (up to this moment it was in step), and after (from this moment on it is).
    pub(super) fn note_synced(&mut self, out: &mut Out) {
        if !self.in_step() {
            self.noted = None;
            return;
        }
        self.synced = Some(self.now);
        if self.noted.is_none() {
            // The change that began it says so.
            self.noted = Some(self.now);
        }
        if self.note_at().is_some_and(|at| at <= self.now) {
            self.noted = Some(self.now);
            self.write(Change::Noted, out);
        }
    }

    /// When it is to be noted again: not while the records are on their way to something else.
    pub(super) fn note_at(&self) -> Option<Instant> {
        let still = self.course == Course::InStep && self.writes.is_idle() && self.failed.is_none();
        self.noted.filter(|_| still && self.config.notes_synced).map(|noted| noted + NOTE)
    }
}
