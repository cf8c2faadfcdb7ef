//! `maxloop`: a fault that restarts don't cure ends in STOP instead of in a circle (reference 004, 7.11 and 13.2.3).

use super::actor::{HeartActor, Out, log};
use hf_types::{Caller, Command, Event, Instant, ResourceValue};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The resource that shows when the counting began, and by its time when it counted last.
const RESOURCE: &str = "heart.stopstartloop";

/// What `<service>` says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopLimits {
    /// `maxloop`: so many restarts by detectors are carried out; the next one stops the module.
    pub max: u32,
    /// `loop_interval`, counted from the first of them; zero: nothing is counted.
    pub interval: Duration,
    /// Wall clock at [`Instant`] zero, microseconds since 1970 UTC: only for what the resource shows.
    pub zero_us: i64,
}

impl LoopLimits {
    /// Nothing is counted.
    pub const OFF: LoopLimits = LoopLimits { max: 0, interval: Duration::ZERO, zero_us: 0 };
}

/// Restarts so far. Lives as long as the heart: through restarts, not through a stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Loops {
    since: Instant,
    count: u32,
}

impl HeartActor {
    /// Takes the commands about the counter, and every other one into account: a detector's restart counts, an
    /// administrator's command makes an end of the counting. Some: the answer, nothing more is to be done.
    pub(super) fn watch_loop(&mut self, command: Command, by: &Caller, out: &mut Out) -> Option<Result<(), String>> {
        match command {
            Command::Incloop => {
                self.count_restart(out);
                Some(self.loop_answer())
            }
            Command::Checkloop => Some(self.loop_answer()),
            Command::Resetloop => {
                self.reset_loop(out);
                Some(Ok(()))
            }
            _ if !by.is_detector() => {
                self.reset_loop(out);
                None
            }
            Command::Stopstart | Command::Restart | Command::Stopwait if self.is_one_restart_too_many(out) => {
                self.on_stop(out);
                Some(Ok(()))
            }
            _ => None,
        }
    }

    /// Counts a restart that a detector (or a fault that we found ourselves) asks for. True: it was one too many, and the
    /// module has to stop instead.
    pub(super) fn is_one_restart_too_many(&mut self, out: &mut Out) -> bool {
        // At the limit already, in the same interval.
        if !self.loop_limit_reached() {
            self.count_restart(out);
            return false;
        }
        log(out, Event::StoppingLoop);
        let module = &self.config.module;
        self.because = Some(format!(
            "It was restarted more than {} times in a row (maxloop): find the cause in 'holdfast log -m {module}', then 'holdfast start -m {module}'",
            self.config.loops.max
        ));
        true
    }

    fn count_restart(&mut self, out: &mut Out) {
        if self.config.loops.interval.is_zero() {
            return;
        }
        if self.loop_is_over() {
            self.loops = Loops { since: self.now, count: 0 };
        }
        self.loops.count = self.loops.count.saturating_add(1);
        self.show_loop(out);
    }

    fn reset_loop(&mut self, out: &mut Out) {
        if self.loops.count > 0 {
            self.loops = Loops { since: self.now, count: 0 };
            self.show_loop(out);
        }
    }

    fn loop_is_over(&self) -> bool {
        self.loops.count == 0 || self.now.since(self.loops.since) >= self.config.loops.interval
    }

    fn loop_limit_reached(&self) -> bool {
        let counted = if self.loop_is_over() { 0 } else { self.loops.count };
        !self.config.loops.interval.is_zero() && counted >= self.config.loops.max
    }

    /// Exit code 0 or 1 of `checkloop` and `incloop` (reference 004, 14.4.2.3).
    fn loop_answer(&self) -> Result<(), String> {
        if !self.loop_limit_reached() {
            return Ok(());
        }
        let (module, max) = (&self.config.module, self.config.loops.max);
        Err(format!("maxloop ({max}) is reached; 'holdfast resetloop -m {module}' begins anew"))
    }

    /// Assigned at every count, so that its history shows each.
    fn show_loop(&mut self, out: &mut Out) {
        let since_us = i64::try_from(self.loops.since.since(Instant(0)).as_micros()).unwrap_or(i64::MAX);
        let seconds = self.config.loops.zero_us.saturating_add(since_us) / 1_000_000;
        self.assign_again(RESOURCE, ResourceValue::Text(seconds.to_string()), out);
    }
}
