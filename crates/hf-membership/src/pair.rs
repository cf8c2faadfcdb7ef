use hf_types::{Incarnation, Instant};
use hf_wire::heartbeat::Heartbeat;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Incarnations that were followed by another one: late datagrams of theirs are ignored.
const OLD_MAX: usize = 16;

/// One heartbeat of the configuration (reference 004, 13.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneConfig {
    pub pulse: Duration,
    pub timeout: Duration,
}

/// What a lane is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaneStatus {
    /// Nothing was heard yet, and the time-out has not run.
    Init,
    Up,
    /// Silent for its time-out.
    Down,
}

/// A lane whose status changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneChange {
    pub lane: usize,
    pub status: LaneStatus,
}

/// What a datagram was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Newer than anything heard: its content is the peer's present state.
    pub newest: bool,
    /// The first of a new incarnation of the peer.
    pub restarted: bool,
    pub change: Option<LaneChange>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Lane {
    config: LaneConfig,
    status: LaneStatus,
    /// Silence counts from here: the last datagram, the start, or the end of a stall of our own.
    silent_since: Instant,
    /// The peer's last counter on this lane.
    heard: u64,
    next_pulse: Instant,
}

/// After a stall. What was waiting in the socket is old: only a heartbeat that answers one of ours from after the stall says
/// how the peer is now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Listening {
    after: u64,
    until: Instant,
}

/// The heartbeats between this heart and its peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    lanes: Vec<Lane>,
    me: Incarnation,
    /// Our last counter sent.
    sent: u64,
    peer: Incarnation,
    /// The peer's last counter on any lane.
    newest: u64,
    /// What the peer has told us that it heard of us, by lane.
    peer_heard: Vec<u64>,
    old: Vec<Incarnation>,
    /// Set by a stall of our own, during which our ignorance says nothing.
    listening: Option<Listening>,
}

impl Pair {
    /// Starts listening at `now`.
    pub fn new(now: Instant, me: Incarnation, lanes: impl IntoIterator<Item = LaneConfig>) -> Pair {
        let lane = |config| Lane { config, status: LaneStatus::Init, silent_since: now, heard: 0, next_pulse: now };
        Pair {
            lanes: lanes.into_iter().map(lane).collect(),
            me,
            sent: 0,
            peer: Incarnation(0),
            newest: 0,
            peer_heard: Vec::new(),
            old: Vec::new(),
            listening: None,
        }
    }

    /// Goes on with other lanes: each with the place that it had before, if it is not new. What was heard stays heard.
    pub fn reconfigure(&mut self, now: Instant, lanes: impl IntoIterator<Item = (LaneConfig, Option<usize>)>) {
        let before = std::mem::take(&mut self.lanes);
        let kept = |(config, place): (LaneConfig, Option<usize>)| match place.and_then(|place| before.get(place)) {
            Some(lane) => Lane { next_pulse: lane.next_pulse.min(now + config.pulse), config, ..lane.clone() },
            None => Lane { config, status: LaneStatus::Init, silent_since: now, heard: 0, next_pulse: now },
        };
        self.lanes = lanes.into_iter().map(kept).collect();
    }

    /// Takes a datagram; none if it is of no use (an incarnation that is over, a lane that isn't there, heard before).
    pub fn receive(&mut self, now: Instant, lane: usize, heartbeat: &Heartbeat) -> Option<Receipt> {
        if lane >= self.lanes.len() || self.old.contains(&heartbeat.incarnation) {
            return None;
        }
        let restarted = heartbeat.incarnation != self.peer;
        if restarted {
            self.follow(heartbeat.incarnation);
        }
        if heartbeat.counter <= self.lanes[lane].heard {
            return None;
        }
        let newest = heartbeat.counter > self.newest;
        self.newest = self.newest.max(heartbeat.counter);
        if newest {
            self.peer_heard = if heartbeat.heard_incarnation == self.me { heartbeat.heard.clone() } else { Vec::new() };
        }
        if self.listening.is_some_and(|listening| self.peer_has_heard(listening.after + 1)) {
            self.listening = None;
        }
        let lane_state = &mut self.lanes[lane];
        lane_state.heard = heartbeat.counter;
        lane_state.silent_since = now;
        let change = (lane_state.status != LaneStatus::Up).then_some(LaneChange { lane, status: LaneStatus::Up });
        lane_state.status = LaneStatus::Up;
        Some(Receipt { newest, restarted, change })
    }

    fn follow(&mut self, peer: Incarnation) {
        if self.peer != Incarnation(0) {
            self.old.push(self.peer);
            if self.old.len() > OLD_MAX {
                self.old.remove(0);
            }
        }
        self.peer = peer;
        self.newest = 0;
        self.peer_heard.clear();
        for lane in &mut self.lanes {
            lane.heard = 0;
        }
    }

    /// Finds the lanes whose time-out has run.
    pub fn tick(&mut self, now: Instant) -> Vec<LaneChange> {
        let mut changes = Vec::new();
        for (lane, state) in self.lanes.iter_mut().enumerate() {
            if state.status != LaneStatus::Down && now.since(state.silent_since) >= state.config.timeout {
                state.status = LaneStatus::Down;
                changes.push(LaneChange { lane, status: LaneStatus::Down });
            }
        }
        if self.listening.is_some_and(|listening| listening.until <= now) {
            self.listening = None;
        }
        changes
    }

    /// This node stood still: what it did not hear meanwhile proves nothing (guide P4 (c), P7).
    pub fn restart_silence(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.silent_since = lane.silent_since.max(now);
        }
        let longest = self.lanes.iter().map(|lane| lane.config.timeout).max().unwrap_or_default();
        self.listening = Some(Listening { after: self.sent, until: now + longest });
    }

    /// Between a stall of our own and the peer's answer, or a full time-out.
    pub fn listening(&self) -> bool {
        self.listening.is_some()
    }

    /// When listening ends at the latest.
    pub fn listening_until(&self) -> Option<Instant> {
        self.listening.map(|listening| listening.until)
    }

    /// Whether any lane is up.
    pub fn heard(&self) -> bool {
        self.lanes.iter().any(|lane| lane.status == LaneStatus::Up)
    }

    /// Whether every lane has been silent for its time-out and for `at_least`.
    pub fn silent(&self, now: Instant, at_least: Duration) -> bool {
        self.lanes.iter().all(|lane| now.since(lane.silent_since) >= lane.config.timeout.max(at_least))
    }

    /// For how long nothing has been heard on any lane, counted anew after a stall.
    pub fn silent_for(&self, now: Instant) -> Duration {
        let since = self.lanes.iter().map(|lane| lane.silent_since).max();
        since.map_or(Duration::MAX, |since| now.since(since))
    }

    /// When [`Pair::silent`] with this `at_least` becomes true if nothing is heard.
    pub fn silent_at(&self, at_least: Duration) -> Option<Instant> {
        let ends = self.lanes.iter().map(|lane| lane.silent_since + lane.config.timeout.max(at_least));
        ends.max()
    }

    /// When the next lane runs into its time-out.
    pub fn next_timeout(&self) -> Option<Instant> {
        let up = self.lanes.iter().filter(|lane| lane.status != LaneStatus::Down);
        up.map(|lane| lane.silent_since + lane.config.timeout).min()
    }

    /// When the next heartbeat is due on any lane.
    pub fn next_pulse(&self) -> Option<Instant> {
        self.lanes.iter().map(|lane| lane.next_pulse).min()
    }

    /// The lanes on which a heartbeat is due now; their next one is planned.
    pub fn due(&mut self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (lane, state) in self.lanes.iter_mut().enumerate() {
            if state.next_pulse <= now {
                state.next_pulse = now + state.config.pulse;
                due.push(lane);
            }
        }
        due
    }

    /// A heartbeat goes out on every lane now, out of turn.
    pub fn sent_on_all(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.next_pulse = now + lane.config.pulse;
        }
    }

    /// The counter of the next heartbeat.
    pub fn count(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Our last counter sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the peer has heard our heartbeat `counter`, or a later one, on any lane.
    pub fn peer_has_heard(&self, counter: u64) -> bool {
        self.peer_heard.iter().any(|heard| *heard >= counter)
    }

    /// What to tell the peer that we heard of it, by lane.
    pub fn heard_counters(&self) -> Vec<u64> {
        self.lanes.iter().map(|lane| lane.heard).collect()
    }

    /// The peer's incarnation; 0 before anything was heard.
    pub fn peer(&self) -> Incarnation {
        self.peer
    }

    /// Number of lanes.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Status of one lane.
    pub fn lane_status(&self, lane: usize) -> Option<LaneStatus> {
        self.lanes.get(lane).map(|lane| lane.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hf_types::{Colour, Epoch, ModuleState};
    use hf_wire::heartbeat::{Former, SwapPhase};

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant(ms * MS)
    }

    fn pair() -> Pair {
        let lane = |timeout| LaneConfig { pulse: Duration::from_millis(200), timeout: Duration::from_millis(timeout) };
        Pair::new(at(0), Incarnation(1), [lane(1000), lane(2000)])
    }

    fn beat(incarnation: u64, counter: u64, heard: Vec<u64>) -> Heartbeat {
        Heartbeat {
            incarnation: Incarnation(incarnation),
            counter,
            heard_incarnation: Incarnation(1),
            heard,
            state: ModuleState::Wait,
            colour: Colour::Magenta,
            epoch: Epoch(0),
            replicates: true,
            copy: None,
            in_step: false,
            outdated: None,
            please_outdate: None,
            promised: None,
            granted: None,
            degraded: false,
            swap: SwapPhase::None,
            stopping: false,
            former: Former::None,
            failover: true,
            failover_version: 0,
            told: None,
        }
    }

    #[test]
    fn a_late_state_never_comes_back() {
        let mut pair = pair();
        assert!(pair.receive(at(1), 0, &beat(7, 5, vec![])).unwrap().newest);
        let late = pair.receive(at(2), 1, &beat(7, 4, vec![])).unwrap();
        assert!(!late.newest, "older than what lane 0 heard");
        assert_eq!(late.change.unwrap().status, LaneStatus::Up);
        assert_eq!(pair.receive(at(3), 1, &beat(7, 4, vec![])), None, "twice");
        assert!(pair.receive(at(4), 0, &beat(8, 1, vec![])).unwrap().restarted);
        assert_eq!(pair.receive(at(5), 0, &beat(7, 99, vec![])), None, "its time is over");
    }

    #[test]
    fn every_lane_must_be_silent() {
        let mut pair = pair();
        pair.receive(at(0), 0, &beat(7, 1, vec![]));
        pair.receive(at(100), 1, &beat(7, 2, vec![]));
        let down = pair.tick(at(1000));
        assert_eq!(down.len(), 1);
        assert!(pair.heard() && !pair.silent(at(2099), Duration::ZERO));
        assert_eq!(pair.silent_at(Duration::ZERO), Some(at(2100)));
        assert_eq!(pair.tick(at(2100)).len(), 1);
        assert!(pair.silent(at(2100), Duration::ZERO) && !pair.heard());
        assert!(!pair.silent(at(2100), Duration::from_millis(2500)));
    }

    #[test]
    fn a_stall_begins_the_silence_anew() {
        let mut pair = pair();
        pair.receive(at(0), 0, &beat(7, 1, vec![]));
        pair.restart_silence(at(60_000));
        assert!(pair.tick(at(60_500)).is_empty());
        assert!(pair.listening() && !pair.silent(at(61_900), Duration::ZERO));
        pair.tick(at(62_000));
        assert!(!pair.listening() && pair.silent(at(62_000), Duration::ZERO));
        let before = pair.count();
        pair.restart_silence(at(70_000));
        pair.receive(at(70_001), 1, &beat(7, 2, vec![before]));
        assert!(pair.listening(), "that heartbeat waited in the socket");
        let after = pair.count();
        pair.receive(at(70_002), 1, &beat(7, 3, vec![after]));
        assert!(!pair.listening(), "the peer answered");
    }

    #[test]
    fn the_peer_tells_what_it_heard() {
        let mut pair = pair();
        let counter = pair.count();
        pair.receive(at(1), 0, &beat(7, 1, vec![0, 0]));
        assert!(!pair.peer_has_heard(counter));
        pair.receive(at(2), 0, &beat(7, 2, vec![0, counter]));
        assert!(pair.peer_has_heard(counter));
        let mut stranger = beat(7, 3, vec![99, 99]);
        stranger.heard_incarnation = Incarnation(77);
        pair.receive(at(3), 0, &stranger);
        assert!(!pair.peer_has_heard(counter), "it speaks of our predecessor");
    }

    #[test]
    fn lanes_that_stay_keep_what_they_know() {
        let mut pair = pair();
        pair.receive(at(100), 1, &beat(7, 3, vec![]));
        let lane = |timeout| LaneConfig { pulse: Duration::from_millis(50), timeout: Duration::from_millis(timeout) };
        pair.reconfigure(at(200), [(lane(500), None), (lane(4000), Some(1))]);
        assert_eq!((pair.lane_status(0), pair.lane_status(1)), (Some(LaneStatus::Init), Some(LaneStatus::Up)));
        assert!(pair.heard() && !pair.silent(at(4_000), Duration::ZERO), "the new time-out counts from what was heard");
        assert_eq!(pair.silent_at(Duration::ZERO), Some(at(4_100)));
        assert_eq!(pair.receive(at(201), 1, &beat(7, 3, vec![])), None, "heard before");
        assert!(pair.receive(at(202), 0, &beat(7, 4, vec![])).is_some());
        assert!(pair.next_pulse() <= Some(at(250)), "a shorter pulse doesn't wait for the longer one before");
        let counter = pair.count();
        pair.reconfigure(at(300), [(lane(500), Some(0))]);
        pair.receive(at(301), 0, &beat(7, 5, vec![0, counter]));
        assert!(pair.peer_has_heard(counter), "whatever lane the peer heard it on");
        assert_eq!(pair.receive(at(302), 1, &beat(7, 6, vec![])), None, "a lane that is gone");
    }

    #[test]
    fn pulses_are_due_by_lane() {
        let mut pair = pair();
        assert_eq!(pair.due(at(0)), [0, 1]);
        assert_eq!(pair.next_pulse(), Some(at(200)));
        pair.sent_on_all(at(50));
        assert!(pair.due(at(200)).is_empty());
        assert_eq!(pair.due(at(250)), [0, 1]);
    }
}
