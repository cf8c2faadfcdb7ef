//! A configuration that changes while the module runs (reference 004, the introduction of chapter 13).

use super::actor::{HeartActor, Out, log};
use super::{HeartConfig, Lane};
use hf_membership::{LaneConfig, LaneStatus};
use hf_types::{Event, NodeName, ResourceValue};

impl HeartConfig {
    /// What keeps a heart with this configuration from going on with `next`: a sentence each.
    pub fn needs_a_stop(&self, next: &HeartConfig) -> Vec<String> {
        let mut found = Vec::new();
        if self.mode != next.mode {
            found.push(format!("it was a {} module, and would be a {} module", self.mode, next.mode));
        } else if (&self.me, &self.peer) != (&next.me, &next.peer) {
            found.push(format!("its two nodes were {}, and would be {}", self.nodes(), next.nodes()));
        } else if self.me_first != next.me_first {
            found.push("its two nodes stand in another order in cluster.xml, which both nodes decide by".to_owned());
        }
        if (&self.module, self.replicates, &self.vips) != (&next.module, next.replicates, &next.vips) {
            found.push("its virtual addresses or its replication are others".to_owned());
        }
        found
    }

    fn nodes(&self) -> String {
        let all = [Some(&self.me), self.peer.as_ref()];
        all.into_iter().flatten().map(NodeName::as_str).collect::<Vec<_>>().join(" and ")
    }
}

impl HeartActor {
    pub(super) fn on_configured(&mut self, next: HeartConfig, out: &mut Out) {
        let before = std::mem::take(&mut self.config.lanes);
        let place = |lane: &Lane| before.iter().position(|old| old.lan == lane.lan);
        let lanes: Vec<_> = next
            .lanes
            .iter()
            .map(|lane| (LaneConfig { pulse: lane.pulse, timeout: lane.timeout }, place(lane)))
            .collect();
        self.pair.reconfigure(self.now, lanes);
        self.vips.configure(&next);
        let errd = self.config.errd.clone();
        let checkers = std::mem::take(&mut self.config.checkers);
        // What was said with `failover on|off` and `checker on|off` holds.
        self.config = HeartConfig { failover: self.config.failover, checking: self.config.checking, ..next };
        self.on_errd_configured(errd.as_ref(), out);
        self.checkers_changed(&checkers, out);
        self.rename_lanes(&before, out);
        log(out, Event::Text("The changed configuration is in use; the module goes on".to_owned()));
    }

    fn rename_lanes(&mut self, before: &[Lane], out: &mut Out) {
        let lanes = self.config.lanes.clone();
        for old in before.iter().filter(|old| !lanes.iter().any(|lane| lane.ident == old.ident)) {
            self.drop_resource(&format!("heartbeat.{}", old.ident), out);
        }
        for (number, lane) in lanes.iter().enumerate() {
            let value = match self.pair.lane_status(number) {
                Some(LaneStatus::Up) => ResourceValue::Up,
                Some(LaneStatus::Down) => ResourceValue::Down,
                Some(LaneStatus::Init) | None => ResourceValue::Init,
            };
            self.set_resource(&format!("heartbeat.{}", lane.ident), value, "heart", false, out);
        }
    }
}

/// Whether lanes may change their addresses while the module runs, nobody knowing in which state: the other node hears of the change later, so
/// one lane has to carry the heartbeats as before meanwhile, or each node would take the other one for dead. `E`: a lane's addresses.
/// The sentence says what is wrong.
pub fn unsound_lanes<E: PartialEq>(before: &[(String, Option<E>)], after: &[(String, Option<E>)]) -> Option<String> {
    let used: Vec<_> = before.iter().filter(|(_, ends)| ends.is_some()).collect();
    let stays = used.iter().any(|lane| after.contains(lane));
    (!used.is_empty() && !stays).then(|| {
        let lans: Vec<&str> = used.iter().map(|(lan, _)| lan.as_str()).collect();
        format!("the addresses of every network of its heartbeats ({}) change at once", lans.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::unsound_lanes;

    fn lanes(list: &[(&str, Option<u8>)]) -> Vec<(String, Option<u8>)> {
        list.iter().map(|(lan, ends)| ((*lan).to_owned(), *ends)).collect()
    }

    #[test]
    fn one_lane_stays_as_it_was() {
        let before = lanes(&[("a", Some(1)), ("b", Some(2))]);
        let sound = |after: &[(&str, Option<u8>)]| unsound_lanes(&before, &lanes(after)).is_none();
        assert!(sound(&[("a", Some(1)), ("b", Some(2))]) && sound(&[("a", Some(9)), ("b", Some(2))]));
        assert!(sound(&[("a", Some(1)), ("b", None), ("c", Some(3))]));
        assert!(!sound(&[("a", Some(9)), ("b", Some(8))]) && !sound(&[("b", Some(1))]) && !sound(&[]));
        let nameless = lanes(&[("a", None)]);
        assert_eq!(unsound_lanes(&nameless, &before), None, "there was nothing to lose");
        let why = unsound_lanes(&before, &nameless).unwrap_or_default();
        assert!(why.contains("(a, b)"), "{why}");
    }
}
