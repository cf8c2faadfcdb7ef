//! `failover on|off` (reference 004, 5.7, 9.4): said on one node, it holds on both, as soon as they hear each other, and as long as
//! one of them runs.

use super::actor::{HeartActor, Out, log};
use hf_types::{Event, ResourceValue};

impl HeartActor {
    pub(super) fn choose_failover(&mut self, on: bool, out: &mut Out) {
        self.failover_version += 1;
        self.set_failover(on, out);
    }

    /// What was said last holds; of two that were said at the same time, the safer one.
    pub(super) fn follow_failover(&mut self, out: &mut Out) {
        let Some(peer) = self.heard_peer() else {
            return;
        };
        let (theirs, on) = (peer.failover_version, peer.failover);
        let tie = theirs == self.failover_version && theirs > 0 && !on;
        if theirs > self.failover_version || tie {
            self.failover_version = theirs;
            self.set_failover(on, out);
        }
    }

    fn set_failover(&mut self, on: bool, out: &mut Out) {
        if self.config.failover == on {
            return;
        }
        self.config.failover = on;
        let value = ResourceValue::Text(if on { "on" } else { "off" }.to_owned());
        log(out, Event::ResourceSet { name: "usersetting.failover".to_owned(), value, by: "heart".to_owned() });
    }
}
