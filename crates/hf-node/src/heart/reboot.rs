//! `automatic_reboot` (reference 004, 13.2.3): where a detector wants a `stopstart`, the machine is rebooted.
//!
//! The count of this restart must be on the disk before, else a fault that a reboot doesn't cure would reboot the machine for
//! ever. What the disk doesn't take in time is no reason to do nothing: then it is a `stopstart`.

use super::KeptLoops;
use super::actor::{HeartActor, Out, log};
use hf_module::mirror::Plan;
use hf_types::{Caller, Event, Instant};
use serde::Serialize;
use std::time::Duration;

/// How long the counter may take to the disk.
const KEPT_WITHIN: Duration = Duration::from_secs(10);

/// How far a reboot is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) enum Reboot {
    /// The counter is being written.
    Counting { until: Instant },
    /// The module is being stopped; the daemon reboots the machine when it is.
    Stopping,
}

impl Reboot {
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Reboot::Counting { until } => Some(until),
            Reboot::Stopping => None,
        }
    }
}

impl HeartActor {
    /// A `stopstart` that was counted: `by` a detector or a failover rule, or because of a fault that we found ourselves. True: the
    /// machine is going to be rebooted instead.
    pub(super) fn reboots_instead(&mut self, out: &mut Out) -> bool {
        if !self.config.loops.reboot {
            return false;
        }
        if self.config.loops.interval.is_zero() {
            // Nothing is counted.
            self.stop_for_reboot(out);
        } else {
            self.reboot = Some(Reboot::Counting { until: self.now + KEPT_WITHIN });
        }
        true
    }

    /// What a person says goes before a reboot that has not begun.
    pub(super) fn forget_reboot(&mut self, by: &Caller) {
        if by.is_person() {
            self.reboot = None;
        }
    }

    pub(super) fn on_loops_kept(&mut self, kept: Option<KeptLoops>, error: Option<String>, out: &mut Out) {
        let waits = matches!(self.reboot, Some(Reboot::Counting { .. })) && self.loops.is_newest(kept);
        match (waits, error) {
            (true, None) => self.stop_for_reboot(out),
            (true, Some(error)) => self.restart_instead(&error, out),
            (false, Some(error)) => {
                let text = format!("The number of restarts can't be written down: {error}; a reboot would forget it");
                log(out, Event::Text(text));
            }
            (false, None) => {}
        }
    }

    pub(super) fn tend_reboot(&mut self, out: &mut Out) {
        if self.reboot.and_then(Reboot::deadline).is_some_and(|until| until <= self.now) {
            self.restart_instead("the disk doesn't answer", out);
        }
    }

    fn stop_for_reboot(&mut self, out: &mut Out) {
        self.reboot = Some(Reboot::Stopping);
        log(out, Event::AutomaticReboot);
        self.because = Some("The machine is rebooted because of automatic_reboot".to_owned());
        self.replace_plan(Plan::stop(self.state()), out);
    }

    fn restart_instead(&mut self, why: &str, out: &mut Out) {
        self.reboot = None;
        log(out, Event::NoAutomaticReboot(why.to_owned()));
        self.replace_plan(Plan::restart(self.state()), out);
    }
}
