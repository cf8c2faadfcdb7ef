//! `syncdelta` (reference 004, 13.6.4.4): starting as primary with data that was in step shortly before, when nobody answers.

use super::actor::{HeartActor, Out, log};
use super::peer::PeerNow;
use hf_replica::relax::{SYNCDELTA_OFF_MIN, synced_minutes};
use hf_types::{Event, GrantReason, Instant, ResourceValue};
use std::time::Duration;

impl HeartActor {
    /// Whole minutes since this copy was in step, if `syncdelta` lets it count as synchronised.
    fn synced_minutes(&self) -> Option<u64> {
        let now_s = self.config.loops.zero_us / 1_000_000 + self.now.since(Instant(0)).as_secs() as i64;
        synced_minutes(self.rfs.copy.as_ref()?, self.rfs.synced_s, now_s, self.config.syncdelta_min)
    }

    /// The rule `rfs_forceuptodate`: every heartbeat is down, so is the other node's daemon, and the data is young enough.
    pub(super) fn relaxed(&mut self, out: &mut Out) -> Option<GrantReason> {
        let daemon_heard = self.daemon_peer.as_ref().is_some_and(|peer| peer.heard);
        if self.peer_now() != PeerNow::Silent || daemon_heard || !self.witness_allows() {
            return None;
        }
        let minutes = self.synced_minutes()?;
        let delta = self.config.syncdelta_min;
        log(
            out,
            Event::Text(format!(
                "Action uptodate from failover rule rfs_forceuptodate: the promise that only an up-to-date copy starts is given up for {delta} min (syncdelta); this copy was in step {minutes} min ago, and what the other node acknowledged since then is missing here"
            )),
        );
        Some(GrantReason::SyncDelta { minutes })
    }

    /// The resource `rfs.synced` (13.6.4.4).
    pub(super) fn publish_synced(&mut self, out: &mut Out) {
        if self.config.syncdelta_min <= SYNCDELTA_OFF_MIN {
            return;
        }
        let value = match (&self.rfs.copy, self.in_step() || self.synced_minutes().is_some()) {
            (None, _) => ResourceValue::Init,
            (Some(_), true) => ResourceValue::Up,
            (Some(_), false) => ResourceValue::Down,
        };
        self.set_resource("rfs.synced", value, "syncedcheck", true, out);
    }

    /// When the data will be too old.
    pub(super) fn synced_until(&self) -> Option<Instant> {
        let minutes = self.synced_minutes()?;
        let left = self.config.syncdelta_min.saturating_sub(minutes);
        Some(self.now + Duration::from_secs(left.saturating_mul(60)))
    }
}
