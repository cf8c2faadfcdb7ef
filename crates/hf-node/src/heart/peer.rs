use super::actor::{HeartActor, Out, log};
use hf_membership::LaneStatus;
use hf_types::{Colour, Event, ModuleState, ResourceValue, Standing};
use hf_wire::bus::{DaemonToHeart, HeartToDaemon};
use hf_wire::heartbeat::{BadFrame, Heartbeat, Outdating, SwapPhase};

use super::HeartEffect;

/// What a waiting module knows of the other node at this moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PeerNow {
    /// A heart that runs is heard.
    Heard(Box<Heartbeat>),
    /// The other node says that the module is stopped there.
    Stopped,
    /// Nothing was heard for a full time-out on every lane.
    Silent,
    /// Nothing yet; `settled`: for three pulses at least.
    Listening { settled: bool },
}

impl HeartActor {
    /// What can't be read is as if nothing had been heard, which isn't to happen without a word; one word is enough.
    fn drop_heartbeat(&mut self, error: &BadFrame, out: &mut Out) {
        let text = format!("The heartbeats of the other node can't be read: {error}. For this node it is silent");
        if self.dropped.as_ref() != Some(&text) {
            log(out, Event::Text(text.clone()));
            self.dropped = Some(text);
        }
    }

    pub(super) fn on_heartbeat(&mut self, lane: usize, body: &[u8], out: &mut Out) {
        let heartbeat = match Heartbeat::decode(body) {
            Ok(heartbeat) => heartbeat,
            Err(error) => return self.drop_heartbeat(&error, out),
        };
        self.dropped = None;
        let Some(receipt) = self.pair.receive(self.now, lane, &heartbeat) else {
            return;
        };
        if let Some(change) = receipt.change {
            self.lane_changed(change.lane, change.status, out);
        }
        if !receipt.newest {
            return;
        }
        if receipt.restarted {
            self.peer_outdated = None;
        }
        if heartbeat.state.is_primary() {
            self.primary_peer = Some(heartbeat.incarnation);
        }
        self.note_other_copy(&heartbeat);
        self.epoch = self.epoch.max(heartbeat.epoch);
        self.peer = Some(heartbeat);
    }

    pub(super) fn on_daemon(&mut self, message: DaemonToHeart, out: &mut Out) {
        match message {
            DaemonToHeart::Control { ticket, command, by } => {
                let result = self.on_command(command, by, out);
                out.push(HeartEffect::ToDaemon(HeartToDaemon::Answer { ticket, result }));
            }
            DaemonToHeart::Set { ticket, assignment } => {
                let result = self.on_set(assignment, out);
                out.push(HeartEffect::ToDaemon(HeartToDaemon::Answer { ticket, result }));
            }
            DaemonToHeart::Errd { ticket, order, by } => self.on_errd(ticket, order, by, out),
            DaemonToHeart::Rfssync { ticket, policy } => self.on_rfssync(ticket, policy, out),
            // The same module on another node is a module of its own there, where there is no pair.
            DaemonToHeart::Peer(peer) => self.daemon_peer = self.config.mode.has_pair().then_some(peer),
            DaemonToHeart::Node { name, node } if Some(&name) == self.config.peer.as_ref() => {
                self.advice.node = Some(node)
            }
            DaemonToHeart::Node { .. } => {}
            // The shell reads, and brings what it found as an input.
            DaemonToHeart::Reread { .. } => {}
        }
    }

    pub(super) fn look_at_lanes(&mut self, out: &mut Out) {
        for change in self.pair.tick(self.now) {
            self.lane_changed(change.lane, change.status, out);
        }
    }

    fn lane_changed(&mut self, lane: usize, status: LaneStatus, out: &mut Out) {
        let value = match status {
            LaneStatus::Init => ResourceValue::Init,
            LaneStatus::Up => ResourceValue::Up,
            LaneStatus::Down => ResourceValue::Down,
        };
        let name = format!("heartbeat.{}", self.config.lanes[lane].ident);
        self.set_resource(&name, value, "heart", true, out);
    }

    pub(super) fn look_at_remote(&mut self, out: &mut Out) {
        let remote = self.remote_now();
        if remote != self.remote {
            self.remote = remote;
            log(out, Event::RemoteState(remote.0, remote.1));
        }
    }

    fn remote_now(&self) -> (ModuleState, Colour) {
        match &self.peer {
            Some(peer) if self.pair.heard() && !self.is_dead(peer) => (peer.state, peer.colour),
            _ if self.daemon_says_stop() => (ModuleState::Stop, Colour::Red),
            _ => (ModuleState::Unknown, Colour::Grey),
        }
    }

    fn daemon_says_stop(&self) -> bool {
        let stopped = |peer: &hf_wire::bus::PeerModule| peer.heard && peer.state == ModuleState::Stop;
        self.daemon_peer.as_ref().is_some_and(stopped)
    }

    /// The other node's daemon is heard and says that the module is primary there.
    pub(super) fn daemon_says_primary(&self) -> Option<ModuleState> {
        let peer = self.daemon_peer.as_ref().filter(|peer| peer.heard && peer.state.is_primary())?;
        Some(peer.state)
    }

    /// The newest heartbeat of a peer that is heard at this moment. One whose daemon says that it is dead is not, though its last words
    /// are younger than the time-out.
    pub(super) fn heard_peer(&self) -> Option<&Heartbeat> {
        self.peer.as_ref().filter(|peer| self.pair.heard() && !self.is_dead(peer))
    }

    fn is_dead(&self, peer: &Heartbeat) -> bool {
        let fenced = self.daemon_peer.as_ref().and_then(|daemon| daemon.fenced);
        fenced.is_some_and(|fenced| fenced.heart == peer.incarnation)
    }

    pub(super) fn peer_now(&self) -> PeerNow {
        if let Some(peer) = self.heard_peer()
            && peer.state != ModuleState::Stop
        {
            return PeerNow::Heard(Box::new(peer.clone()));
        }
        let waited = self.now.since(self.waiting_since);
        let settled = waited >= self.settle_time() && !self.pair.listening();
        if settled && self.remote.0 == ModuleState::Stop {
            PeerNow::Stopped
        } else if self.silent() && waited >= self.shortest_timeout() {
            PeerNow::Silent
        } else {
            PeerNow::Listening { settled }
        }
    }

    /// Every lane silent for its time-out, none of it during a stall of ours.
    pub(super) fn silent(&self) -> bool {
        self.pair.silent(self.now, std::time::Duration::ZERO) && !self.pair.listening()
    }

    /// What this heart says of itself; counters are filled in when it is sent.
    pub(super) fn heartbeat(&self) -> Heartbeat {
        let copy = self.rfs.copy.clone();
        let outdated = copy.as_ref().and_then(|copy| match copy.standing {
            Standing::Outdated { since } => Some(Outdating { since, epoch: copy.epoch }),
            Standing::New | Standing::Connected | Standing::AloneConfirmed | Standing::AloneUnconfirmed => None,
        });
        Heartbeat {
            incarnation: self.incarnation,
            counter: 0,
            heard_incarnation: self.pair.peer(),
            heard: Vec::new(),
            state: self.state(),
            colour: self.colour(),
            epoch: self.epoch,
            replicates: self.config.replicates,
            copy,
            in_step: self.in_step(),
            promised: self.promised,
            granted: self.grant.filter(|_| self.state().is_primary()).map(|grant| grant.generation),
            degraded: self.is_degraded(),
            outdated,
            please_outdate: self.asking,
            swap: self.swap,
            stopping: self.is_stopping(),
            former: self.former,
            failover: self.config.failover,
            failover_version: self.failover_version,
            told: self.tell_resources(),
        }
    }

    /// While an answer is waited for, heartbeats follow each other quickly.
    pub(super) fn is_urgent(&self) -> bool {
        let waiting = self.pair.listening()
            || self.meeting.is_some()
            || self.asking.is_some()
            || self.swap != SwapPhase::None
            || self.swapping;
        let asked = self.heard_peer().is_some_and(|peer| peer.please_outdate.is_some());
        // It says its last words until it knows that they were heard.
        let leaving = self.heard_peer().is_some_and(|peer| peer.state == ModuleState::Stop)
            && self.pair.silent_for(self.now) < super::steps::FAREWELL;
        leaving || (waiting && self.pair.heard()) || asked || (self.farewell_wanted() && self.pair.heard())
    }
}
