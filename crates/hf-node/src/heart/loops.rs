//! `maxloop`: a fault that restarts don't cure ends in STOP instead of in a circle (reference 004, 7.11 and 13.2.3).
//!
//! The counter outlives the heart and the boot ([`KeptLoops`]), because a restart may be a reboot (`automatic_reboot`, see
//! `reboot.rs`). It ages by the time in which a heart of the module ran, never by the wall clock: a clock that is set back, or a
//! machine that wakes up in 1970, must neither begin the counting anew for ever nor keep it for ever.

use super::HeartEffect;
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
    /// `automatic_reboot`: a `stopstart` by a detector reboots the machine instead.
    pub reboot: bool,
}

impl LoopLimits {
    /// Nothing is counted.
    pub const OFF: LoopLimits = LoopLimits { max: 0, interval: Duration::ZERO, zero_us: 0, reboot: false };
}

/// How often the age of a counter is written down while nothing is counted.
const SAVE_EVERY: Duration = Duration::from_secs(3600);

/// The counter as it stands on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLoops {
    pub count: u32,
    /// How long hearts of the module have run since the first count, in seconds.
    pub ran_s: u64,
    /// Wall clock of the first count, microseconds since 1970 UTC: only to be shown.
    pub since_us: i64,
}

/// Restarts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Loops {
    /// When this heart began to count, or took the counter over.
    since: Instant,
    /// How long hearts before this one had run with this counter.
    ran_before: Duration,
    count: u32,
    /// Wall clock of the first count, microseconds since 1970 UTC.
    since_us: i64,
    /// What was sent to the disk last, and when.
    saved: Option<(Instant, KeptLoops)>,
}

impl Loops {
    fn ran(&self, now: Instant) -> Duration {
        self.ran_before + now.since(self.since)
    }

    /// Whether this answer is about the count as it stands, and not about one before.
    pub(super) fn is_newest(&self, kept: Option<KeptLoops>) -> bool {
        self.saved.map(|(_, kept)| kept) == kept
    }

    /// When the counter is looked at without anything being counted.
    pub(super) fn next_deadline(&self, interval: Duration) -> Option<Instant> {
        let over = self.since + interval.saturating_sub(self.ran_before);
        self.saved.map(|(saved, _)| over.min(saved + SAVE_EVERY))
    }
}

impl HeartActor {
    /// What the heart before this one left. A person's command begins anew, what the boot or the daemon starts goes on counting.
    pub(super) fn take_over_loops(&mut self, kept: Option<KeptLoops>, by: &Caller, out: &mut Out) {
        let Some(kept) = kept else { return };
        self.loops = Loops {
            since: self.now,
            ran_before: Duration::from_secs(kept.ran_s),
            count: kept.count,
            since_us: kept.since_us,
            saved: Some((self.now, kept)),
        };
        if by.is_person() || self.loop_is_over() {
            self.reset_loop(out);
        } else {
            self.show_loop(out);
        }
    }

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
            _ if by.is_person() => {
                self.reset_loop(out);
                None
            }
            Command::Stopstart | Command::Restart | Command::Stopwait if by.is_detector() => {
                if self.reboot.is_some() {
                    // The strongest restart of all is under way.
                    return Some(Ok(()));
                }
                self.is_one_restart_too_many(out).then(|| {
                    self.on_stop(out);
                    Ok(())
                })
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
            let since_us = i64::try_from(self.now.since(Instant(0)).as_micros()).unwrap_or(i64::MAX);
            self.loops = Loops {
                since: self.now,
                since_us: self.config.loops.zero_us.saturating_add(since_us),
                ..Loops::default()
            };
        }
        self.loops.count = self.loops.count.saturating_add(1);
        self.save_loop(out);
        self.show_loop(out);
    }

    fn reset_loop(&mut self, out: &mut Out) {
        if self.loops.count > 0 {
            self.loops.count = 0;
            self.loops.saved = None;
            out.push(HeartEffect::KeepLoops(None));
            self.show_loop(out);
        }
    }

    /// Time went by: a counter that is too old goes, also from the disk; another one's age is written down now and then.
    pub(super) fn tend_loops(&mut self, out: &mut Out) {
        let Some((saved, _)) = self.loops.saved else { return };
        if self.loop_is_over() {
            self.loops.count = 0;
            self.loops.saved = None;
            out.push(HeartEffect::KeepLoops(None));
        } else if self.now.since(saved) >= SAVE_EVERY {
            self.save_loop(out);
        }
    }

    fn save_loop(&mut self, out: &mut Out) {
        let kept = KeptLoops {
            count: self.loops.count,
            ran_s: self.loops.ran(self.now).as_secs(),
            since_us: self.loops.since_us,
        };
        self.loops.saved = Some((self.now, kept));
        out.push(HeartEffect::KeepLoops(Some(kept)));
    }

    fn loop_is_over(&self) -> bool {
        self.loops.count == 0 || self.loops.ran(self.now) >= self.config.loops.interval
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
        let seconds = self.loops.since_us / 1_000_000;
        self.assign_again(RESOURCE, ResourceValue::Text(seconds.to_string()), out);
    }
}
